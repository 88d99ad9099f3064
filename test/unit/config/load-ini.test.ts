import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConfigError } from '../../../src/config/config-error.ts'
import { loadConfig } from '../../../src/config/load-config.ts'
import type { LoadedConfig } from '../../../src/config/load-ini.ts'
import { pgbouncerDefaults } from '../../../src/config/pgbouncer-defaults.ts'
import { pgbouncerSettings } from '../../../src/config/pgbouncer-settings.ts'
import { settings } from '../../../src/config/settings.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-ini-'))
})
afterAll(() => rm(folder, { recursive: true }))

let files = 0
async function load(text: string, extension = 'ini'): Promise<LoadedConfig> {
  const path = join(folder, `${++files}.${extension}`)
  await writeFile(path, text)
  return loadConfig(path)
}

/** The lines of the error, without the folder and the number of the file. */
async function problemsOf(text: string): Promise<string[]> {
  const error: unknown = await load(text).catch((caught: unknown) => caught)
  if (!(error instanceof ConfigError)) throw new Error('expected a ConfigError', { cause: error })
  return error.message.split('\n').map((line) => line.replace(join(folder, `${files}.ini`), 'ini'))
}

async function noticesOf(text: string): Promise<string[]> {
  const { notices } = await load(text)
  return notices.map((line) => line.replace(join(folder, `${files}.ini`), 'ini'))
}

/** A setting of [pgbouncer] as it is held. */
async function held(line: string, name = line.split(/[ =]/)[0] as keyof typeof settings): Promise<unknown> {
  const { config } = await load(`[pgbouncer]\n${line}\n`)
  return (config.pooler as unknown as Record<string, unknown>)[name]
}

describe('which format a file has', () => {
  test.each([
    ['ini', '[databases]\na = \n', 'session'],
    ['INI', '', 'session'],
    ['conf', '; x\n [pgbouncer]\n', 'session'],
    ['conf', '[pooler]\n', 'transaction'],
    ['toml', '', 'transaction'],
  ])('.%s with %j', async (extension, text, mode) => {
    expect((await load(text, extension)).config.pooler.pool_mode).toBe(mode)
  })

  test('a .toml stays one, whatever its sections are called', async () => {
    await expect(load('[pgbouncer]\n', 'toml')).rejects.toThrow('it is called [pooler] here')
  })
})

