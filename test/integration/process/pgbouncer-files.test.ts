import { execFile, execFileSync } from 'node:child_process'
import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { pgbouncerSettings } from '../../../src/config/pgbouncer-settings.ts'
import { freePort } from '../../../src/embedded/free-port.ts'
import { eventually } from '../../support/eventually.ts'
import { pgbouncerParameters } from '../../support/pgbouncer-settings.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'
import { sharedPostgres } from '../../support/postgres.ts'

/** The command with PgBouncer's own files: a pgbouncer.ini like its sample, a userlist.txt beside it. */

type Row = Record<string, unknown>

let folder: string
let port: number
const started: PoolerProcess[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-pgbouncer-'))
  port = await freePort()
  const { user, password } = sharedPostgres()
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
  await writeFile(
    join(folder, 'userlist.txt'),
    `; "name" "password"\n${quoted(user)} ${quoted(password)}\n"pgbouncer" "fake"\n"with ""quotes""" ""\n`,
    { mode: 0o600 },
  )
})
afterEach(async () => {
  for (const pooler of started.splice(0)) await pooler.end('SIGKILL')
  await rm(folder, { recursive: true })
})

/** What the sample has uncommented, and some of what it has commented out, with paths of this test. */
function sample(more = ''): string {
  const { host, port: serverPort, database } = sharedPostgres()
  return `;;; Where each database is
[databases]
;over_the_socket =
app = host=${host} port=${serverPort} dbname=${database}
${more}
;; fallback
;* = host=testserver

[users]
;user1 = pool_size=5 pool_mode=transaction

[pgbouncer]
# administration
logfile = pgbouncer.log
pidfile = pgbouncer.pid
listen_addr = localhost
listen_port = ${port}
unix_socket_dir = ${folder}
unix_socket_mode = 0700
auth_type = md5
auth_file = userlist.txt
admin_users = user2, someadmin, otheradmin
stats_users = stats, root
pool_mode = session
server_reset_query = DISCARD ALL
ignore_startup_parameters = extra_float_digits
server_check_query = select 1
server_check_delay = 30
max_client_conn = 100
default_pool_size = 20
log_connections = 1
server_lifetime = 3600
query_wait_timeout = 120
tcp_keepalive = 1
so_reuseport = 0
disable_pqexec = 0
`
}

async function configure(text: string): Promise<void> {
  await writeFile(join(folder, 'pgbouncer.ini'), text, { mode: 0o600 })
}

function run(...parameters: string[]): PoolerProcess {
  const pooler = new PoolerProcess({ folder, parameters })
  started.push(pooler)
  return pooler
}

/** The answer to a question through the pooler, or the error. */
async function ask(database: string, host = 'localhost'): Promise<unknown> {
  const { user, password } = sharedPostgres()
  const client = new Client({ host, port, user, password, database })
  try {
    await client.connect()
    return (await client.query("SELECT 'served' AS answer")).rows[0].answer
  } catch (error) {
    return (error as Error).message
  } finally {
    await client.end().catch(() => {})
  }
}

describe('a pgbouncer.ini like the sample', () => {
  test('starts, says once what has no effect, serves, and is read again', async () => {
    await configure(sample())
    const pooler = run('pgbouncer.ini')
    await pooler.logs('listening')
    expect(await ask('app')).toBe('served')
    expect(await ask('app', folder)).toBe('served')
    expect(await ask('second')).toContain('second')
    expect(await readFile(join(folder, 'pgbouncer.pid'), 'utf8')).toBe(`${pooler.pid}\n`)
    expect((await stat(join(folder, `.s.PGSQL.${port}`))).mode & 0o777).toBe(0o700)
    const notices = () =>
      pooler.log.map(({ msg }) => String(msg)).filter((msg) => msg.includes('has no effect'))
    expect(notices().map((line) => /^pgbouncer\.ini:\d+: (\w+) has no effect: ./.exec(line)?.[1])).toEqual([
      'tcp_keepalive',
      'so_reuseport',
    ])

    const { host, port: serverPort, database } = sharedPostgres()
    await configure(sample(`'second' = host=${host} port=${serverPort} dbname='${database}'`))
    pooler.signal('SIGHUP')
    await eventually(
      'the new database',
      () => ask('second'),
      (answer) => answer === 'served',
    )
    expect(notices()).toHaveLength(2)

    await configure(sample('third = hots=x'))
    pooler.signal('SIGHUP')
    expect((await pooler.logs('reload failed')).msg).toBe(
      'reload failed, everything stays as it was: ' +
        'pgbouncer.ini:5: databases.third.hots: unknown setting; did you mean "host"?',
    )
    expect(await ask('second')).toBe('served')
    expect(await pooler.end('SIGINT')).toBe(0)
  })

  test.skipIf(!hasPsql())('serves psql', async () => {
    await configure(sample())
    const pooler = run('pgbouncer.ini')
    await pooler.logs('listening')
    const { user, password } = sharedPostgres()
    const { stdout } = await promisify(execFile)(
      'psql',
      ['-h', folder, '-p', String(port), '-U', user, '-Atc', 'SELECT 6 * 7', 'app'],
      { env: { ...process.env, PGPASSWORD: password } },
    )
    expect(stdout).toBe('42\n')
  })

  test('is checked, and imported into a pooler.toml that serves the same', async () => {
    await configure(sample())
    const check = run('--check', 'pgbouncer.ini')
    expect(await check.exitCode()).toBe(0)
    expect(check.output).toBe('pgbouncer.ini is valid\n')
    expect(check.errors).toContain('note: pgbouncer.ini:34: tcp_keepalive has no effect: ')
    const imported = run('import', 'pgbouncer.ini')
    expect(await imported.exitCode()).toBe(0)
    expect(imported.errors).toBe('')
    await writeFile(join(folder, 'pooler.toml'), imported.output)
    const pooler = run('pooler.toml')
    await pooler.logs('listening')
    expect(await ask('app')).toBe('served')
  })
})

