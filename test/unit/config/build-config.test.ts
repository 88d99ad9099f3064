import { describe, expect, test } from 'vitest'
import {
  buildConfig,
  type ConfigInput,
  defaultConfig,
  findDatabase,
  readConfig,
} from '../../../src/config/config.ts'
import { ConfigError } from '../../../src/config/config-error.ts'
import { poolPolicy } from '../../../src/config/pool-policy.ts'

function problemsOf(input: unknown): readonly string[] {
  try {
    readConfig(input, { file: 'pooler.toml', folder: '/etc/pooler' })
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    return (error as ConfigError).message.split('\n')
  }
  return []
}

function databaseOf(input: ConfigInput, name: string) {
  const config = buildConfig(input)
  const database = findDatabase(config, name)
  if (database === undefined) throw new Error(`the test's configuration has no database ${name}`)
  return { config, database }
}

describe('defaults', () => {
  test('an empty configuration holds the defaults, times in milliseconds', () => {
    expect(defaultConfig().pooler).toEqual({
      listen_addr: ['127.0.0.1'],
      listen_port: 6432,
      listen_backlog: 128,
      max_client_conn: 1000,
      auth_type: 'md5',
      auth_file: undefined,
      auth_hba_file: undefined,
      auth_ident_file: undefined,
      auth_failure_delay: 500,
      max_failed_logins_per_address: 100,
      max_pending_logins_per_address: 0,
      auth_user: undefined,
      auth_query: undefined,
      auth_dbname: undefined,
      auth_query_ttl: 60_000,
      auth_query_recheck: 1000,
      client_login_timeout: 60_000,
      ignore_startup_parameters: [],
      server_connect_timeout: 15_000,
      server_login_retry: 15_000,
      dns_max_ttl: 15_000,
      dns_nxdomain_ttl: 15_000,
      server_lifetime: 3_600_000,
      server_idle_timeout: 600_000,
      server_check_delay: 30_000,
      server_check_query: '<empty>',
      server_reset_query: 'DISCARD ALL',
      client_tls_sslmode: 'disable',
      client_tls_key_file: undefined,
      client_tls_cert_file: undefined,
      client_tls_ca_file: undefined,
      client_tls_protocols: ['secure'],
      client_tls_ciphers: 'default',
      client_tls13_ciphers: undefined,
      server_tls_sslmode: 'prefer',
      server_tls_sslnegotiation: 'postgres',
      server_tls_key_file: undefined,
      server_tls_cert_file: undefined,
      server_tls_ca_file: undefined,
      server_tls_protocols: ['secure'],
      server_tls_ciphers: 'default',
      server_tls13_ciphers: undefined,
      pool_mode: 'transaction',
      default_pool_size: 20,
      min_pool_size: 0,
      reserve_pool_size: 0,
      reserve_pool_timeout: 5000,
      max_db_connections: 0,
      max_user_connections: 0,
      max_db_client_connections: 0,
      max_user_client_connections: 0,
      max_connecting: 5,
      server_round_robin: false,
      prepare_unnamed: true,
      lazy_begin: false,
      max_prepared_statements: 200,
      query_wait_timeout: 120_000,
      query_wait_notify: 5000,
      query_timeout: 0,
      idle_transaction_timeout: 0,
      transaction_timeout: 0,
      client_idle_timeout: 0,
      cancel_wait_timeout: 10_000,
      suspend_timeout: 10_000,
      shutdown_timeout: 25_000,
      admin_users: [],
      stats_users: [],
      stats_period: 60_000,
      log_stats: true,
      http_listen: undefined,
      metrics_max_pools: undefined,
      log_format: 'json',
      log_level: 'info',
      verbose: 0,
      log_connections: true,
      log_disconnections: true,
      log_pooler_errors: true,
      error_codes: 'postgresql',
    })
    expect(defaultConfig().databases.size).toBe(0)
    expect(defaultConfig().users.size).toBe(0)
  })

  test('a database without settings is on 127.0.0.1:5432 under its own name', () => {
    const { database } = databaseOf({ databases: { app: {} } }, 'app')
    expect(database).toMatchObject({ name: 'app', dbname: 'app', host: ['127.0.0.1'], port: 5432 })
    expect(database.user).toBeUndefined()
    expect(database.pool_size).toBeUndefined()
  })

  test('a key that is undefined in a plain object counts as not written', () => {
    const config = buildConfig({ pooler: { listen_port: undefined, auth_file: undefined } })
    expect(config.pooler.listen_port).toBe(6432)
  })

  test('the configuration and its sections are frozen', () => {
    const config = buildConfig({ databases: { app: {} }, users: { ann: {} } })
    for (const part of [
      config,
      config.pooler,
      config.pooler.listen_addr,
      config.databases.get('app'),
      config.users.get('ann'),
    ]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })
})

describe('values', () => {
  test.each([
    [0, 0],
    [30, 30_000],
    [1.5, 1500],
    [30n, 30_000],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['5min', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['2 min', 120_000],
    ['0s', 0],
  ])('the time %s is %d ms', (written, ms) => {
    expect(readTimeout(written)).toBe(ms)
  })

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '30', '5m', 's', '-1s', '1 week', '', true, null, []])(
    '%j is not a time',
    (written) => {
      expect(problemsOf({ pooler: { query_wait_timeout: written } })).toEqual([
        expect.stringContaining(
          'pooler.query_wait_timeout: expected a time: a number of seconds or a string',
        ),
      ])
    },
  )

  test('a time too small for a millisecond is refused, because as 0 it would mean something else', () => {
    expect(problemsOf({ pooler: { query_wait_timeout: 0.0001 } })).toEqual([
      'pooler.toml: pooler.query_wait_timeout: expected a time of at least one millisecond, or 0, got 0.0001',
    ])
  })

  test('a time too long for a timer is refused where a timer measures it', () => {
    for (const name of ['client_login_timeout', 'cancel_wait_timeout', 'shutdown_timeout']) {
      expect(problemsOf({ pooler: { [name]: '25d' } })).toEqual([
        `pooler.toml: pooler.${name}: expected a time of at most 24 days, got "25d"`,
      ])
    }
    expect(buildConfig({ pooler: { server_lifetime: '25d' } }).pooler.server_lifetime).toBe(25 * 86_400_000)
  })

  test('lists are written with commas or as an array, without repetitions', () => {
    const addresses = (written: string | string[]) =>
      buildConfig({ pooler: { listen_addr: written } }).pooler.listen_addr
    expect(addresses('127.0.0.1, ::1')).toEqual(['127.0.0.1', '::1'])
    expect(addresses(['127.0.0.1', '::1', '127.0.0.1'])).toEqual(['127.0.0.1', '::1'])
    expect(addresses('*')).toEqual(['*'])
  })

  test.each([['*,127.0.0.1'], ['127.0.0.1,,::1'], ['[::1]'], ['/tmp'], [['a', 1]], [5]])(
    'listen_addr does not take %j',
    (written) => {
      expect(problemsOf({ pooler: { listen_addr: written } })).toEqual([
        expect.stringContaining(
          'pooler.toml: pooler.listen_addr: expected a list of IP addresses or host names',
        ),
      ])
    },
  )

  test.each([
    ['0770', 0o770],
    ['770', 0o770],
    ['0o600', 0o600],
    ['0000', 0],
    [0o777, 0o777],
    [504n, 0o770],
  ])('the permissions %s are %d', (written, mode) => {
    const pooler = { unix_socket_dir: '/run', unix_socket_mode: written as string }
    expect(buildConfig({ pooler }).pooler.unix_socket_mode).toBe(mode)
  })

  test.each([770, 0o1777, -1, 1.5, '0780', '07', '1777', '0x1ff', '', 'rwxrwx---', true])(
    '%j is no permissions',
    (written) => {
      expect(problemsOf({ pooler: { unix_socket_dir: '/run', unix_socket_mode: written } })).toEqual([
        expect.stringContaining(
          'unix_socket_mode: expected permissions in octal, such as "0770" or 0o770, got',
        ),
      ])
    },
  )

  test.each<[string | string[], string[]]>([
    ['db.example.org', ['db.example.org']],
    ['::1', ['::1']],
    ['fe80::1%eth0', ['fe80::1%eth0']],
    ['10.0.0.1', ['10.0.0.1']],
    ['/var/run/postgresql', ['/var/run/postgresql']],
    ['a, ::1 ,/tmp', ['a', '::1', '/tmp']],
    [
      ['b', '/odd,folder'],
      ['b', '/odd,folder'],
    ],
  ])('host takes %j', (host, held) => {
    expect(databaseOf({ databases: { app: { host } } }, 'app').database.host).toEqual(held)
  })

  test.each([
    '',
    '[::1]',
    'run/postgresql',
    '@abstract',
    'a b',
    'a,b c',
    'db:5433',
    '10.0.0.1:5432',
    'a:5432',
  ])('host does not take %j', (host) => {
    expect(problemsOf({ databases: { app: { host } } })).toEqual([
      expect.stringContaining(
        'databases.app.host: expected a list of host names, IP addresses (without brackets or ports)',
      ),
    ])
  })

  test.each<[string | string[], string]>([
    ['a,,b', 'unix socket directories, none of them empty, got "a,,b"'],
    ['a,', 'unix socket directories, none of them empty, got "a,"'],
    [['a', ''], 'unix socket directories, none of them empty, got a list'],
    ['a,b,a', 'expected each item once ("a" is there twice), got "a,b,a"'],
    [Array.from({ length: 65 }, (_, i) => `h${i}`), 'expected at most 64 items (these are 65), got a list'],
  ])('of the hosts %j it is said what is wrong', (host, message) => {
    expect(problemsOf({ databases: { app: { host } } })).toEqual([expect.stringContaining(message)])
  })

  test('0 is a free port, an unlimited pool, an unlimited time', () => {
    const { config, database } = databaseOf(
      { pooler: { listen_port: 0, default_pool_size: 0, query_wait_timeout: 0 }, databases: { app: {} } },
      'app',
    )
    expect(config.pooler.listen_port).toBe(0)
    expect(poolPolicy(config, database, 'ann').size).toBe(Number.POSITIVE_INFINITY)
    expect(poolPolicy(config, database, 'ann').waitTimeoutMs).toBe(0)
  })

  test('a relative auth_file starts at the folder of the configuration, an absolute one stays', () => {
    const authFile = (written: string) =>
      readConfig({ pooler: { auth_file: written } }, { file: 'x', folder: '/etc/pooler' }).pooler.auth_file
    expect(authFile('userlist.txt')).toBe('/etc/pooler/userlist.txt')
    expect(authFile('/srv/userlist.txt')).toBe('/srv/userlist.txt')
  })

  test('server_reset_query may be empty, and no string may hold a zero byte', () => {
    expect(buildConfig({ pooler: { server_reset_query: '' } }).pooler.server_reset_query).toBe('')
    expect(problemsOf({ databases: { app: { dbname: 'a\0b' } } })).toHaveLength(1)
    expect(problemsOf({ databases: { 'a\0b': {} } })).toHaveLength(1)
  })
})