describe('a value of [pgbouncer]', () => {
  test.each<[string, unknown]>([
    ['listen_port = 0x1900', 6400],
    ['listen_port = 014400', 6400],
    ['listen_port=+6400', 6400],
    ['unix_socket_mode = 0770', 0o770],
    ['unix_socket_mode = 504', 0o770],
    ['server_round_robin = 1', true],
    ['server_round_robin = 0', false],
    ['server_round_robin = -7', true],
    ['query_timeout = 1.5', 1500],
    ['query_timeout = 0.25', 250],
    ['query_timeout = 1e2', 100_000],
    ['query_timeout = .5', 500],
    ['query_timeout = 0', 0],
    ['pool_mode = Transaction', 'transaction'],
    ['auth_type = SCRAM-SHA-256', 'scram-sha-256'],
    ['listen_addr = 127.0.0.1, ::1', ['127.0.0.1', '::1']],
    ['listen_addr =', []],
    ['listen_addr = , 127.0.0.1,,localhost,', ['127.0.0.1', 'localhost']],
    ['admin_users = user2, someadmin, otheradmin', ['user2', 'someadmin', 'otheradmin']],
    ['stats_period = 30', 30_000],
    ['log_stats = 0', false],
    ['dns_max_ttl = 0.5', 500],
    ['user = postgres', 'postgres'],
    ['server_reset_query =', ''],
    ['server_check_query = select 1; -- "x"', 'select 1; -- "x"'],
    ['auth_file =', undefined],
    ['auth_user =', undefined],
    ['auth_file = /etc/userlist.txt', '/etc/userlist.txt'],
    ['auth_file = users.txt', resolve('users.txt')],
    ['ignore_startup_parameters = extra_float_digits, options', ['extra_float_digits', 'options']],
    ['client_tls_protocols = all', ['secure']],
    ['server_tls_protocols = tlsv1.2,tlsv1.3', ['tlsv1.2', 'tlsv1.3']],
    ['server_tls_ciphers = fast', 'default'],
    ['log_level = debug', 'debug'],
    ['max_client_conn = 5\nmax_client_conn = 6', 6],
  ])('%s', async (line, value) => {
    expect(await held(line)).toEqual(value)
  })

  test.each([
    ['listen_port = 6432x', 'expected an integer (in octal if it begins with 0), got "6432x"'],
    ['listen_port = "6432"', 'expected an integer (in octal if it begins with 0), got "\\"6432\\""'],
    ['listen_port = 08', 'expected an integer (in octal if it begins with 0), got "08"'],
    ['listen_port =', 'expected an integer (in octal if it begins with 0), got ""'],
    ['listen_port = 70000', 'expected an integer from 1 to 65535, or 0 (any free port), got 70000'],
    ['unix_socket_mode = 770', 'expected permissions in octal, such as "0770" or 0o770, got 770'],
    ['server_round_robin = yes', 'expected 0 or 1, got "yes"'],
    ['query_timeout = 5s', 'expected a number of seconds without a unit, got "5s"'],
    ['query_timeout = -1', 'expected a number of seconds without a unit, got "-1"'],
    ['query_timeout = 0.0001', 'expected a time of at least one millisecond, or 0, got 0.0001'],
    ['pool_mode = fast', 'expected one of "transaction", "session", "statement", got "fast"'],
    [
      'auth_type = pam',
      '"pam" is not possible: PAM is not spoken here; use auth_query, or secrets in auth_file',
    ],
    ['dns_max_ttl = x', 'expected a number of seconds without a unit, got "x"'],
    ['pool_idle_timeout = x', 'expected a number of seconds, got "x"'],
    ['pkt_buf = x', 'expected an integer, got "x"'],
    ['max_client_con = 5', 'unknown setting; did you mean "max_client_conn"?'],
    ['so_reusport = 1', 'unknown setting; did you mean "so_reuseport"?'],
    ['frobnicate = 1', 'unknown setting of [pgbouncer]; neither PgBouncer 1.25 nor pooler has it there'],
    ['pool_size = 1', 'not a setting of [pgbouncer]; it belongs to an entry of [databases] or [users]'],
    [
      'unix_socket_dir = @pgbouncer',
      'abstract sockets are not possible here; name a folder, or leave the value empty for no unix socket',
    ],
  ])('%s is refused with its line', async (line, message) => {
    const key = line.split(' ')[0]
    expect(await problemsOf(`; x\n[pgbouncer]\n${line}\n`)).toEqual([`ini:3: pgbouncer.${key}: ${message}`])
  })
})

