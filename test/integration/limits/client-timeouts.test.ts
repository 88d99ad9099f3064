import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { onlyError } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient, type RawClientOptions } from '../../support/raw-client.ts'

/** What clients may do, and for how long: the timeouts that end them, and what becomes of their servers. */

let pooler: TestPooler | undefined
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler?.stop()
  pooler = undefined
})

/** A pooler with one server for each pool. */
async function start(
  settings: NonNullable<ConfigInput['pooler']>,
  more: Omit<ConfigInput, 'pooler'> = {},
): Promise<TestPooler> {
  const { host, port, password } = sharedPostgres()
  pooler = await startPooler({
    server: { host, port, password },
    pooler: { default_pool_size: 1, ...settings },
    ...more,
  })
  return pooler
}

async function connect(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
  if (pooler === undefined) throw new Error('the pooler is started first')
  const { host, port } = pooler
  const client = await RawClient.connect({ host, port, database: 'postgres', ...options })
  clients.push(client)
  return client
}

const backendOf = async (client: RawClient): Promise<string | null> => client.value('SELECT pg_backend_pid()')

/** The error that ends the connection of a client, and nothing else. */
async function failure(
  client: RawClient,
): Promise<{ code: string; text: string; severity: string; detail: string }> {
  const { code, text, fields } = await onlyError(client)
  return { code, text, severity: fields.S ?? '', detail: fields.D ?? '' }
}

/** Waits until so many clients are in the queue. */
async function queued(count: number): Promise<void> {
  await eventually(
    'the clients to be in the queue',
    () => pooler?.stats.pools.reduce((sum, { waiting }) => sum + waiting, 0),
    (waiting) => waiting === count,
  )
}

/** A client that has the only server, and one that waits for it. */
async function crowded(): Promise<{ holder: RawClient; waiter: RawClient }> {
  const holder = await connect()
  const waiter = await connect()
  await holder.query('BEGIN')
  waiter.send(f.query('SELECT 1'))
  await queued(1)
  return { holder, waiter }
}

describe('query_wait_timeout', () => {
  test('refuses with 53300 and the numbers where all servers are in use', async () => {
    await start({ query_wait_timeout: '0.3s' })
    const { holder, waiter } = await crowded()
    expect(await failure(waiter)).toMatchObject({
      severity: 'FATAL',
      code: '53300',
      text: 'query_wait_timeout',
      detail:
        '1 of 1 server connections of the pool postgres/postgres are in use (pool_size 1), and 1 clients have been waiting.',
    })
    expect(letters(await holder.query('COMMIT'))).toBe('CZ')
  })

  test('of a user comes before that of the database, which comes before the general one', async () => {
    await start(
      { query_wait_timeout: '1h' },
      {
        databases: { postgres: { ...serverOf(), query_wait_timeout: '0.3s' } },
        users: { postgres: { password: 'postgres' } },
      },
    )
    const first = await crowded()
    expect(await failure(first.waiter)).toMatchObject({ text: 'query_wait_timeout' })
    await pooler?.reload({
      databases: { postgres: { ...serverOf(), query_wait_timeout: '1h' } },
      users: { postgres: { password: 'postgres', query_wait_timeout: '0.3s' } },
    })
    first.waiter.destroy()
    const waiter = await connect()
    waiter.send(f.query('SELECT 1'))
    expect(await failure(waiter)).toMatchObject({ text: 'query_wait_timeout' })
  })
})

describe('query_wait_notify', () => {
  test('sends a NOTICE once to who has waited so long, and the query is served all the same', async () => {
    await start({ query_wait_notify: '0.1s' })
    const { holder, waiter } = await crowded()
    const notice = await waiter.receive('N')
    expect(notice).toMatchObject({
      code: '00000',
      text: 'No server connection available in postgres backend, client being queued',
    })
    await holder.query('COMMIT')
    await waiter.expect('TDCZ')
    await holder.query('BEGIN')
    waiter.send(f.query('SELECT 2'))
    expect((await waiter.receive('N')).text).toBe(notice.text)
    await holder.query('COMMIT')
    await waiter.expect('TDCZ')
  })

  test('sends it to a client, too, that waits for a server before it is welcomed', async () => {
    await start({ query_wait_notify: '0.1s' })
    const holder = await connect()
    await holder.query('BEGIN')
    const { host = '', port = 0 } = pooler ?? {}
    const waiter = await RawClient.open({ host, port })
    clients.push(waiter)
    // Not known to the pool, so a server has to be asked.
    waiter.send(f.startup({ user: 'postgres', database: 'postgres', timezone: 'Asia/Tokyo' }))
    const login = waiter.finishLogin('postgres', 'postgres')
    await eventually(
      'the notice',
      () => waiter.received.map(({ type }) => type).join(''),
      (types) => /R+N$/.test(types),
    )
    await holder.query('COMMIT')
    expect(await login).toBeUndefined()
    expect(waiter.status).toBe('I')
  })

  test('of 0 sends none', async () => {
    await start({ query_wait_notify: 0, query_wait_timeout: '0.5s' })
    const { waiter } = await crowded()
    expect((await waiter.receiveRest()).map(({ type }) => type)).toEqual(['E'])
  })
})

