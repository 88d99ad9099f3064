import { createServer, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { type PoolerOptions, startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** One database at two real servers, on the same port of two addresses: who is used, and when it stops. */

const FIRST = '127.0.0.1'
const SECOND = '127.0.0.2'
/** Where no PostgreSQL is. */
const SILENT = '127.0.0.3'
const WHERE = `SELECT current_setting('listen_addresses')`
const ATTEMPTS = 5

type Database = NonNullable<ConfigInput['databases']>[string]

// Only Linux answers on all of 127.0.0.0/8 without being told to.
describe.runIf(process.platform === 'linux')('a database with two hosts', () => {
  let first: TestCluster
  let second: TestCluster
  let pooler: TestPooler | undefined
  const clients: RawClient[] = []

  beforeAll(async () => {
    const hba = 'host all all 127.0.0.0/8 trust'
    for (let attempt = 1; ; attempt += 1) {
      second = await startPostgres({ hba, address: SECOND })
      try {
        first = await startPostgres({ hba, port: second.port })
        return
      } catch (error) {
        // Another program has that port of the other address.
        await second.stop()
        if (attempt === ATTEMPTS) throw error
      }
    }
  })

  afterAll(async () => {
    await first?.stop()
    await second?.stop()
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    await pooler?.stop()
    if (first.pid === undefined) await first.resume()
  })

  async function start(database: Database, more: Partial<PoolerOptions> = {}): Promise<TestPooler> {
    const { port } = second
    pooler = await startPooler({
      server: { host: FIRST, port },
      ...more,
      pooler: { server_login_retry: '100ms', ...more.pooler },
      databases: { postgres: { port, pool_size: 8, ...database } },
    })
    return pooler
  }

  async function login(): Promise<RawClient> {
    if (pooler === undefined) throw new Error('the pooler is started first')
    const client = await RawClient.connect({ ...pooler, user: 'postgres', database: 'postgres' })
    clients.push(client)
    return client
  }

  /** Where so many clients are, all in a transaction at the same time. */
  async function placesOf(count: number): Promise<(string | null)[]> {
    while (clients.length < count) await login()
    const used = clients.slice(0, count)
    await Promise.all(used.map((client) => client.query('BEGIN')))
    const places = await Promise.all(used.map((client) => client.value(WHERE)))
    await Promise.all(used.map((client) => client.query('COMMIT')))
    return places.sort()
  }

  const serverCount = (): number => pooler?.stats.pools.reduce((sum, { servers }) => sum + servers, 0) ?? 0

  test('uses both in turn', async () => {
    await start({ host: [FIRST, SECOND] })
    expect(await placesOf(6)).toEqual([FIRST, FIRST, FIRST, SECOND, SECOND, SECOND])
  })

  test('uses a unix socket in turn with an address', async () => {
    await start({ host: [FIRST, second.socketFolder] })
    expect(await placesOf(4)).toEqual([FIRST, FIRST, SECOND, SECOND])
  })

  test('goes on at the other when one stops, unnoticed by clients, and uses it again when it is back', async () => {
    await start({ host: `${FIRST}, ${SECOND}` })
    expect(await placesOf(4)).toEqual([FIRST, FIRST, SECOND, SECOND])
    await first.halt()
    await eventually('the lost connections to be noticed', serverCount, (count) => count === 2)
    expect(await placesOf(6)).toEqual(Array(6).fill(SECOND))
    await first.resume()
    await eventually(
      'the first host to be used again',
      () => {
        // Only new connections go there, and its back-off may not be over yet.
        pooler?.control.reconnect()
        return placesOf(8)
      },
      (places) => places.includes(FIRST) && places.includes(SECOND),
    )
  })

  test('starts with one host down', async () => {
    await start({ host: [FIRST, SECOND] })
    await first.halt()
    expect(await placesOf(4)).toEqual(Array(4).fill(SECOND))
  })

  test('does not give all its time to a host that accepts connections and says nothing', async () => {
    const sockets: Socket[] = []
    const silent = createServer((socket) => sockets.push(socket.on('error', () => {})))
    await new Promise<void>((resolve) => silent.listen(second.port, SILENT, resolve))
    try {
      await start({ host: [SILENT, SECOND] }, { pooler: { server_connect_timeout: '4s' } })
      expect(await placesOf(3)).toEqual(Array(3).fill(SECOND))
      expect(sockets.length).toBeGreaterThan(0)
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })

  test('names both hosts when neither can be reached', async () => {
    await start({ host: [FIRST, SILENT] })
    await first.halt()
    const refused = await login().then(
      () => 'accepted',
      (error: Error) => error.message,
    )
    expect(refused).toContain('no host could be connected to: ')
    for (const host of [FIRST, SILENT])
      expect(refused).toContain(`the server cannot be reached (ECONNREFUSED) at ${host}:${second.port}`)
  })

  test('sticks to the first that works with load_balance_hosts = "disable"', async () => {
    // Each connection is used once, so that every transaction opens its own.
    await start({ host: [FIRST, SECOND], load_balance_hosts: 'disable', server_lifetime: 0 })
    expect(await placesOf(4)).toEqual(Array(4).fill(FIRST))
    expect(await placesOf(4)).toEqual(Array(4).fill(FIRST))
    await first.halt()
    expect(await placesOf(4)).toEqual(Array(4).fill(SECOND))
    await first.resume()
    for (let i = 0; i < 3; i += 1) expect(await placesOf(4)).toEqual(Array(4).fill(SECOND))
  })

  test('cancels a query at the server where it runs', async () => {
    await start({ host: 'db.test' }, { lookup: async () => [FIRST, SECOND] })
    await placesOf(2)
    for (const client of clients) client.send(f.query('SELECT pg_sleep(60)'))
    for (const cluster of [first, second])
      await eventually(
        'the query to run',
        () => cluster.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'`),
        (rows) => rows.length === 1,
      )
    for (const client of clients) {
      await client.cancel()
      const messages = await client.receiveUntil('Z')
      expect(messages.find(({ type }) => type === 'E')).toMatchObject({ code: '57014' })
    }
  })

  test('follows a name to another address: at once where nobody is in a transaction, then the others', async () => {
    let addresses = [FIRST]
    await start({ host: 'db.test' }, { lookup: async () => addresses, pooler: { dns_max_ttl: '100ms' } })
    expect(await placesOf(3)).toEqual([FIRST, FIRST, FIRST])
    const [busy] = clients as [RawClient]
    await busy.query('BEGIN')
    addresses = [SECOND]
    await eventually('idle connections to be closed', serverCount, (count) => count === 1)
    expect(await busy.value(WHERE)).toBe(FIRST)
    await busy.query('COMMIT')
    expect(await busy.value(WHERE)).toBe(SECOND)
    expect(await placesOf(3)).toEqual([SECOND, SECOND, SECOND])
  })

  test('keeps the connections to an address that is still among those of the name', async () => {
    let addresses = [FIRST, SECOND]
    await start({ host: 'db.test' }, { lookup: async () => addresses, pooler: { dns_max_ttl: '100ms' } })
    expect(await placesOf(4)).toEqual([FIRST, FIRST, SECOND, SECOND])
    const pids = () =>
      second.query(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
         ORDER BY pid`,
      )
    const before = await pids()
    addresses = [SECOND]
    await eventually('connections to the first to be closed', serverCount, (count) => count === 2)
    expect(await pids()).toEqual(before)
  })
})
