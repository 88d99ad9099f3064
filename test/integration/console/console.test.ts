import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { actions, shows } from '../../../src/admin/command-list.ts'
import { letters } from '../../support/backend-message.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** The admin console, through `pg` and byte by byte. */

let pooler: TestPooler
const clients: (pg.Client | RawClient)[] = []

beforeAll(async () => {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { admin_users: 'boss', stats_users: 'watcher' },
    users: { boss: {}, watcher: {}, stranger: {} },
  })
})

afterEach(async () => {
  for (const client of clients.splice(0)) {
    if (client instanceof RawClient) client.destroy()
    else await client.end()
  }
})

afterAll(() => pooler.stop())

async function console(user = 'boss', database = 'pgbouncer'): Promise<pg.Client> {
  const client = new pg.Client(pooler.url(database, user))
  // The end of the pooler's side is what some tests are about.
  client.on('error', () => {})
  await client.connect()
  clients.push(client)
  return client
}

async function application(): Promise<RawClient> {
  const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'postgres' })
  clients.push(client)
  return client
}

async function rows(client: pg.Client, sql: string): Promise<Record<string, unknown>[]> {
  return (await client.query(sql)).rows
}

describe('who may', () => {
  test('a user in neither list is refused after the login', async () => {
    await expect(console('stranger')).rejects.toMatchObject({ code: '42501', message: 'not allowed' })
  })

  test('both names of the console lead there', async () => {
    for (const name of ['pgbouncer', 'pooler'])
      expect(await rows(await console('boss', name), 'SHOW VERSION')).toEqual([
        { version: expect.stringMatching(/^PgBouncer \d+\.\d+\.\d+ \(pooler /) },
      ])
  })

  test.each(actions.map(({ name }) => name))('one of stats_users may not %s', async (name) => {
    const client = await console('watcher')
    await expect(client.query(`${name} postgres`)).rejects.toMatchObject({ message: 'admin access needed' })
  })

  test('one of stats_users may not SET, nor see the texts of others', async () => {
    const client = await console('watcher')
    for (const sql of ['SET default_pool_size = 1', 'SHOW PREPARED_STATEMENTS', 'SHOW FDS'])
      await expect(client.query(sql)).rejects.toMatchObject({ message: 'admin access needed' })
    expect(await rows(client, 'SHOW STATE')).toHaveLength(3)
  })
})

describe('SHOW', () => {
  test('gives a table for everything but FDS, in both protocols', async () => {
    await application()
    const client = await console()
    for (const { name } of shows) {
      if (name === 'FDS') {
        await expect(client.query('SHOW FDS')).rejects.toMatchObject({ code: '0A000' })
        continue
      }
      const simple = await client.query(`SHOW ${name}`)
      const extended = await client.query({ text: `SHOW ${name}`, values: [] })
      const prepared = await client.query({ name: `show ${name}`, text: `SHOW ${name}`, values: [] })
      for (const result of [extended, prepared])
        expect(result.fields.map((field) => field.name)).toEqual(simple.fields.map((field) => field.name))
    }
  })

  test('CLIENTS and SERVERS tell who has whom', async () => {
    const app = await application()
    await app.query('BEGIN')
    const client = await console()
    const active = (await rows(client, 'SHOW CLIENTS')).find(({ database }) => database === 'postgres')
    const server = (await rows(client, 'SHOW SERVERS')).find(({ state }) => state === 'active')
    expect(active).toMatchObject({ type: 'C', user: 'postgres', state: 'active', addr: '127.0.0.1' })
    expect(server).toMatchObject({ type: 'S', link: active?.ptr })
    expect(active?.link).toBe(server?.ptr)
    expect(String(server?.remote_pid)).toBe(await app.value('SELECT pg_backend_pid()'))
  })

  test('POOLS and WAITERS tell who waits', async () => {
    const { default_pool_size: size } = Object.fromEntries(
      (await rows(await console(), 'SHOW CONFIG')).map(({ key, value }) => [key, value]),
    )
    const busy = await Promise.all(Array.from({ length: Number(size) }, application))
    await Promise.all(busy.map((one) => one.query('BEGIN')))
    const late = await application()
    late.send(frontend.query('SELECT 1'))
    const client = await console()
    await expect
      .poll(async () => (await rows(client, 'SHOW POOLS')).find(({ database }) => database === 'postgres'))
      .toMatchObject({ cl_waiting: 1, sv_active: Number(size) })
    expect(await rows(client, 'SHOW WAITERS')).toMatchObject([{ database: 'postgres', user: 'postgres' }])
    await busy[0]?.query('COMMIT')
    await late.receiveUntil('Z')
    expect(await rows(client, 'SHOW WAITERS')).toEqual([])
  })

  test('STATS counts a transaction, its queries and its bytes, and never goes back', async () => {
    const stats = async () =>
      (await rows(await console(), 'SHOW STATS')).find((row) => row.database === 'postgres')
    const before = await stats()
    const app = await application()
    await app.query('BEGIN')
    await app.query('SELECT 1')
    await app.query('COMMIT')
    app.destroy()
    const after = await stats()
    const change = (name: string) => Number(after?.[name]) - Number(before?.[name])
    expect(change('total_query_count')).toBe(3)
    expect(change('total_xact_count')).toBe(1)
    expect(change('total_client_login_count')).toBe(1)
    expect(change('total_server_assignment_count')).toBe(1)
    expect(change('total_received')).toBeGreaterThan(30)
    expect(change('total_sent')).toBeGreaterThan(60)
  })

  test('what drivers ask for at connect is answered, and SET of it is accepted with a notice', async () => {
    const client = await console()
    expect(await rows(client, 'SHOW client_encoding')).toEqual([{ client_encoding: 'UTF-8' }])
    const notices: unknown[] = []
    client.on('notice', ({ message }) => notices.push(message))
    for (const sql of ['SET extra_float_digits = 3', "SET client_encoding TO 'UTF8'"]) await client.query(sql)
    expect(notices).toEqual(['SET ignored', 'SET ignored'])
  })

  test('HELP is a notice that names every command', async () => {
    const client = await console()
    const help: (string | undefined)[] = []
    client.on('notice', ({ detail }) => help.push(detail))
    await client.query('SHOW HELP')
    for (const { name } of [...shows, ...actions]) expect(help[0]).toContain(name)
  })
})

describe('commands', () => {
  test('PAUSE waits for the transaction and holds queries until RESUME', async () => {
    const app = await application()
    await app.query('BEGIN')
    const client = await console()
    let paused = false
    const pause = client.query('PAUSE postgres').then(({ command }) => {
      paused = true
      return command
    })
    const other = await console()
    await expect
      .poll(() => rows(other, 'SHOW DATABASES'))
      .toContainEqual(expect.objectContaining({ name: 'postgres', paused: 1 }))
    expect(paused).toBe(false)
    await app.query('COMMIT')
    expect(await pause).toBe('PAUSE')
    app.send(frontend.query('SELECT 1'))
    await expect.poll(() => rows(other, 'SHOW WAITERS')).toHaveLength(1)
    await other.query('RESUME postgres')
    expect(letters(await app.receiveUntil('Z'))).toBe('TDCZ')
  })

  test('KILL_CLIENT ends one client by its id', async () => {
    const app = await application()
    const client = await console()
    const row = (await rows(client, 'SHOW CLIENTS')).find(({ database }) => database === 'postgres')
    await client.query(`KILL_CLIENT ${row?.id}`)
    expect(await app.receive('E')).toMatchObject({ fields: expect.anything() })
    await app.closed()
    await expect(client.query('KILL_CLIENT 999999')).rejects.toThrow('client not found')
    await expect(client.query('KILL_CLIENT me')).rejects.toThrow('invalid client pointer supplied')
    expect(await rows(client, 'SHOW ERRORS')).toContainEqual({
      sqlstate: '57P01',
      message: 'admin forced disconnect',
      count: '1',
    })
  })

  test('SET changes a setting at once, and refuses what it cannot', async () => {
    const client = await console()
    expect((await client.query("SET query_wait_timeout = '7'")).command).toBe('SET')
    expect(await rows(client, 'SHOW CONFIG')).toContainEqual(
      expect.objectContaining({ key: 'query_wait_timeout', value: '7' }),
    )
    for (const sql of ['SET listen_port = 1', 'SET nonsense = 1', "SET default_pool_size = 'many'"])
      await expect(client.query(sql)).rejects.toThrow('SET failed')
  })

  test('DISABLE keeps new clients out until ENABLE', async () => {
    const client = await console()
    await client.query('DISABLE postgres')
    await expect(application()).rejects.toThrow('database "postgres" is disabled')
    await client.query('ENABLE postgres')
    await application()
  })

  test.each([
    ['NONSENSE', "invalid command 'NONSENSE', use SHOW HELP;"],
    ['SHOW NONSENSE', "invalid command 'SHOW NONSENSE', use SHOW HELP;"],
    ['DISABLE', 'a database is required'],
    ['PAUSE pgbouncer', 'cannot pause admin db: pgbouncer'],
    ['RESUME', 'pooler is not paused/suspended'],
    ['SHUTDOWN SOMETIME', 'bad arguments'],
    ['RELOAD', 'RELOAD failed, see logs for additional details'],
  ])('%s is refused with the words of PgBouncer', async (sql, message) => {
    await expect((await console()).query(sql)).rejects.toThrow(message)
  })

  test('a second PAUSE is refused', async () => {
    const client = await console()
    await client.query('PAUSE')
    await expect(client.query('PAUSE')).rejects.toThrow('already suspended/paused')
    await client.query('RESUME')
  })
})

describe('a client that gives up', () => {
  async function rawConsole(): Promise<RawClient> {
    const { host, port } = pooler
    const client = await RawClient.connect({ host, port, user: 'boss', database: 'pgbouncer' })
    clients.push(client)
    return client
  }

  const states = async (client: pg.Client) =>
    Object.fromEntries((await rows(client, 'SHOW STATE')).map(({ key, value }) => [key, value]))

  const isPaused = async (client: pg.Client) =>
    (await rows(client, 'SHOW DATABASES')).find(({ name }) => name === 'postgres')?.paused

  test.each([
    ['PAUSE', 'PAUSE postgres'],
    ['PAUSE of everything', 'PAUSE'],
  ])('by a cancel resumes what its %s has paused, and may go on', async (_name, sql) => {
    const app = await application()
    await app.query('BEGIN')
    const watcher = await console()
    const raw = await rawConsole()
    raw.send(frontend.query(sql))
    await expect.poll(() => isPaused(watcher)).toBe(1)
    await raw.cancel()
    const answer = await raw.receiveUntil('Z')
    expect(letters(answer)).toBe('EZ')
    expect(answer[0]?.body.toString()).toContain('57014')
    expect(await isPaused(watcher)).toBe(0)
    expect(await states(watcher)).toMatchObject({ active: 'yes', paused: 'no' })
    expect(letters(await raw.query('SHOW VERSION'))).toBe('TDCZ')
    await app.query('COMMIT')
    expect(await app.value('SELECT 1')).toBe('1')
  })

  test.each(['destroy', 'end', 'reset'] as const)(
    'by leaving (%s) resumes what it has paused',
    async (how) => {
      const app = await application()
      await app.query('BEGIN')
      const watcher = await console()
      const raw = await rawConsole()
      raw.send(frontend.query('PAUSE postgres'))
      await expect.poll(() => isPaused(watcher)).toBe(1)
      raw[how]()
      await expect.poll(() => isPaused(watcher)).toBe(0)
      await app.query('COMMIT')
    },
  )

  test('WAIT_CLOSE is given up by a cancel, and RECONNECT stays done', async () => {
    const app = await application()
    await app.query('BEGIN')
    const watcher = await console()
    await watcher.query('RECONNECT postgres')
    const raw = await rawConsole()
    raw.send(frontend.query('WAIT_CLOSE postgres'))
    raw.send(frontend.query('SHOW VERSION'))
    await raw.cancel()
    expect(letters(await raw.receiveUntil('Z'))).toBe('EZ')
    expect(letters(await raw.receiveUntil('Z'))).toBe('TDCZ')
    expect(await rows(watcher, 'SHOW SERVERS')).toContainEqual(expect.objectContaining({ close_needed: 1 }))
    await app.query('COMMIT')
  })

  test('a PAUSE that is done stays when its client leaves or cancels', async () => {
    const watcher = await console()
    const raw = await rawConsole()
    expect(letters(await raw.query('PAUSE postgres'))).toBe('CZ')
    await raw.cancel()
    raw.destroy()
    expect(await isPaused(watcher)).toBe(1)
    await watcher.query('RESUME postgres')
  })
})

describe('byte by byte', () => {
  async function raw(): Promise<RawClient> {
    const client = await RawClient.connect({
      host: pooler.host,
      port: pooler.port,
      user: 'boss',
      database: 'pgbouncer',
    })
    clients.push(client)
    return client
  }

  test('an error in a pipeline skips to its Sync, and the console goes on', async () => {
    const client = await raw()
    client.send(frontend.parse('', 'NONSENSE'), frontend.bind('', {}), frontend.execute(''), frontend.sync())
    expect(letters(await client.receiveUntil('Z'))).toBe('EZ')
    expect(letters(await client.query('SHOW STATE'))).toBe('TDDDCZ')
    expect(letters(await client.query(''))).toBe('IZ')
  })

  test('an unknown statement or portal is PostgreSQL’s error', async () => {
    const client = await raw()
    client.send(frontend.bind('nobody'), frontend.sync(), frontend.execute('nobody'), frontend.sync())
    const replies = await client.receiveReplies(2)
    expect(letters(replies)).toBe('EZEZ')
  })

  test('a command that is far too long is refused', async () => {
    const client = await raw()
    expect(letters(await client.query(`SHOW ${'x'.repeat(100_000)}`))).toBe('EZ')
    expect(letters(await client.query('SHOW VERSION'))).toBe('TDCZ')
  })
})
