import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from '../../../src/embedded/free-port.ts'
import { createPooler } from '../../../src/index.ts'
import { eventually } from '../../support/eventually.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'
import { sharedPostgres, startPostgres } from '../../support/postgres.ts'

/**
 * The command with log_format = "pgbouncer" in front of a real PostgreSQL: what happens gives the lines that PgBouncer
 * gives, and every line is one that programs which read PgBouncer's log understand.
 */

/** As pgBadger's: time, time zone, process, level, session, database, user, client, text. */
const CONNECTION_LINE =
  /^(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2})\.\d+(?: [A-Z+\-\d]{3,6})? \[(\d+)\] ([^\s]+) (.-0x[0-9a-f.]+): ([0-9a-zA-Z_[\]\-.]*|\(nodb\))\/([0-9a-zA-Z_[\]\-.]*|\(nouser\))@([a-zA-Z0-9\-.]+|\[local\]|[0-9a-fA-F:]+)?(?:\(\d+\))?[:\d]* (.*)$/
const STATISTICS_LINE =
  /stats: (\d+) xacts\/s, (\d+) queries\/s, (\d+) client parses\/s, (\d+) server parses\/s, (\d+) binds\/s, in (\d+) B\/s, out (\d+) B\/s, xact (\d+) us, query (\d+) us, wait (\d+) us$/
const ANY_LINE =
  /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3} [A-Z+\-\d]{3,6} \[\d+\] (LOG|WARNING|ERROR|DEBUG|NOISE) \S/

let folder: string
let port: number
let pooler: PoolerProcess | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-log-'))
  port = await freePort()
})
afterEach(async () => {
  await pooler?.end('SIGKILL')
  pooler = undefined
  await rm(folder, { recursive: true })
})

interface Server {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
}

async function start(server: Server, settings = '', parameters: string[] = []): Promise<PoolerProcess> {
  const { host, user, password, database } = server
  await writeFile(
    join(folder, 'pooler.toml'),
    `[pooler]
listen_port = ${port}
log_format = "pgbouncer"
auth_type = "scram-sha-256"
auth_failure_delay = 0
admin_users = ["${user}"]
${settings}
[databases.app]
host = "${host}"
port = ${server.port}
dbname = "${database}"
[databases."*"]
host = "${host}"
port = ${server.port}
[databases.down]
host = "127.0.0.1"
port = 1
[users.${user}]
password = "${password}"
`,
  )
  const started = new PoolerProcess({
    folder,
    parameters: ['pooler.toml', ...parameters],
    environment: { TZ: 'UTC' },
  })
  pooler = started
  return started
}

const lines = (text: string): string[] => text.split('\n').slice(0, -1)

/** Waits for a line on standard error, from `from` on, whose text behind the level matches. */
async function logged(text: RegExp): Promise<string> {
  const find = (): string | undefined => lines(pooler?.errors ?? '').find((line) => text.test(line))
  return (await eventually(`${text} in ${pooler?.errors}`, find, (line) => line !== undefined)) as string
}

function clientOf(
  { user, password }: Server,
  changes: { password?: string; database?: string } = {},
): Client {
  const client = new Client({ host: '127.0.0.1', port, user, password, database: 'app', ...changes })
  // The pooler ends some of them.
  client.on('error', () => {})
  return client
}