describe('an entry of [databases]', () => {
  test('has everything that PgBouncer knows', async () => {
    const { config } = await load(`[databases]
foo =
forced = host=localhost port=300 user=baz password='fo''o' client_encoding=UNICODE datestyle=ISO timezone=UTC
sized = dbname=other pool_size=50 min_pool_size=1 reserve_pool=10 max_db_connections=-1 pool_mode=Statement
decimal = pool_size=010 server_lifetime=60 auth_user=asker auth_query='SELECT a, b FROM c($1)' auth_dbname=foo
busy = pool_size=auto pool_mode=transaction
"my ""db""" = host=10.0.0.1
* = host=/run/postgresql
`)
    expect([...config.databases.keys()]).toEqual(['foo', 'forced', 'sized', 'decimal', 'busy', 'my "db"'])
    expect(config.databases.get('foo')).toMatchObject({ host: ['/tmp'], port: 5432, dbname: 'foo' })
    expect(config.databases.get('forced')).toMatchObject({
      port: 300,
      user: 'baz',
      password: "fo'o",
      client_encoding: 'UNICODE',
      datestyle: 'ISO',
      timezone: 'UTC',
    })
    expect(config.databases.get('sized')).toMatchObject({
      dbname: 'other',
      pool_size: 50,
      min_pool_size: 1,
      reserve_pool_size: 10,
      max_db_connections: undefined,
      pool_mode: 'statement',
    })
    expect(config.databases.get('decimal')).toMatchObject({
      pool_size: 10,
      server_lifetime: 60_000,
      auth_query: 'SELECT a, b FROM c($1)',
    })
    expect(config.databases.get('busy')).toMatchObject({ pool_size: 'auto' })
    expect(config.fallbackDatabase).toMatchObject({ host: ['/run/postgresql'] })
  })

  test('may have several hosts', async () => {
    const { config } = await load(
      "[databases]\na = host=one,10.0.0.2,::1,/run/postgresql load_balance_hosts=Disable\nb = host='one, two'\n",
    )
    expect(config.databases.get('a')).toMatchObject({
      host: ['one', '10.0.0.2', '::1', '/run/postgresql'],
      load_balance_hosts: 'disable',
    })
    expect(config.databases.get('b')).toMatchObject({
      host: ['one', 'two'],
      load_balance_hosts: 'round-robin',
    })
  })

  test('has unix_socket_dir for its host unless it names one', async () => {
    const { config } = await load('[databases]\na =\nb = host=x\n[pgbouncer]\nunix_socket_dir = run\n')
    expect(config.databases.get('a')?.host).toEqual([resolve('run')])
    expect(config.databases.get('b')?.host).toEqual(['x'])
    expect(await problemsOf('[databases]\na =\n[pgbouncer]\nunix_socket_dir =\nlisten_addr = *\n')).toEqual([
      'ini:2: databases.a.host: expected a host: it would be unix_socket_dir, and there is none',
    ])
  })

  test('that is wrong is refused with its line, never with its secrets', async () => {
    expect(
      await problemsOf(`[databases]
a = port=x password=hunter2
b = port=99999 user=x password='hunter2
c = user=u password=hunter2 connect_query='select 1' hots=x
d = host=a,@b
pgbouncer = host=x
e = max_client_conn=5 tcp_keepalive=1
[users]
u = pool_mode=x host=y
`),
    ).toEqual([
      'ini:2: databases.a.port: expected an integer, got "x"',
      'ini:3: databases.b: the quoted value of password does not end; a quote in it is doubled',
      expect.stringMatching(/^ini:4: databases\.c\.connect_query: expected nothing: .*use ALTER DATABASE/),
      'ini:4: databases.c.hots: unknown setting; did you mean "host"?',
      expect.stringMatching(/^ini:5: databases\.d\.host: expected a list of host names, .*, got "a,@b"$/),
      expect.stringMatching(/^ini:6: databases\.pgbouncer: reserved for the admin console/),
      'ini:7: databases.e.max_client_conn: not a setting of [databases]; it belongs to [pgbouncer]',
      'ini:7: databases.e.tcp_keepalive: not a setting of [databases]; it belongs to [pgbouncer]',
      'ini:9: users.u.host: unknown setting of [users]; neither PgBouncer 1.25 nor pooler has it there',
      expect.stringMatching(/^ini:9: users\.u\.pool_mode: expected one of/),
    ])
  })
})

test('which of the files passwords are written in is known', async () => {
  const included = join(folder, 'more.ini')
  await writeFile(included, '[databases]\na = host=x user=u password=hunter2\n')
  expect(await load(`[databases]\n%include ${included}\nb = host=x\n`)).toMatchObject({
    secretFiles: [included],
  })
  expect(await load('[databases]\nb = host=x password=unused\n')).toMatchObject({ secretFiles: [] })
})

test('sections that nobody knows are refused once', async () => {
  expect(await problemsOf('[pooler]\nx = 1\n[database]\ny = 1\n[foo]\n')).toEqual([
    'ini:1: pooler: unknown section; in an .ini it is called [pgbouncer]',
    'ini:3: database: unknown section; did you mean [databases]?',
    'ini:5: foo: unknown section; there are [pgbouncer], [databases], [users] and [peers]',
  ])
})