describe('query_timeout', () => {
  test('ends the client with 57014, cancels its query at the server, and the connection is used again', async () => {
    await start({ query_timeout: '0.3s' })
    const client = await connect()
    const pid = await backendOf(client)
    client.send(f.query('SELECT pg_sleep(60)'))
    expect(await failure(client)).toMatchObject({
      severity: 'FATAL',
      code: '57014',
      text: 'query timeout',
      detail: 'The limit is set by query_timeout.',
    })
    const next = await connect()
    expect(await backendOf(next)).toBe(pid)
  })

  test('holds also for a query that waits for a server, as query_timeout', async () => {
    await start({ query_timeout: '0.3s' })
    const { holder, waiter } = await crowded()
    expect(await failure(waiter)).toMatchObject({ code: '57014', text: 'query_timeout' })
    expect(letters(await holder.query('COMMIT'))).toBe('CZ')
  })

  test('and transaction_timeout do not concern a long pipeline of short queries', async () => {
    await start({ query_timeout: '0.6s', transaction_timeout: '0.6s' })
    const client = await connect()
    const untilMs = Date.now() + 1500
    const query = Buffer.concat([f.extended('SELECT pg_sleep(0.005)'), f.sync()])
    const ahead = 20
    let sent = 0
    // There is always a batch under way: the next is sent before the answer to the last is there.
    for (; sent < ahead; sent += 1) client.send(query)
    for (let answered = 0; answered < sent; answered += 1) {
      expect(letters(await client.receiveUntil('Z'))).toBe('12TDCZ')
      if (Date.now() < untilMs) {
        client.send(query)
        sent += 1
      }
    }
    expect(sent).toBeGreaterThan(ahead)
  })

  test('of a user is that user’s', async () => {
    await start(
      { query_timeout: '1h' },
      { users: { postgres: { password: 'postgres', query_timeout: '0.3s' } } },
    )
    const client = await connect()
    client.send(f.query('SELECT pg_sleep(60)'))
    expect(await failure(client)).toMatchObject({ code: '57014', text: 'query timeout' })
  })
})

describe('idle_transaction_timeout', () => {
  test('ends the client with 25P03; its transaction is rolled back and the connection used again', async () => {
    await start({ idle_transaction_timeout: '0.3s' })
    const client = await connect()
    const pid = await backendOf(client)
    await client.query('BEGIN; CREATE TABLE idle_transaction_timeout_test ()')
    expect(await failure(client)).toMatchObject({
      severity: 'FATAL',
      code: '25P03',
      text: 'idle transaction timeout',
      detail: 'The limit is set by idle_transaction_timeout.',
    })
    const next = await connect()
    expect(await backendOf(next)).toBe(pid)
    expect(await next.value(`SELECT to_regclass('idle_transaction_timeout_test')`)).toBeNull()
  })

  test('does not concern a query that runs, nor who asks again in time', async () => {
    await start({ idle_transaction_timeout: '0.4s' })
    const client = await connect()
    await client.query('BEGIN')
    expect(letters(await client.query('SELECT pg_sleep(1.2)'))).toBe('TDCZ')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
  })

  test('of a user is that user’s', async () => {
    await start({}, { users: { postgres: { password: 'postgres', idle_transaction_timeout: '0.2s' } } })
    const client = await connect()
    await client.query('BEGIN')
    expect(await failure(client)).toMatchObject({ code: '25P03' })
  })
})

describe('transaction_timeout', () => {
  test('ends the client with 25P04 however busy it is; the transaction is rolled back', async () => {
    await start({ transaction_timeout: '0.4s' })
    const client = await connect()
    const pid = await backendOf(client)
    await client.query('BEGIN; CREATE TABLE transaction_timeout_test ()')
    client.send(f.query('SELECT pg_sleep(60)'))
    expect(await failure(client)).toMatchObject({
      severity: 'FATAL',
      code: '25P04',
      text: 'transaction timeout',
      detail: 'The limit is set by transaction_timeout.',
    })
    const next = await connect()
    expect(await backendOf(next)).toBe(pid)
    expect(await next.value(`SELECT to_regclass('transaction_timeout_test')`)).toBeNull()
  })

  test('of a user is that user’s, and does not count the wait for a server', async () => {
    await start({}, { users: { postgres: { password: 'postgres', transaction_timeout: '0.7s' } } })
    const { holder, waiter } = await crowded()
    expect(await failure(holder)).toMatchObject({ code: '25P04' })
    // It has waited for longer than the timeout.
    await waiter.expect('TDCZ')
    expect(letters(await waiter.query('SELECT pg_sleep(0.3)'))).toBe('TDCZ')
  })
})

