import { afterEach, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { createDatabase, sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** What a reload changes in a running pooler, and what it leaves alone. */

let pooler: TestPooler
const clients: RawClient[] = []
const ends: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
  for (const end of ends.splice(0)) await end()
})

const server = () => sharedPostgres()
const place = () => {
  const { host, port, database } = server()
  return { host, port, dbname: database }
}

async function start(sections: ConfigInput = {}): Promise<void> {
  pooler = await startPooler({
    server: server(),
    ...sections,
    databases: { one: place(), two: place(), ...sections.databases },
  })
}

async function connect(database = 'one', user = 'postgres', password?: string): Promise<RawClient> {
  const client = await RawClient.connect({
    host: pooler.host,
    port: pooler.port,
    database,
    user,
    ...(password === undefined ? {} : { password }),
  })
  clients.push(client)
  return client
}

const pid = (client: RawClient) => client.value('SELECT pg_backend_pid()')

describe('limits and timeouts', () => {
  test('pool_size grows for those who wait already', async () => {
    await start({ pooler: { default_pool_size: 1 } })
    const [busy, late] = [await connect(), await connect()]
    await busy.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    await eventually(
      'a client to wait',
      () => pooler.stats.pools[0]?.waiting,
      (count) => count === 1,
    )
    await pooler.reload({ pooler: { default_pool_size: 2 } })
    expect(letters(await late.receiveUntil('Z'))).toBe('TDCZ')
  })

  test('pool_size shrinks as servers fall idle, without a loss', async () => {
    await start({ pooler: { default_pool_size: 3 } })
    const three = await Promise.all([connect(), connect(), connect()])
    await Promise.all(three.map((client) => client.query('BEGIN')))
    await pooler.reload({ pooler: { default_pool_size: 1 } })
    for (const client of three) expect(letters(await client.query('COMMIT'))).toBe('CZ')
    await eventually(
      'one server to be left',
      () => pooler.stats.pools[0]?.servers,
      (count) => count === 1,
    )
  })

  test('timeouts hold for clients that are there', async () => {
    await start()
    const client = await connect()
    await client.query('BEGIN')
    await pooler.reload({ pooler: { idle_transaction_timeout: 0.1 } })
    expect(await client.receive('E')).toMatchObject({ code: '25P03', text: 'idle transaction timeout' })
  })
})

describe('databases', () => {
  test('that are removed end for each client with its transaction, and nobody else notices', async () => {
    await start()
    const [idle, busy, other] = [await connect(), await connect(), await connect('two')]
    await busy.query('BEGIN')
    await pooler.reload({ databases: { one: undefined, '*': undefined } })
    expect(await idle.receive('E')).toMatchObject({ code: '57P01', text: 'database removed' })
    expect(letters(await busy.query('SELECT 1'))).toBe('TDCZ')
    expect(letters(await busy.query('COMMIT'))).toBe('CZ')
    expect(await busy.receive('E')).toMatchObject({ code: '57P01', text: 'database removed' })
    expect(letters(await other.query('SELECT 1'))).toBe('TDCZ')
    await expect(connect()).rejects.toThrow('database "one" does not exist')
  })

  test('with another dbname get other servers after the transaction, under the same client', async () => {
    await start()
    const database = await createDatabase()
    ends.push(database.drop)
    const [client, other] = [await connect(), await connect('two')]
    const before = await pid(other)
    await client.query('BEGIN')
    await pooler.reload({ databases: { one: { ...place(), dbname: database.database } } })
    expect(await client.value('SELECT current_database()')).toBe(server().database)
    await client.query('COMMIT')
    expect(await client.value('SELECT current_database()')).toBe(database.database)
    expect(await pid(other)).toBe(before)
  })

  test('with another user disconnect their clients between transactions', async () => {
    await start()
    const client = await connect()
    await pooler.reload({ databases: { one: { ...place(), user: 'postgres' } } })
    expect(await client.receive('E')).toMatchObject({
      code: '57P01',
      text: 'database configuration changed',
    })
    expect(await (await connect()).value('SELECT current_user')).toBe('postgres')
  })

  test('that are new can be used', async () => {
    await start({ databases: { '*': undefined } })
    await expect(connect('three')).rejects.toThrow('does not exist')
    await pooler.reload({ databases: { three: place() } })
    expect(letters(await (await connect('three')).query('SELECT 1'))).toBe('TDCZ')
  })
})

