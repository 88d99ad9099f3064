import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { isMessage, letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Replication connections: one server connection for each client, with its own parameters, in both directions. */

const run = promisify(execFile)

let postgres: TestPostgres
let pooler: TestPooler
const clients: RawClient[] = []

beforeAll(async () => {
  postgres = await startPostgres({
    settings: { wal_level: 'logical', max_wal_senders: '10', wal_sender_timeout: '0' },
    hba: 'host all all all scram-sha-256\nhost replication all all scram-sha-256\n',
  })
  await postgres.query('CREATE TABLE stream (n int); CREATE ROLE plain LOGIN PASSWORD $$secret$$')
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
})

afterAll(() => postgres.stop())

async function start(settings: Record<string, unknown> = {}): Promise<void> {
  pooler = await startPooler({
    server: postgres,
    pooler: settings,
    users: { plain: { password: 'secret' } },
  })
}

async function connect(parameters: Record<string, string> = {}, user = 'postgres'): Promise<RawClient> {
  const client = await RawClient.connect({
    host: pooler.host,
    port: pooler.port,
    user,
    database: postgres.database,
    parameters,
  })
  clients.push(client)
  return client
}

const logical = (parameters: Record<string, string> = {}, user?: string) =>
  connect({ replication: 'database', ...parameters }, user)

/** A client to which a slot streams; it is removed with the connection. */
async function streaming(slot: string): Promise<RawClient> {
  const client = await logical()
  const created = await client.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL test_decoding`)
  expect(letters(created)).toBe('TDCZ')
  client.send(frontend.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0`))
  await client.receive('W')
  return client
}

/** Reads the stream up to a message that contains the text. */
async function dataWith(client: RawClient, text: string): Promise<void> {
  for (;;) {
    const { body } = await client.receive('d')
    if (body.toString('latin1').includes(text)) return
  }
}

const senders = () => postgres.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
const noSenders = () => eventually('the WAL sender to end', senders, (found) => found.length === 0)

describe('a logical replication client', () => {
  test('speaks with the WAL sender, and with SQL', async () => {
    await start()
    const client = await logical()
    expect(letters(await client.query('IDENTIFY_SYSTEM'))).toBe('TDCZ')
    expect(await client.value('SELECT current_database()')).toBe(postgres.database)
  })

  test('streams in both directions and ends the stream in good order', async () => {
    await start()
    const client = await streaming('both_ways')
    await postgres.query('INSERT INTO stream VALUES (42)')
    await dataWith(client, 'integer]:42')
    // Standby status update: 'r', three positions, a clock, and "answer me".
    const status = Buffer.alloc(34)
    status.write('r')
    status[33] = 1
    client.send(frontend.copyData(status))
    // A keepalive is the answer.
    await dataWith(client, 'k')
    client.send(frontend.copyDone())
    expect(letters(await client.receiveUntil('Z'))).toMatch(/^[dc]+C+Z$/)
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
  })

  test('has its own startup parameters', async () => {
    await start()
    const client = await logical({ application_name: 'standby', options: '-c work_mem=1234kB' })
    expect(client.startParameters.get('application_name')).toBe('standby')
    expect(await client.value('SHOW work_mem')).toBe('1234kB')
  })

  test('whose user may not replicate is told so by PostgreSQL', async () => {
    await start()
    await expect(logical({}, 'plain')).rejects.toThrow('42501')
  })

  test('that vanishes takes its server connection with it', async () => {
    await start()
    const client = await streaming('vanishes')
    expect(await senders()).toHaveLength(1)
    client.reset()
    await noSenders()
    expect(await postgres.query('SELECT * FROM pg_replication_slots')).toEqual([])
    await eventually(
      'the pool to be empty',
      () => pooler.stats.pools.every(({ servers }) => servers === 0),
      (empty) => empty,
    )
  })

  test('whose WAL sender is ended gets one error', async () => {
    await start()
    const client = await streaming('ended')
    const [sender] = await senders()
    await postgres.query(`SELECT pg_terminate_backend(${sender?.pid})`)
    const rest = await client.receiveRest()
    expect(rest.filter(({ type }) => type === 'E')).toMatchObject([{ code: '57P01' }])
  })

  test('can cancel what it asked for', async () => {
    await start()
    const client = await logical()
    client.send(frontend.query('SELECT pg_sleep(60)'))
    await eventually(
      'the query to run',
      () => postgres.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
      (found) => found.length === 1,
    )
    await client.cancel()
    expect(letters(await client.receiveUntil('Z'))).toBe('TEZ')
  })

  test('is disconnected when the pooler ends, though it is in no transaction that could end', async () => {
    await start()
    const client = await streaming('drained')
    await pooler.control.shutdown('wait_for_servers')
    const rest = await client.receiveRest()
    expect(rest.filter(({ type }) => type === 'E')).toMatchObject([{ code: '57P01' }])
  })
})