test('all settings of PgBouncer with their defaults start and serve, with one line for each that has no effect', async () => {
  const { host, port: serverPort } = sharedPostgres()
  const here = {
    logfile: 'pgbouncer.log',
    pidfile: 'pgbouncer.pid',
    listen_addr: 'localhost',
    listen_port: String(port),
    unix_socket_dir: folder,
    auth_file: 'userlist.txt',
  }
  const lines = Object.entries({ ...pgbouncerParameters, ...here }).map((entry) => entry.join(' = '))
  await configure(`;;;
;;; PgBouncer configuration file
;;;
[databases]

;foodb =
* = host=${host} port=${serverPort}

[users]

;user1 = pool_size=5 reserve_pool_size=2 pool_mode=transaction
[pgbouncer]
;; and now the settings
${lines.join('\n')}
;%include /etc/pgbouncer/pgbouncer-other.ini
`)
  const pooler = run('pgbouncer.ini')
  await pooler.logs('listening')
  expect(await ask(sharedPostgres().database)).toBe('served')
  const notices = pooler.log.flatMap(({ msg }) => /: (\w+) has no effect: /.exec(String(msg))?.[1] ?? [])
  const withoutEffect = Object.entries(pgbouncerSettings).filter(
    ([, { in: section, refused }]) => section === 'pooler' && refused !== true,
  )
  expect(notices.toSorted()).toEqual([...withoutEffect.map(([name]) => name), 'auth_query'].toSorted())
})

describe('the console with a pgbouncer.ini', () => {
  async function onConsole(act: (query: (sql: string) => Promise<Row[]>) => Promise<void>): Promise<void> {
    const { user, password } = sharedPostgres()
    const client = new Client({ host: 'localhost', port, user, password, database: 'pgbouncer' })
    await client.connect()
    try {
      await act(async (sql) => (await client.query(sql)).rows)
    } finally {
      await client.end()
    }
  }

  /** The sample, with the user of the test for its administrator. */
  function administered(more = ''): string {
    return sample(more).replace('admin_users = user2', `admin_users = ${sharedPostgres().user}`)
  }

  async function start(): Promise<void> {
    await configure(administered())
    await run('pgbouncer.ini').logs('listening')
  }

  test("SHOW CONFIG has PgBouncer's defaults beside the values, and what needs a restart", async () => {
    await start()
    await onConsole(async (query) => {
      const rows = await query('SHOW CONFIG')
      const row = (name: string) => rows.find(({ key }) => key === name)
      expect(row('pool_mode')).toMatchObject({ value: 'session', default: 'session', changeable: 'yes' })
      expect(row('max_client_conn')).toMatchObject({ value: '100', default: '100' })
      expect(row('server_lifetime')).toMatchObject({ value: '3600', default: '3600' })
      expect(row('unix_socket_dir')).toMatchObject({ value: folder, default: '/tmp', changeable: 'no' })
      expect(row('user')).toMatchObject({ value: '', default: '', changeable: 'no' })
    })
  })

  test('SET holds until RELOAD, which reads the same file again', async () => {
    await start()
    await onConsole(async (query) => {
      const value = async () =>
        (await query('SHOW CONFIG')).find(({ key }) => key === 'query_wait_timeout')?.value
      await query("SET query_wait_timeout = '7'")
      expect(await value()).toBe('7')
      await query('RELOAD')
      expect(await value()).toBe('120')
      await expect(query("SET user = 'nobody'")).rejects.toThrow('SET failed')
      const { host, port: serverPort, database } = sharedPostgres()
      const two = `second = host='${host},192.0.2.1' load_balance_hosts=disable port=${serverPort} dbname='${database}'`
      await configure(administered(two))
      await query('RELOAD')
      const shown = (await query('SHOW DATABASES')).find(({ name }) => name === 'second')
      expect(shown).toMatchObject({ host: `${host},192.0.2.1`, load_balance_hosts: 'disable' })
      expect(await ask('second')).toBe('served')
    })
  })

  test('RELOAD of a broken file changes nothing, and the log has its lines', async () => {
    await start()
    await onConsole(async (query) => {
      const before = await query('SHOW CONFIG')
      await configure(`${administered('broken = hots=x')}max_client_conn = 5\npool_mode = fast\n`)
      await expect(query('RELOAD')).rejects.toMatchObject({
        code: 'F0000',
        message: 'RELOAD failed, see logs for additional details',
      })
      expect(await query('SHOW CONFIG')).toEqual(before)
      expect(await ask('app')).toBe('served')
    })
    const text = String((await started[0]?.logs('reload failed'))?.msg)
    expect(text.replace('reload failed, everything stays as it was: ', '').split('\n\t')).toEqual([
      expect.stringContaining(' databases.broken.hots: '),
      expect.stringContaining(' pgbouncer.pool_mode: '),
    ])
  })

  test('another user or address in the file is told to need a restart', async () => {
    await start()
    await configure(`${administered()}user = nobody\nlisten_addr = 127.0.0.1\n`)
    await onConsole(async (query) => {
      await query('RELOAD')
      const held = Object.fromEntries((await query('SHOW CONFIG')).map(({ key, value }) => [key, value]))
      expect(held).toMatchObject({ user: '', listen_addr: 'localhost' })
    })
    await started[0]?.logs('takes effect after a restart only')
    const kept = started[0]?.log.flatMap(
      ({ msg }) => /^takes effect after a restart only: setting=(.*)/.exec(String(msg))?.[1] ?? [],
    )
    expect(kept?.toSorted()).toEqual(['pooler.listen_addr', 'pooler.user'])
  })
})