test('a client that comes and goes, and its server, are logged as PgBouncer does', async () => {
  const server = sharedPostgres()
  await start(server)
  await logged(/LOG process up: PgBouncer 1\.\d+\.\d+ \(pooler \S+\), Node\.js v\d+\S+, tls: OpenSSL \S+$/)
  await logged(new RegExp(`LOG listening on 127\\.0\\.0\\.1:${port}$`))
  const client = clientOf(server)
  await client.connect()
  await client.query('SELECT 1')
  await client.end()
  const user = server.user
  const who = `app/${user}@127\\.0\\.0\\.1:\\d+`
  const attempt = await logged(
    new RegExp(`LOG C-0x[0-9a-f]+: ${who} login attempt: db=app user=${user} tls=no replication=no$`),
  )
  const closed = await logged(
    new RegExp(`LOG C-0x[0-9a-f]+: ${who} closing because: client close request \\(age=\\d+s\\)$`),
  )
  expect(CONNECTION_LINE.exec(closed)?.slice(3, 8)).toEqual(CONNECTION_LINE.exec(attempt)?.slice(3, 8))
  await logged(
    new RegExp(
      `LOG S-0x[0-9a-f]+: app/${user}@127\\.0\\.0\\.1:${server.port} new connection to server \\(from 127\\.0\\.0\\.1:\\d+\\)$`,
    ),
  )
  await pooler?.end('SIGTERM')
  await logged(
    new RegExp(
      `LOG S-0x[0-9a-f]+: app/${user}@127\\.0\\.0\\.1:${server.port} closing because: .* \\(age=\\d+s\\)$`,
    ),
  )
  expect(pooler?.output).toBe('')
  for (const line of lines(pooler?.errors ?? '')) expect(line).toMatch(ANY_LINE)
})

test('failed logins of clients and at servers, and missing databases, are logged with their reasons', async () => {
  const server = sharedPostgres()
  await start(server, 'query_wait_timeout = 1\nclient_login_timeout = 1')
  await logged(/process up/)
  await expect(clientOf(server, { password: 'wrong' }).connect()).rejects.toThrow('authentication failed')
  const error = await logged(/WARNING C-0x[0-9a-f]+: app\/\S+ pooler error: .*authentication failed/)
  expect(CONNECTION_LINE.exec(error)?.[3]).toBe('WARNING')
  await logged(/LOG C-0x[0-9a-f]+: app\/\S+ login attempt: db=app user=/)
  await logged(/LOG C-0x[0-9a-f]+: app\/\S+ closing because: .*authentication failed.* \(age=\d+s\)$/)
  await expect(clientOf(server, { database: 'nowhere' }).connect()).rejects.toThrow('does not exist')
  await logged(/LOG C-0x[0-9a-f]+: nowhere\/\S+ registered new auto-database: db=nowhere$/)
  await logged(/WARNING C-0x[0-9a-f]+: nowhere\/\S+ pooler error: .*does not exist/)
  await expect(clientOf(server, { database: 'down' }).connect()).rejects.toThrow()
  await logged(/LOG S-0x[0-9a-f]+: down\/\S+@127\.0\.0\.1:1 closing because: connect failed \(age=\d+s\)$/)
  await logged(/WARNING down\/\S+: server login failed: .*ECONNREFUSED/)
})

test('query_wait_timeout and a lost server are logged for those that they hit', async () => {
  const server = await startPostgres()
  try {
    await start(server, 'default_pool_size = 1\nquery_wait_timeout = "300ms"')
    await logged(/process up/)
    const [holder, waiter] = [clientOf(server), clientOf(server)]
    await holder.connect()
    await holder.query('BEGIN')
    await waiter.connect()
    await expect(waiter.query('SELECT 1')).rejects.toThrow('query_wait_timeout')
    await logged(/WARNING C-0x[0-9a-f]+: app\/\S+ pooler error: query_wait_timeout$/)
    await logged(/LOG C-0x[0-9a-f]+: app\/\S+ closing because: query_wait_timeout \(age=\d+s\)$/)
    await server.stop()
    await logged(/LOG S-0x[0-9a-f]+: app\/\S+ closing because: .+ \(age=\d+s\)$/)
    await logged(/LOG C-0x[0-9a-f]+: app\/\S+ closing because: server conn crashed\? \(age=\d+s\)$/)
    await holder.end()
  } finally {
    await server.stop()
  }
})

test('statistics are logged in a line that monitoring reads', async () => {
  await start(sharedPostgres(), 'stats_period = 1')
  expect(await logged(/LOG stats: /)).toMatch(STATISTICS_LINE)
})