describe('a physical replication client', () => {
  const physical = () => connect({ replication: 'true' })

  test('gets WAL from where it asks for it, and cannot speak SQL', async () => {
    await start()
    const client = await physical()
    expect(letters(await client.query('SELECT 1'))).toBe('EZ')
    const [row] = await postgres.query('SELECT pg_current_wal_lsn() AS lsn')
    client.send(frontend.query(`START_REPLICATION PHYSICAL ${row?.lsn}`))
    await client.receive('W')
    await postgres.query("SELECT pg_logical_emit_message(false, 'test', 'physical and here')")
    await dataWith(client, 'physical and here')
    client.send(frontend.copyDone())
    expect(letters(await client.receiveUntil('Z'))).toMatch(/^[dc]+C+Z$/)
  })

  test('gets a base backup of any size as fast as it reads', async () => {
    await start()
    const client = await physical()
    client.stream.socket.pause()
    client.send(frontend.query('BASE_BACKUP (CHECKPOINT $$fast$$, WAL false)'.replaceAll('$$', "'")))
    await eventually(
      'PostgreSQL to wait for it',
      () =>
        postgres.query(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event IN ('WalSenderWriteData', 'ClientWrite')",
        ),
      (found) => found.length === 1,
    )
    client.stream.socket.resume()
    const reply = await client.receiveUntil('Z')
    const bytes = reply.reduce((sum, { type, body }) => sum + (type === 'd' ? body.length : 0), 0)
    expect(bytes).toBeGreaterThan(20_000_000)
    expect(reply.filter(({ type }) => type === 'E')).toEqual([])
  })
})

describe('pool_size', () => {
  test('counts it: an idle server is closed in its favour', async () => {
    await start({ default_pool_size: 1 })
    const pooled = await connect()
    await pooled.query('SELECT 1')
    const client = await logical()
    expect(letters(await client.query('IDENTIFY_SYSTEM'))).toBe('TDCZ')
    expect(pooler.stats.pools).toMatchObject([{ servers: 1, active: 1 }])
  })

  test('and the console shows it with its kind of replication', async () => {
    await start({ admin_users: 'postgres' })
    await logical()
    const console = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'pgbouncer' })
    clients.push(console)
    const rows = (await console.query('SHOW CLIENTS')).filter((message) => isMessage(message, 'D'))
    expect(rows.map(({ values }) => values.slice(0, 5).map(String))).toContainEqual([
      'C',
      'postgres',
      postgres.database,
      'logical',
      'active',
    ])
  })

  test('makes it wait for a server that is in use, and others for it', async () => {
    await start({ default_pool_size: 1 })
    const pooled = await connect()
    await pooled.query('BEGIN')
    const login = logical()
    await eventually(
      'the login to wait',
      () => pooler.stats.pools[0]?.waiting,
      (count) => count === 1,
    )
    await pooled.query('COMMIT')
    const client = await login
    pooled.send(frontend.query('SELECT 1'))
    await eventually(
      'the query to wait',
      () => pooler.stats.pools[0]?.waiting,
      (count) => count === 1,
    )
    client.end()
    expect(letters(await pooled.receiveUntil('Z'))).toBe('TDCZ')
  })
})

describe('the programs of PostgreSQL', () => {
  /** Why a program cannot be tried; undefined if it can. */
  async function obstacle(program: string): Promise<string | undefined> {
    const version = await run(program, ['--version']).then(
      ({ stdout }) => Number(/\d+/.exec(stdout)?.[0]),
      () => undefined,
    )
    if (version === undefined) return `${program} is not installed`
    const [row] = await postgres.query('SELECT current_setting($$server_version_num$$)::int / 10000 AS major')
    return version < Number(row?.major) ? `${program} ${version} does not take a newer server` : undefined
  }

  const connection = () =>
    ['--host', pooler.host, '--port', String(pooler.port), '--username', 'postgres', '--no-password'] as const

  test('pg_receivewal streams', async (context) => {
    const reason = await obstacle('pg_receivewal')
    if (reason !== undefined) context.skip(reason)
    await start()
    const folder = await mkdtemp(join(tmpdir(), 'pooler-wal-'))
    try {
      const [row] = await postgres.query('SELECT pg_current_wal_lsn() AS lsn')
      await run('pg_receivewal', [
        ...connection(),
        '--directory',
        folder,
        '--endpos',
        String(row?.lsn),
        '--no-loop',
      ])
      expect(await readdir(folder)).toHaveLength(1)
    } finally {
      await rm(folder, { recursive: true })
    }
    await noSenders()
  })

  test('pg_recvlogical streams', async (context) => {
    const reason = await obstacle('pg_recvlogical')
    if (reason?.includes('not installed')) context.skip(reason)
    await start()
    const slot = [...connection(), '--dbname', postgres.database, '--slot', 'program'] as const
    await run('pg_recvlogical', [...slot, '--create-slot', '--plugin', 'test_decoding'])
    try {
      await postgres.query('INSERT INTO stream VALUES (4711)')
      const program = spawn('pg_recvlogical', [...slot, '--start', '--no-loop', '--file', '-'])
      let output = ''
      program.stdout.on('data', (chunk: Buffer) => {
        output += chunk
      })
      await eventually(
        'the change to arrive',
        () => output,
        (text) => text.includes('integer]:4711'),
      )
      program.kill('SIGINT')
      expect((await once(program, 'close'))[0]).toBe(0)
    } finally {
      await noSenders()
      await run('pg_recvlogical', [...slot, '--drop-slot'])
    }
  })
})
