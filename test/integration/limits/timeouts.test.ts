import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { FaultProxy } from '../../support/fault-proxy.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { createDatabase, sharedPostgres, type TestDatabase } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Each timeout: PostgreSQL's SQLSTATE, PgBouncer's words, and what becomes of the server. */

let database: TestDatabase
let pooler: TestPooler
const clients: RawClient[] = []
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  database = await createDatabase()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
  for (const end of ends.splice(0)) await end()
})

afterAll(() => database.drop())

type Settings = NonNullable<ConfigInput['pooler']>

async function start(settings: Settings, sections: Omit<ConfigInput, 'pooler'> = {}): Promise<void> {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { default_pool_size: 1, ...settings },
    ...sections,
  })
}

async function connect(user?: string): Promise<RawClient> {
  const client = await RawClient.connect({
    host: pooler.host,
    port: pooler.port,
    database: database.database,
    ...(user === undefined ? {} : { user }),
  })
  clients.push(client)
  return client
}

/** What PostgreSQL has of our database. */
const backends = () =>
  sharedPostgres().query(
    `SELECT pid, state, query FROM pg_stat_activity WHERE datname = '${database.database}' AND backend_type = 'client backend'`,
  )

async function serverIsReused(before: string | null): Promise<void> {
  await eventually('the server to be idle', backends, (found) => found.every(({ state }) => state === 'idle'))
  expect(await (await connect()).value('SELECT pg_backend_pid()')).toBe(before)
}

describe('query_wait_timeout', () => {
  test('is 53300 with the numbers where all servers are busy', async () => {
    await start({ query_wait_timeout: '0.2s' })
    const [busy, late] = [await connect(), await connect()]
    await busy.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    const error = await late.receive('E')
    expect(error).toMatchObject({ code: '53300', text: 'query_wait_timeout' })
    expect(error.fields.D).toBe(
      `1 of 1 server connections of the pool ${database.database}/postgres are in use (pool_size 1), ` +
        'and 1 clients have been waiting.',
    )
    await late.closed()
    expect(letters(await busy.query('COMMIT'))).toBe('CZ')
  })

  test('is 57P03 with the reason where there is no server', async () => {
    const proxy = await FaultProxy.start(sharedPostgres())
    ends.push(() => proxy.stop())
    await start(
      { query_wait_timeout: '0.3s' },
      { databases: { '*': { host: proxy.host, port: proxy.port } } },
    )
    const client = await connect()
    proxy.refuse()
    proxy.cut('reset')
    await eventually(
      'the server to be lost',
      () => pooler.stats.pools[0]?.servers,
      (count) => count === 0,
    )
    client.send(frontend.query('SELECT 1'))
    const error = await client.receive('E')
    expect(error).toMatchObject({ code: '57P03', text: 'query_wait_timeout' })
    expect(error.fields.D).toContain('There is no connection to the server: ')
  })

  test("of a user wins over the database's, and that over the general one", async () => {
    const place = { host: sharedPostgres().host, port: sharedPostgres().port, user: 'postgres' }
    const { password } = sharedPostgres()
    await start(
      { query_wait_timeout: '60s' },
      { databases: { [database.database]: { ...place, password, query_wait_timeout: '0.1s' } } },
    )
    const [busy, late] = [await connect(), await connect()]
    await busy.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    expect(await late.receive('E')).toMatchObject({ text: 'query_wait_timeout' })
  })
})

test('query_wait_notify tells who waits that it is in a queue, once', async () => {
  await start({ query_wait_notify: '0.1s' })
  const [busy, late] = [await connect(), await connect()]
  await busy.query('BEGIN')
  late.send(frontend.query('SELECT 1'))
  expect(await late.receive('N')).toMatchObject({
    text: 'No server connection available in postgres backend, client being queued',
  })
  await busy.query('COMMIT')
  expect(letters(await late.receiveUntil('Z'))).toBe('TDCZ')
})

describe('query_timeout', () => {
  test('cancels the query, and the server is used again', async () => {
    await start({ query_timeout: '0.2s' })
    const client = await connect()
    const pid = await client.value('SELECT pg_backend_pid()')
    client.send(frontend.query('SELECT pg_sleep(60)'))
    expect(await client.receive('E')).toMatchObject({ code: '57014', text: 'query timeout' })
    await client.closed()
    await serverIsReused(pid)
  })

  test('counts the wait for a server', async () => {
    await start({ query_timeout: '0.3s' })
    const [busy, late] = [await connect(), await connect()]
    await busy.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    expect(await late.receive('E')).toMatchObject({ code: '57014', text: 'query_timeout' })
  })

  test('does not count the time between queries, nor a long pipeline of short ones', async () => {
    await start({ query_timeout: '0.5s', transaction_timeout: '0.5s' })
    const client = await connect()
    const endMs = Date.now() + 1500
    let owed = 0
    // Never without a query under way: the next goes out before the answer to the last.
    client.send(frontend.query('SELECT pg_sleep(0.02)'))
    while (Date.now() < endMs) {
      client.send(frontend.query('SELECT pg_sleep(0.02)'))
      owed += 1
      await client.receiveUntil('Z')
    }
    expect(letters(await client.receiveUntil('Z'))).toBe('TDCZ')
    expect(owed).toBeGreaterThan(10)
  })

  test('of a user wins', async () => {
    await start(
      { query_timeout: '60s' },
      { users: { postgres: { password: database.password, query_timeout: '0.1s' } } },
    )
    const client = await connect()
    const pid = await client.value('SELECT pg_backend_pid()')
    client.send(frontend.query('SELECT pg_sleep(60)'))
    expect(await client.receive('E')).toMatchObject({ code: '57014' })
    await serverIsReused(pid)
  })
})

