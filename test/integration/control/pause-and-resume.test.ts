import { afterEach, describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** PAUSE, RESUME, SUSPEND, RECONNECT, WAIT_CLOSE, KILL, DISABLE and ENABLE as methods of the pooler. */

let pooler: TestPooler
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
})

async function start(settings: Record<string, unknown> = {}): Promise<void> {
  const server = sharedPostgres()
  const { host, port, database: dbname } = server
  pooler = await startPooler({
    server,
    pooler: { default_pool_size: 2, ...settings },
    databases: { one: { host, port, dbname }, two: { host, port, dbname } },
  })
}

async function connect(database = 'one'): Promise<RawClient> {
  const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database })
  clients.push(client)
  return client
}

const pid = (client: RawClient) => client.value('SELECT pg_backend_pid()')
const waiting = () => pooler.stats.pools.reduce((sum, pool) => sum + pool.waiting, 0)
const servers = () => pooler.stats.pools.reduce((sum, pool) => sum + pool.servers, 0)

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(resolve, pending))])) !== pending
}

describe('PAUSE', () => {
  test('waits for transactions, closes the servers, and holds what clients ask for until RESUME', async () => {
    await start()
    const busy = await connect()
    await busy.query('BEGIN')
    const paused = pooler.control.pause()
    const other = await connect()
    other.send(frontend.query('SELECT 1'))
    await eventually('the query to wait', waiting, (count) => count === 1)
    expect(await settled(paused)).toBe(false)
    expect(letters(await busy.query('SELECT 2'))).toBe('TDCZ')
    await busy.query('COMMIT')
    await paused
    await eventually('the servers to be closed', servers, (count) => count === 0)
    pooler.control.resume()
    expect(letters(await other.receiveUntil('Z'))).toBe('TDCZ')
  })

  test('of one database leaves the others alone', async () => {
    await start()
    await pooler.control.pause('one')
    const other = await connect('two')
    expect(letters(await other.query('SELECT 1'))).toBe('TDCZ')
    await expect(pooler.control.pause('one')).rejects.toThrow('already suspended/paused')
    expect(() => pooler.control.resume('two')).toThrow('database two is not paused')
    pooler.control.resume('one')
    expect(letters(await (await connect('one')).query('SELECT 1'))).toBe('TDCZ')
  })

  test('holds clients that log in meanwhile', async () => {
    await start()
    await pooler.control.pause()
    const login = connect()
    await eventually('the login to wait', waiting, (count) => count === 1)
    pooler.control.resume()
    expect(letters(await (await login).query('SELECT 1'))).toBe('TDCZ')
  })

  test('ends with query_wait_timeout for who waits too long, and says that it is paused', async () => {
    await start({ query_wait_timeout: 0.3 })
    const client = await connect()
    await pooler.control.pause()
    client.send(frontend.query('SELECT 1'))
    const error = await client.receive('E')
    expect(error).toMatchObject({
      fields: expect.objectContaining({
        C: '57P03',
        M: 'query_wait_timeout',
        D: expect.stringMatching(/paused/),
      }),
    })
  })

  test('that RESUME overtakes is over', async () => {
    await start()
    const busy = await connect()
    await busy.query('BEGIN')
    const paused = pooler.control.pause()
    pooler.control.resume()
    await paused
    expect(letters(await busy.query('COMMIT'))).toBe('CZ')
  })

  test('is refused for a database that does not exist', async () => {
    await start()
    const { control } = pooler
    // "*" stands for any name here, so a reserved one has to do.
    await expect(control.pause('pgbouncer')).rejects.toMatchObject({
      sqlState: '3D000',
      message: 'no such database: pgbouncer',
    })
    expect(() => control.resume()).toThrow('pooler is not paused/suspended')
  })
})

describe('SUSPEND', () => {
  test('stops reading, lets answers out, and RESUME goes on where it was', async () => {
    await start()
    const client = await connect()
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    await pooler.control.suspend()
    client.send(frontend.query('SELECT 2'))
    await expect(pooler.control.suspend()).rejects.toThrow('already suspended/paused')
    await expect(pooler.control.pause()).rejects.toThrow('already suspended/paused')
    expect(pooler.stats.pools.every(({ active }) => active === 0)).toBe(true)
    pooler.control.resume()
    expect(letters(await client.receiveUntil('Z'))).toBe('TDCZ')
  })

  test('is refused while a database is paused', async () => {
    await start()
    await pooler.control.pause('one')
    await expect(pooler.control.suspend()).rejects.toThrow('cannot suspend with paused databases')
  })

  test('closes who does not take its answer within suspend_timeout', async () => {
    await start({ suspend_timeout: 0.2 })
    const client = await connect()
    client.stream.socket.pause()
    client.send(frontend.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"))
    await eventually(
      'the answer to be stuck',
      () => sharedPostgres().query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"),
      (found) => found.length > 0,
    )
    await pooler.control.suspend()
    await eventually(
      'the client to be gone',
      () => pooler.stats.clients,
      (count) => count === 0,
    )
    pooler.control.resume()
    expect(letters(await (await connect()).query('SELECT 1'))).toBe('TDCZ')
  })
})

describe('RECONNECT', () => {
  test('replaces idle servers at once and those in use after their transaction', async () => {
    await start()
    const [busy, idle] = [await connect(), await connect()]
    await busy.query('BEGIN')
    const [busyPid, idlePid] = [await pid(busy), await pid(idle)]
    pooler.control.reconnect()
    expect(await pid(busy)).toBe(busyPid)
    expect(await pid(idle)).not.toBe(idlePid)
    const closed = pooler.control.waitClose()
    expect(await settled(closed)).toBe(false)
    await busy.query('COMMIT')
    await closed
    expect([busyPid, idlePid]).not.toContain(await pid(busy))
  })

  test('keeps what clients have prepared', async () => {
    await start()
    const client = await connect()
    await client.roundTrip(frontend.parse('mine', 'SELECT 42'), frontend.sync())
    pooler.control.reconnect('one')
    const reply = await client.roundTrip(frontend.bind('mine'), frontend.execute(), frontend.sync())
    expect(letters(reply)).toBe('2DCZ')
  })
})

describe('KILL', () => {
  test('closes the clients and servers of one database, which is then paused', async () => {
    await start()
    const [one, two] = [await connect('one'), await connect('two')]
    await one.query('BEGIN')
    await two.query('BEGIN')
    pooler.control.kill('one')
    expect(await one.receive('E')).toMatchObject({ fields: expect.objectContaining({ C: '57P01' }) })
    await one.closed()
    expect(letters(await two.query('COMMIT'))).toBe('CZ')
    const later = await connect('one')
    later.send(frontend.query('SELECT 1'))
    await eventually('the query to wait', waiting, (count) => count === 1)
    pooler.control.resume('one')
    expect(letters(await later.receiveUntil('Z'))).toBe('TDCZ')
  })
})

describe('DISABLE', () => {
  test('refuses new clients, keeps those that are there, until ENABLE', async () => {
    await start()
    const client = await connect('one')
    pooler.control.disable('one')
    await expect(connect('one')).rejects.toThrow('database "one" is disabled')
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    await connect('two')
    pooler.control.enable('one')
    await connect('one')
  })
})