test('another pool_mode is for new clients; those that are there keep theirs', async () => {
  await start()
  const before = await connect()
  await before.roundTrip(frontend.parse('mine', 'SELECT 42'), frontend.sync())
  await pooler.reload({ pooler: { pool_mode: 'session' } })
  const after = await connect()
  await after.query("SET application_name = 'kept'; CREATE TEMPORARY TABLE kept ()")
  const [stays] = [await pid(after)]
  expect(letters(await before.roundTrip(frontend.bind('mine'), frontend.execute(), frontend.sync()))).toBe(
    '2DCZ',
  )
  expect(await pid(after)).toBe(stays)
  expect(await after.value("SELECT count(*) FROM pg_class WHERE relname = 'kept'")).toBe('1')
})

test('max_prepared_statements 0 is for new clients; those that are there keep their statements', async () => {
  await start()
  const before = await connect()
  await before.roundTrip(frontend.parse('mine', 'SELECT 42'), frontend.sync())
  await pooler.reload({ pooler: { max_prepared_statements: 0 } })
  await connect()
  expect(letters(await before.roundTrip(frontend.bind('mine'), frontend.execute(), frontend.sync()))).toBe(
    '2DCZ',
  )
})

describe('users', () => {
  test('another password is for logins from now on, and drops nobody', async () => {
    const own = { user: 'postgres', password: server().password }
    await start({
      pooler: { auth_type: 'scram-sha-256' },
      databases: { one: { ...place(), ...own } },
      users: { ann: { password: 'old' } },
    })
    const client = await connect('one', 'ann', 'old')
    await pooler.reload({ users: { ann: { password: 'new' } } })
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    await expect(connect('one', 'ann', 'old')).rejects.toThrow('28P01')
    await connect('one', 'ann', 'new')
  })
})

describe('what cannot change', () => {
  test('is reported and stays as it is', async () => {
    await start()
    const report = await pooler.reload({ pooler: { listen_backlog: 512, max_client_conn: 77 } })
    expect(report.kept).toEqual(['pooler.listen_backlog'])
    expect(report.changed).toEqual(['pooler.max_client_conn'])
    expect((await pooler.reload({ pooler: { max_client_conn: 77 } })).kept).toEqual([])
  })
})

describe('a configuration that is wrong', () => {
  test.each<[string, ConfigInput, string]>([
    ['a value', { pooler: { default_pool_size: -1 } }, 'pooler.default_pool_size'],
    ['a file that is missing', { pooler: { auth_file: '/nowhere/userlist.txt' } }, '/nowhere/userlist.txt'],
    [
      'a certificate',
      {
        pooler: {
          client_tls_sslmode: 'require',
          client_tls_key_file: '/nowhere/key',
          client_tls_cert_file: '/x',
        },
      },
      '/nowhere/key',
    ],
    ['rules', { pooler: { auth_type: 'hba', auth_hba_file: '/nowhere/hba' } }, '/nowhere/hba'],
  ])('in %s says so, and nothing changes', async (_what, change, words) => {
    await start({ pooler: { default_pool_size: 1 } })
    const client = await connect()
    const before = await pid(client)
    await expect(
      pooler.reload({ ...change, pooler: { query_wait_timeout: 0.1, ...change.pooler } }),
    ).rejects.toThrow(words)
    expect(await pid(client)).toBe(before)
    const late = await connect()
    await client.query('BEGIN')
    late.send(frontend.query('SELECT 1'))
    await eventually(
      'a client to wait',
      () => pooler.stats.pools[0]?.waiting,
      (count) => count === 1,
    )
    await client.query('COMMIT')
    expect(letters(await late.receiveUntil('Z'))).toBe('TDCZ')
  })
})

test('clients that connect and work during a storm of reloads never get an error', async () => {
  await start({ pooler: { default_pool_size: 2 } })
  let reloading = true
  const storm = (async () => {
    for (let i = 0; i < 20; i += 1) {
      const dbname = server().database
      const host = i % 2 === 0 ? '127.0.0.1' : 'localhost'
      await pooler.reload({
        pooler: { default_pool_size: 1 + (i % 3) },
        databases: { one: { host, port: server().port, dbname } },
      })
    }
    reloading = false
  })()
  const work = Array.from({ length: 4 }, async () => {
    while (reloading) {
      const client = await connect()
      expect(letters(await client.query('BEGIN'))).toBe('CZ')
      expect(await client.value('SELECT 42')).toBe('42')
      expect(letters(await client.query('COMMIT'))).toBe('CZ')
      client.end()
    }
  })
  await Promise.all([storm, ...work])
})