describe('precedence', () => {
  const { config, database } = databaseOf(
    {
      pooler: { default_pool_size: 10, query_wait_timeout: 10, server_lifetime: 10 },
      databases: {
        app: { pool_size: 7, pool_mode: 'session', query_wait_timeout: 7, server_lifetime: 7 },
        bare: {},
      },
      users: { ann: { pool_size: 3, pool_mode: 'statement', query_wait_timeout: 3 }, bob: {} },
    },
    'app',
  )
  const bare = findDatabase(config, 'bare')

  test("a user's setting wins over the database's", () => {
    expect(poolPolicy(config, database, 'ann').size).toBe(3)
    expect(poolPolicy(config, database, 'ann').mode).toBe('statement')
    expect(poolPolicy(config, database, 'ann').waitTimeoutMs).toBe(3000)
  })

  test("a database's setting wins over [pooler], for users without one and for unknown users", () => {
    for (const user of ['bob', 'nobody']) {
      expect(poolPolicy(config, database, user).size).toBe(7)
      expect(poolPolicy(config, database, user).mode).toBe('session')
      expect(poolPolicy(config, database, user).waitTimeoutMs).toBe(7000)
    }
    expect(poolPolicy(config, database, 'bob').lifetimeMs).toBe(7000)
  })

  test('[pooler] holds where neither says anything', () => {
    if (bare === undefined) throw new Error('the database "bare" is configured above')
    expect(poolPolicy(config, bare, 'bob').size).toBe(10)
    expect(poolPolicy(config, bare, 'bob').mode).toBe('transaction')
    expect(poolPolicy(config, bare, 'bob').waitTimeoutMs).toBe(10_000)
    expect(poolPolicy(config, bare, 'bob').lifetimeMs).toBe(10_000)
  })
})