describe('idle_transaction_timeout', () => {
  test('rolls the transaction back, and the server is used again', async () => {
    await start({ idle_transaction_timeout: '0.2s' })
    const client = await connect()
    await client.query('CREATE TABLE idle_transaction (n int)')
    const pid = await client.value('SELECT pg_backend_pid()')
    await client.query('BEGIN')
    await client.query('INSERT INTO idle_transaction VALUES (1)')
    expect(await client.receive('E')).toMatchObject({ code: '25P03', text: 'idle transaction timeout' })
    await serverIsReused(pid)
    expect(await (await connect()).value('SELECT count(*) FROM idle_transaction')).toBe('0')
  })

  test('does not concern a query that takes longer, nor a client outside of a transaction', async () => {
    await start({ idle_transaction_timeout: '0.2s' })
    const client = await connect()
    await client.query('BEGIN')
    expect(letters(await client.query('SELECT pg_sleep(1)'))).toBe('TDCZ')
    await client.query('COMMIT')
    const other = await connect()
    expect(letters(await other.query('SELECT pg_sleep(1)'))).toBe('TDCZ')
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
  })
})

test('transaction_timeout ends a transaction that goes on for too long, busy or not', async () => {
  await start({ transaction_timeout: '0.3s' })
  const client = await connect()
  const pid = await client.value('SELECT pg_backend_pid()')
  await client.query('BEGIN')
  client.send(frontend.query('SELECT pg_sleep(60)'))
  expect(await client.receive('E')).toMatchObject({ code: '25P04', text: 'transaction timeout' })
  await serverIsReused(pid)
})

test('client_idle_timeout ends a client that does nothing, and nobody who does', async () => {
  await start({ client_idle_timeout: '0.3s', default_pool_size: 2 })
  const [idle, busy] = [await connect(), await connect()]
  busy.send(frontend.query('SELECT pg_sleep(1)'))
  expect(await idle.receive('E')).toMatchObject({ code: '57P05', text: 'client_idle_timeout' })
  expect(letters(await busy.receiveUntil('Z'))).toBe('TDCZ')
})

test('client_login_timeout ends a client that does not log in', async () => {
  await start({ client_login_timeout: '0.3s' })
  const client = await RawClient.open(pooler)
  clients.push(client)
  expect(await client.receive('E')).toMatchObject({ text: 'client_login_timeout' })
  await client.closed()
})

describe('server_connect_timeout and server_login_retry', () => {
  test('a server that does not answer is given up, and its error is told again until the next attempt', async () => {
    const proxy = await FaultProxy.start(sharedPostgres())
    ends.push(() => proxy.stop())
    proxy.swallow()
    await start(
      { server_connect_timeout: '0.2s', server_login_retry: '60s' },
      { databases: { '*': { host: proxy.host, port: proxy.port } } },
    )
    await expect(connect()).rejects.toThrow('57P03')
    await expect(connect()).rejects.toThrow(
      /57P03 server login has been failing, cached error: .*server_connect_timeout.* \(server_login_retry\)/,
    )
  })

  test('a refused login is told in the words of PostgreSQL', async () => {
    await start(
      { server_login_retry: '60s' },
      { databases: { '*': { host: database.host, port: database.port, dbname: 'nowhere' } } },
    )
    await expect(connect()).rejects.toThrow('3D000 database "nowhere" does not exist')
    await expect(connect()).rejects.toThrow(
      '3D000 server login has been failing, cached error: database "nowhere"',
    )
  })
})

describe('server connections', () => {
  test('are closed after server_idle_timeout', async () => {
    await start({ server_idle_timeout: '0.5s' })
    await (await connect()).query('SELECT 1')
    await eventually('the idle server to be closed', backends, (found) => found.length === 0)
  })

  test('are replaced after server_lifetime', async () => {
    await start({ server_lifetime: '1s' })
    const client = await connect()
    const pid = await client.value('SELECT pg_backend_pid()')
    await eventually(
      'another server',
      () => client.value('SELECT pg_backend_pid()'),
      (other) => other !== pid,
    )
  })

  test('answer server_check_query before each use where server_check_delay is 0', async () => {
    await start({
      server_check_delay: 0,
      server_check_query: "SELECT set_config('work_mem', '1234kB', false)",
    })
    const client = await connect()
    await client.query('SELECT 1')
    // It is never leased unasked.
    expect(await client.value('SHOW work_mem')).toBe('1234kB')
  })

  test('that do not pass server_check_query are replaced, unnoticed', async () => {
    await start({
      server_check_delay: 0,
      server_check_query: 'SELECT 1 / (count(*) - 1) FROM pg_tables WHERE tablename = $$check_me$$',
    })
    const client = await connect()
    const pid = await client.value('SELECT pg_backend_pid()')
    expect(await client.value('SELECT pg_backend_pid()')).toBe(pid)
    await sharedPostgres().query('CREATE TABLE check_me ()', database.database)
    expect(await client.value('SELECT pg_backend_pid()')).not.toBe(pid)
    await sharedPostgres().query('DROP TABLE check_me', database.database)
  })
})

describe('error_codes = "pgbouncer"', () => {
  test("gives 08P01 to the pooler's own errors, and leaves PostgreSQL's as they are", async () => {
    await start({ error_codes: 'pgbouncer', query_wait_timeout: '0.1s' })
    const [busy, late] = [await connect(), await connect()]
    expect(await busy.query('SELECT 1/0')).toContainEqual(expect.objectContaining({ code: '22012' }))
    await busy.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    expect(await late.receive('E')).toMatchObject({ code: '08P01', text: 'query_wait_timeout' })
  })
})