test('nowhere to listen is said without a line, as there is none', async () => {
  expect(await problemsOf('[pgbouncer]\nunix_socket_dir =\n')).toEqual([
    'ini: pgbouncer.listen_addr: expected an address, or a unix_socket_dir beside it: nobody could connect',
  ])
})

describe('what has no effect', () => {
  test('is told, one line for each, in the order of the file', async () => {
    expect(
      await noticesOf(`[databases]
a = host=x password=hunter2
[pgbouncer]
pkt_buf = 8192
disable_pqexec = 0
auth_query = select 1
auth_hba_file = hba.conf
unix_socket_dir =
unix_socket_mode = 0777
listen_addr = *
[peers]
1 = host=/tmp/one
2 = host=/tmp/two
`),
    ).toEqual([
      'ini:2: databases.a.password has no effect: there is no user beside it',
      'ini:4: pkt_buf has no effect: buffers are sized by the pooler',
      'ini:6: auth_query has no effect: there is no auth_user',
      'ini:7: auth_hba_file has no effect: auth_type is not hba',
      'ini:9: unix_socket_mode has no effect: there is no unix_socket_dir',
      'ini:12: [peers] has no effect: one process serves all clients and their cancel requests',
    ])
  })

  test('is a version of TLS that is not offered any more', async () => {
    for (const word of ['all', 'ALL', 'legacy'])
      expect(await noticesOf(`[pgbouncer]\nserver_tls_protocols = ${word}\n`)).toEqual([
        `ini:2: server_tls_protocols "${word}" is TLS 1.2 and 1.3: older versions are forbidden by RFC 8996 and not offered`,
      ])
    for (const word of ['secure', 'default'])
      expect(await noticesOf(`[pgbouncer]\nserver_tls_protocols = ${word}\n`)).toEqual([])
  })

  const rows = Object.entries(pgbouncerSettings)
  const line = (name: string, value: string): string =>
    pgbouncerSettings[name]?.in === 'database'
      ? `[databases]\na = host=x ${name}='${value}'\n`
      : `[pgbouncer]\n${name} = ${value}\n`

  test.each(rows.filter(([, { refused }]) => refused !== true))('%s', async (name, { type }) => {
    expect(await noticesOf(line(name, type === 'text' ? 'x' : '2'))).toEqual([
      expect.stringMatching(new RegExp(`^ini:2: (?:databases\\.a\\.)?${name} has no effect: .+`)),
    ])
  })

  test('is server_reset_query_always where all pools are for sessions', async () => {
    const text = '[pgbouncer]\nserver_reset_query_always = 1\n'
    expect(await noticesOf(text)).toEqual([
      'ini:2: server_reset_query_always has no effect: with session pooling server_reset_query is always run',
    ])
    for (const other of ['pool_mode = transaction', '[users]\nu = pool_mode=statement'])
      expect(await problemsOf(text + other)).toHaveLength(1)
  })

  test.each(rows.filter(([, { refused }]) => refused === true))(
    '%s would be unsafe to ignore',
    async (name, { type, default: usual }) => {
      const text = `${line(name, type === 'text' ? 'x' : '1')}[pgbouncer]\npool_mode = transaction\n`
      expect(await problemsOf(text)).toEqual([
        expect.stringMatching(new RegExp(`^ini:2: \\S+\\.${name}: expected (?:0|nothing): .+`)),
      ])
      if (usual !== '') expect(await noticesOf(line(name, usual))).toEqual([])
    },
  )
})

test("where nothing is written, PgBouncer's defaults hold", async () => {
  const { config, notices } = await load('')
  expect(notices).toEqual([])
  expect(config.pooler).toMatchObject({
    listen_addr: [],
    listen_port: 6432,
    unix_socket_dir: '/tmp',
    max_client_conn: 100,
    pool_mode: 'session',
    auth_type: 'md5',
    default_pool_size: 20,
    server_tls_sslmode: 'prefer',
    shutdown_timeout: 0,
  })
  for (const name of Object.keys(pgbouncerDefaults)) expect(settings).toHaveProperty(name)
})