test('a wrong one ends with code 1 and every problem on standard error', async () => {
  await configure('[pgbouncer]\nauth_type = pam\ndisable_pqexec = 1\nlisten_port = many\n')
  const pooler = run('pgbouncer.ini')
  expect(await pooler.exitCode()).toBe(1)
  expect(pooler.errors.split('\n').map((line) => line.split(' ')[0])).toEqual([
    'pgbouncer.ini:2:',
    'pgbouncer.ini:3:',
    'pgbouncer.ini:4:',
    '',
  ])
})

test('-q logs to the logfile alone', async () => {
  await configure(sample())
  const pooler = run('-q', 'pgbouncer.ini')
  await eventually(
    'an answer',
    () => ask('app'),
    (answer) => answer === 'served',
  )
  expect(await pooler.end('SIGTERM')).toBe(0)
  expect(pooler.output + pooler.errors).toBe('')
  expect(await readFile(join(folder, 'pgbouncer.log'), 'utf8')).toMatch(
    / LOG C-0x[0-9a-f]+: app\/\S+ login attempt: db=app /,
  )
})

test('syslog is refused at the start, and what there is instead is told', async () => {
  await configure(sample().replace('logfile =', 'syslog = 1\nlogfile ='))
  const pooler = run('pgbouncer.ini')
  expect(await pooler.exitCode()).toBe(1)
  expect(pooler.errors).toContain('syslog')
  expect(pooler.errors).toContain('journal of systemd')
})

describe.skipIf(process.getuid?.() !== 0)('started as root', () => {
  const NOBODY = 65_534

  async function readyFor(uid: number): Promise<void> {
    await chmod(folder, 0o700)
    for (const path of [folder, join(folder, 'pgbouncer.ini'), join(folder, 'userlist.txt')])
      await chown(path, uid, uid)
  }

  test.each([
    [['-u', 'nobody', 'pgbouncer.ini'], ''],
    [['pgbouncer.ini'], 'user = nobody\n'],
  ])('%j with %j, it becomes that user for good', async (parameters, line) => {
    await configure(sample() + line)
    await readyFor(NOBODY)
    const pooler = run(...parameters)
    await pooler.logs('listening')
    const status = await readFile(`/proc/${pooler.pid}/status`, 'utf8')
    expect(status).toMatch(new RegExp(`^Uid:\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}$`, 'm'))
    expect(status).toMatch(new RegExp(`^Gid:\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}\\t${NOBODY}$`, 'm'))
    expect(status).toMatch(new RegExp(`^Groups:\\t${NOBODY} *$`, 'm'))
    expect((await stat(join(folder, 'pgbouncer.pid'))).uid).toBe(NOBODY)
    expect((await stat(join(folder, `.s.PGSQL.${port}`))).uid).toBe(NOBODY)
    expect(await ask('app')).toBe('served')
    expect(pooler.output).not.toContain('runs as root')
    expect(await pooler.end('SIGTERM')).toBe(0)
    await expect(stat(join(folder, 'pgbouncer.pid'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('without a user it says that this is not needed', async () => {
    await configure(sample())
    await run('pgbouncer.ini').logs('the pooler runs as root')
  })

  test('-u without a configuration file is refused', async () => {
    const pooler = run('-u', 'nobody')
    expect(await pooler.exitCode()).toBe(2)
    expect(pooler.errors).toBe(
      'pooler: --user is for a start with a configuration file; without one, start as that user\n',
    )
  })

  test('an unknown user ends the start', async () => {
    await configure(sample())
    const pooler = run('-u', 'nobody at all', 'pgbouncer.ini')
    expect(await pooler.exitCode()).toBe(1)
    expect(pooler.errors).toMatch(/^pooler: user: there is no user "nobody at all" in \/etc\/passwd; /)
  })
})

function hasPsql(): boolean {
  try {
    execFileSync('psql', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