describe('client_idle_timeout', () => {
  test('ends a client that does nothing with 57P05', async () => {
    await start({ client_idle_timeout: '0.3s' })
    const client = await connect()
    await client.query('SELECT 1')
    expect(await failure(client)).toMatchObject({
      severity: 'FATAL',
      code: '57P05',
      text: 'client_idle_timeout',
      detail: 'The limit is set by client_idle_timeout.',
    })
  })

  test('does not concern a client that waits, runs a query or is in a transaction', async () => {
    await start({ client_idle_timeout: '0.3s' })
    const { holder, waiter } = await crowded()
    expect(letters(await holder.query('SELECT pg_sleep(1)'))).toBe('TDCZ')
    // Its transaction is open; nothing is asked for.
    await pause(700)
    expect(letters(await holder.query('COMMIT'))).toBe('CZ')
    await waiter.expect('TDCZ')
    expect(await failure(waiter)).toMatchObject({ code: '57P05' })
  })

  test('begins with the welcome of a client, however long it has waited for that', async () => {
    await start({ client_idle_timeout: '0.7s', pool_mode: 'session' })
    const holder = await connect()
    await holder.query('BEGIN')
    // Not known to the pool, so a server has to be asked.
    const login = connect({ parameters: { timezone: 'Asia/Tokyo' } })
    await queued(1)
    // Longer than the timeout, in a query of the client that has the server.
    await holder.query('SELECT pg_sleep(1)')
    holder.end()
    const client = await login
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    await pause(400)
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
  })

  test('begins with the answer to a query that was canceled in the queue', async () => {
    await start({ client_idle_timeout: '0.7s' })
    const { holder, waiter } = await crowded()
    await holder.query('SELECT pg_sleep(1)')
    await waiter.cancel()
    await waiter.expect('EZ')
    await pause(400)
    await holder.query('COMMIT')
    expect(letters(await waiter.query('SELECT 1'))).toBe('TDCZ')
  })

  test('begins with the answer to a RESET, behind which startup values are applied', async () => {
    await start({ client_idle_timeout: '0.3s', query_timeout: '5s' })
    const client = await connect({ parameters: { application_name: 'start' } })
    await client.query("SET application_name = 'changed'")
    await client.query('RESET application_name')
    expect(await failure(client)).toMatchObject({ code: '57P05' })
  })

  test('begins anew with each lone Sync', async () => {
    await start({ client_idle_timeout: '0.7s' })
    const client = await connect()
    for (let i = 0; i < 4; i++) {
      expect(letters(await client.roundTrip(f.sync()))).toBe('Z')
      await pause(350)
    }
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
  })

  test('of a user is that user’s', async () => {
    await start({}, { users: { postgres: { password: 'postgres', client_idle_timeout: '0.2s' } } })
    expect(await failure(await connect())).toMatchObject({ code: '57P05' })
  })
})

describe('client_login_timeout', () => {
  test('ends a connection that does not log in', async () => {
    const { host, port } = await start({ client_login_timeout: '0.3s' })
    const client = await RawClient.open({ host, port })
    clients.push(client)
    expect(await failure(client)).toMatchObject({
      severity: 'FATAL',
      code: '57014',
      text: 'client_login_timeout',
    })
  })

  test('ends one that waits for a server to be welcomed, and the client in the queue with it', async () => {
    await start({ client_login_timeout: '0.3s' })
    const holder = await connect()
    await holder.query('BEGIN')
    // Not known to the pool, so a server has to be asked.
    await expect(connect({ parameters: { timezone: 'Asia/Tokyo' } })).rejects.toThrow('client_login_timeout')
    await queued(0)
  })
})

describe('error_codes = "pgbouncer"', () => {
  test('gives 08P01 to errors of the pooler, while those of PostgreSQL stay', async () => {
    await start({ error_codes: 'pgbouncer', idle_transaction_timeout: '1s', query_wait_timeout: '0.2s' })
    const { holder, waiter } = await crowded()
    expect(await failure(waiter)).toMatchObject({ code: '08P01', text: 'query_wait_timeout' })
    const [error] = ofType(await holder.query('SELECT 1/0'), 'E')
    expect(error).toMatchObject({ code: '22012' })
    expect(await failure(holder)).toMatchObject({ code: '08P01', text: 'idle transaction timeout' })
    const client = await connect()
    expect(rows(await client.query('SELECT 1'))).toEqual([['1']])
  })
})

function serverOf(): { host: string; port: number } {
  const { host, port } = sharedPostgres()
  return { host, port }
}