test('signals are logged in the words of PgBouncer', async () => {
  await start(sharedPostgres())
  await logged(/process up/)
  pooler?.signal('SIGHUP')
  await logged(/LOG got SIGHUP, re-reading config$/)
  pooler?.signal('SIGUSR1')
  await logged(/LOG got SIGUSR1, pausing all activity$/)
  pooler?.signal('SIGUSR2')
  await logged(/LOG got SIGUSR2, continuing from PAUSE$/)
  expect(await pooler?.end('SIGTERM')).toBe(0)
  await logged(/LOG got SIGTERM, shutting down, waiting for all clients disconnect$/)
})

test('SET in the console turns lines off and on', async () => {
  const server = sharedPostgres()
  await start(server)
  await logged(/process up/)
  const console = clientOf(server, { database: 'pgbouncer' })
  await console.connect()
  await logged(/pgbouncer\/\S+ login attempt: db=pgbouncer /)
  await console.query('SET log_connections = 0')
  await console.query('SET verbose = 1')
  const silent = clientOf(server)
  await silent.connect()
  await silent.end()
  await logged(/app\/\S+ closing because: client close request/)
  expect(pooler?.errors).not.toContain('login attempt: db=app')
  await console.query('SET log_connections = 1')
  const told = clientOf(server)
  await told.connect()
  await told.end()
  await logged(/login attempt: db=app /)
  await console.end()
})

test('logfile gets the same lines; after its renaming SIGHUP begins another one', async () => {
  const server = sharedPostgres()
  await start(server, 'logfile = "pooler.log"')
  await logged(/process up/)
  const logfile = join(folder, 'pooler.log')
  await eventually(
    'the first lines',
    () => readFile(logfile, 'utf8'),
    (text) => text.includes('process up'),
  )
  await rename(logfile, `${logfile}.1`)
  pooler?.signal('SIGHUP')
  await eventually(
    'another file',
    () => readFile(logfile, 'utf8').catch(() => ''),
    (text) => text !== '',
  )
  expect(await pooler?.end('SIGTERM')).toBe(0)
  const written = (await readFile(`${logfile}.1`, 'utf8')) + (await readFile(logfile, 'utf8'))
  expect(lines(written)).toEqual(lines(pooler?.errors ?? ''))
})

test('a logfile that cannot be written to ends the start with one sentence', async () => {
  await start(sharedPostgres(), 'logfile = "missing/pooler.log"')
  expect(await pooler?.exitCode()).toBe(1)
  expect(pooler?.errors).toBe(
    `pooler: logfile: cannot write to ${join(folder, 'missing', 'pooler.log')} (ENOENT)\n`,
  )
})

test('a reload with a logfile that cannot be written to fails and changes nothing', async () => {
  const server = sharedPostgres()
  await start(server)
  await logged(/process up/)
  const toml = await readFile(join(folder, 'pooler.toml'), 'utf8')
  await writeFile(
    join(folder, 'pooler.toml'),
    toml.replace('[databases.app]', 'logfile = "missing/x"\nmax_client_conn = 7\n[databases.app]'),
  )
  const console = clientOf(server, { database: 'pgbouncer' })
  await console.connect()
  await expect(console.query('RELOAD')).rejects.toThrow('RELOAD failed')
  await logged(/ERROR reload failed.*: logfile: cannot write to/)
  const { rows } = await console.query('SHOW CONFIG')
  expect(rows.find(({ key }) => key === 'max_client_conn')?.value).not.toBe('7')
  await console.end()
})

test('a pooler inside another program that brings its own logger refuses what it cannot do with that', () => {
  const log = pino({ level: 'silent' })
  const configuration = { pooler: { log_format: 'pgbouncer' }, databases: { app: {} } } as const
  expect(() => createPooler(configuration, { log })).toThrow('log_format')
})