describe('finding a database', () => {
  test('"*" stands in for names without a section, under the name that was asked for', () => {
    const config = buildConfig({ databases: { app: { port: 1 }, '*': { port: 2 } } })
    expect(findDatabase(config, 'app')).toMatchObject({ name: 'app', dbname: 'app', port: 1 })
    expect(findDatabase(config, 'other')).toMatchObject({ name: 'other', dbname: 'other', port: 2 })
    expect([...config.databases.keys()]).toEqual(['app'])
  })

  test('a dbname of "*" holds for every name', () => {
    const config = buildConfig({ databases: { '*': { dbname: 'main' } } })
    expect(findDatabase(config, 'other')).toMatchObject({ name: 'other', dbname: 'main' })
  })

  test('without "*" an unknown name is no database', () => {
    expect(findDatabase(buildConfig({ databases: { app: {} } }), 'other')).toBeUndefined()
  })

  test('names of Object.prototype are names like others', () => {
    expect(findDatabase(buildConfig({}), 'constructor')).toBeUndefined()
    expect(findDatabase(buildConfig({ databases: { constructor: {} } }), 'constructor')?.dbname).toBe(
      'constructor',
    )
  })

  test('the reserved names are refused as sections and never found through "*"', () => {
    const config = buildConfig({ databases: { '*': {} } })
    for (const name of ['pgbouncer', 'pooler']) {
      expect(findDatabase(config, name)).toBeUndefined()
      expect(problemsOf({ databases: { [name]: {} } })).toEqual([
        `pooler.toml: databases.${name}: reserved for the admin console; ` +
          'give the section another name and set dbname',
      ])
    }
  })
})

function readTimeout(written: unknown): number {
  const origin = { file: 'pooler.toml', folder: '/' }
  return readConfig({ pooler: { query_wait_timeout: written } }, origin).pooler.query_wait_timeout
}
