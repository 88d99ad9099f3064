import { describe, expect, test } from 'vitest'
import { buildConfig, type ConfigInput, readConfig } from '../../../src/config/config.ts'
import { ConfigError } from '../../../src/config/config-error.ts'
import { listenAddress } from '../../../src/config/listen-address.ts'
import { nearestName } from '../../../src/config/nearest-name.ts'
import { pgbouncerSettingsNotHere } from '../../../src/config/pgbouncer-settings.ts'
import { poolPolicy } from '../../../src/config/pool-policy.ts'
import { settings } from '../../../src/config/settings.ts'
import { withSetting } from '../../../src/config/with-setting.ts'

function errorOf(input: unknown): ConfigError {
  try {
    readConfig(input, { file: 'pooler.toml', folder: '/' })
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('expected a ConfigError')
}

/** The message of the one problem that this configuration has. */
function messageOf(input: unknown): string {
  const { problems, message } = errorOf(input)
  expect(problems).toHaveLength(1)
  return message
}

describe('wrong values', () => {
  test.each<[string, unknown, string]>([
    ['pool_size', 'many', 'expected an integer of at least 1, or 0 (unlimited), or "auto", got "many"'],
    ['pool_size', -1, 'expected an integer of at least 1, or 0 (unlimited), or "auto", got -1'],
    ['pool_size', 1.5, 'expected an integer of at least 1, or 0 (unlimited), or "auto", got 1.5'],
    [
      'pool_size',
      2 ** 31,
      'expected an integer from 1 to 2147483647, or 0 (unlimited), or "auto", got 2147483648',
    ],
    ['port', 0, 'expected an integer from 1 to 65535, got 0'],
    ['port', 2 ** 53, 'expected an integer from 1 to 65535, got 9007199254740992'],
    ['port', '5432', 'expected an integer from 1 to 65535, got "5432"'],
    ['pool_mode', 'fast', 'expected one of "transaction", "session", "statement", got "fast"'],
    ['user', '', 'expected a string that is not empty, without zero bytes, got ""'],
    ['user', {}, 'expected a string that is not empty, without zero bytes, got a table'],
    ['user', ['a'], 'expected a string that is not empty, without zero bytes, got a list'],
    ['user', new Date(0), 'expected a string that is not empty, without zero bytes, got a date'],
    ['user', null, 'expected a string that is not empty, without zero bytes, got null'],
  ])('%s = %j', (key, value, message) => {
    expect(messageOf({ databases: { app: { [key]: value } } })).toBe(
      `pooler.toml: databases.app.${key}: ${message}`,
    )
  })

  test('a long value is cut', () => {
    expect(messageOf({ pooler: { pool_mode: 'x'.repeat(5000) } }).length).toBeLessThan(200)
  })

  test('names that are no bare keys are quoted in key paths, and control characters escaped', () => {
    expect(messageOf({ databases: { 'my.db\n': { port: 0 } } })).toContain(
      'pooler.toml: databases."my.db\\n".port: ',
    )
  })
})

describe('unknown keys', () => {
  test.each<[unknown, string]>([
    [{ pooler: { listen_prot: 1 } }, 'pooler.listen_prot: unknown setting; did you mean "listen_port"?'],
    [{ pooler: { poolMode: 1 } }, 'pooler.poolMode: unknown setting; did you mean "pool_mode"?'],
    [{ databases: { a: { hots: 1 } } }, 'databases.a.hots: unknown setting; did you mean "host"?'],
    [
      { pooler: { frobnicate: 1 } },
      'pooler.frobnicate: unknown setting; pooler.toml.example lists those of [pooler]',
    ],
    [
      { pooler: { pkt_buf: 5 } },
      'pooler.pkt_buf: unknown setting: PgBouncer has it, this version of pooler does not; ' +
        'remove the line',
    ],
    [
      { databases: { a: { max_client_conn: 5 } } },
      'databases.a.max_client_conn: not a setting of [databases.NAME]; it belongs to [pooler]',
    ],
    [
      { pooler: { pool_size: 5 } },
      'pooler.pool_size: not a setting of [pooler]; it belongs to [databases.NAME] or [users.NAME]',
    ],
    [
      { users: { john: { doe: { pool_size: 5 } } } },
      'users.john.doe: unknown section; a name with a dot needs quotes: [users."john.doe"]',
    ],
    [{ listen_port: 5 }, 'listen_port: a setting needs a section; write it below [pooler]'],
    [{ database: {} }, 'database: unknown section; did you mean [databases.NAME]?'],
    [{ Pooler: {} }, 'Pooler: unknown section; did you mean [pooler]?'],
    [{ pgbouncer: {} }, 'pgbouncer: unknown section; it is called [pooler] here'],
    [{ peers: {} }, 'peers: unknown section; there are [pooler], [databases.NAME] and [users.NAME]'],
  ])('%j', (input, message) => {
    expect(messageOf(input)).toBe(`pooler.toml: ${message}`)
  })

  test('a setting of this version is not on the list of those that only PgBouncer has', () => {
    expect(Object.keys(settings).filter((name) => pgbouncerSettingsNotHere.has(name))).toEqual([])
  })
})

describe('where clients are accepted', () => {
  test.each<[object, string]>([
    [
      { listen_addr: '' },
      'listen_addr: expected an address, or a unix_socket_dir beside it: nobody could connect',
    ],
    [
      { unix_socket_mode: '0770' },
      'unix_socket_mode: has no effect without unix_socket_dir; set that, or remove the line',
    ],
    [
      { unix_socket_group: 'postgres' },
      'unix_socket_group: has no effect without unix_socket_dir; set that, or remove the line',
    ],
    [
      { unix_socket_dir: '/run', listen_addr: [], listen_port: 0 },
      'listen_port: expected a port: it names the unix socket, and there is no address to find one on',
    ],
    [
      { unix_socket_dir: `/${'x'.repeat(93)}` },
      'unix_socket_dir: the path of the socket would be 108 bytes long, and this system takes at most 107: ' +
        'choose a folder with a shorter path',
    ],
  ])('%j', (pooler, message) => {
    expect(messageOf({ pooler })).toBe(`pooler.toml: pooler.${message}`)
  })

  test('needs no address where there is a unix socket, whose path may have 107 bytes', () => {
    const { pooler } = buildConfig({ pooler: { listen_addr: '', unix_socket_dir: `/${'x'.repeat(92)}` } })
    expect(pooler.listen_addr).toEqual([])
  })
})

describe('pool_size = "auto"', () => {
  const noLimit = '"auto" needs a limit: set default_pool_size to more than 0, which is unlimited'
  const noTransactions =
    '"auto" is for transactions, and in session pooling clients keep their servers: set a number'

  test.each<[ConfigInput, string]>([
    [
      { pooler: { default_pool_size: 0 }, databases: { app: { pool_size: 'auto' } } },
      `databases.app.pool_size: ${noLimit}`,
    ],
    [
      { pooler: { default_pool_size: 0 }, users: { joe: { pool_size: 'auto' } } },
      `users.joe.pool_size: ${noLimit}`,
    ],
    [
      { pooler: { pool_mode: 'session' }, databases: { '*': { pool_size: 'auto' } } },
      `databases."*".pool_size: ${noTransactions}`,
    ],
    [
      { databases: { app: { pool_size: 'auto', pool_mode: 'session' } } },
      `databases.app.pool_size: ${noTransactions}`,
    ],
    [
      { users: { joe: { pool_size: 'auto', pool_mode: 'session' } } },
      `users.joe.pool_size: ${noTransactions}`,
    ],
    [
      { pooler: { pool_mode: 'session' }, databases: { app: {} }, users: { joe: { pool_size: 'auto' } } },
      `users.joe.pool_size: ${noTransactions}`,
    ],
  ])('%j', (input, message) => {
    expect(messageOf(input)).toBe(`pooler.toml: ${message}`)
  })

  test('stands against a SET that takes its limit or its transactions away', () => {
    const config = buildConfig({ databases: { app: { pool_size: 'auto' } } })
    expect(() => withSetting(config, 'default_pool_size', '0')).toThrow(`databases.app.pool_size: ${noLimit}`)
    expect(() => withSetting(config, 'pool_mode', 'session')).toThrow(
      `databases.app.pool_size: ${noTransactions}`,
    )
    expect(withSetting(config, 'default_pool_size', '30').pooler.default_pool_size).toBe(30)
  })

  test('means default_pool_size, and is for pools of transactions alone', () => {
    const config = buildConfig({
      pooler: { default_pool_size: 30 },
      databases: { app: { pool_size: 'auto' }, other: {} },
      users: { joe: { pool_mode: 'session' }, eve: { pool_size: 5 }, ann: { pool_size: 'auto' } },
    })
    const policy = (name: string, user: string): object => {
      const database = config.databases.get(name)
      if (database === undefined) throw new Error('it is configured above')
      return poolPolicy(config, database, user)
    }
    expect(policy('app', 'eva')).toMatchObject({ size: 30, autoSize: true })
    expect(policy('app', 'joe')).toMatchObject({ size: 30, autoSize: false })
    expect(policy('app', 'eve')).toMatchObject({ size: 5, autoSize: false })
    expect(policy('other', 'eva')).toMatchObject({ size: 30, autoSize: false })
    expect(policy('other', 'ann')).toMatchObject({ size: 30, autoSize: true })
  })
})

describe('where metrics are served', () => {
  test('a limit of what is not served is a mistake', () => {
    expect(messageOf({ pooler: { metrics_max_pools: 5 } })).toBe(
      'pooler.toml: pooler.metrics_max_pools: has no effect without http_listen; set that, or remove the line',
    )
  })

  const expected = 'expected an address and a port, such as "127.0.0.1:9187" or "[::1]:9187"'

  test.each<[unknown, string]>([
    ['9187', expected],
    [9187, expected],
    [':9187', expected],
    ['::1:9187', expected],
    ['127.0.0.1', expected],
    ['[::1]', expected],
    ['http://127.0.0.1:9187/metrics', expected],
    ['127.0.0.1:65536', 'expected a port from 0 to 65535'],
    ['[:::1]:9187', 'expected an IPv6 address in the brackets, not :::1'],
  ])('%j', (written, message) => {
    expect(messageOf({ pooler: { http_listen: written } })).toContain(
      `pooler.toml: pooler.http_listen: ${message}`,
    )
  })

  test.each([
    ['0.0.0.0:9187', '0.0.0.0', 9187],
    ['[::1]:80', '::1', 80],
    ['metrics.example:0', 'metrics.example', 0],
  ])('%s', (written, host, port) => {
    const { http_listen = '' } = buildConfig({ pooler: { http_listen: written } }).pooler
    expect(listenAddress(http_listen)).toEqual({ host, port })
  })
})

describe('wrong shapes', () => {
  test.each<[unknown, string]>([
    [null, 'expected a table with the sections pooler, databases and users'],
    [[], 'expected a table with the sections pooler, databases and users'],
    [{ pooler: 5 }, 'pooler: expected a section: [pooler]'],
    [{ databases: [{}] }, 'databases: expected a section with a name: [databases.NAME]'],
    [
      { databases: { app: 5 } },
      'databases.app: expected its settings below a header of its own: [databases.NAME]',
    ],
    [{ users: { '': {} } }, 'users."": expected a name without zero bytes'],
  ])('%j', (input, message) => {
    expect(messageOf(input)).toBe(`pooler.toml: ${message}`)
  })

  test('a password without a forced user is refused: it would never be used', () => {
    expect(messageOf({ databases: { app: { password: 'hunter2' } } })).toBe(
      'pooler.toml: databases.app.password: expected a user beside it: ' +
        'without a forced user it would never be used',
    )
  })
})

test('all problems are reported at once, in the order of the input', () => {
  const { problems, message } = errorOf({
    users: { ann: { pool_mode: 'fast' } },
    pooler: { log_level: 'loud', listen_port: -1, nonsense: 1 },
    databases: { app: { port: 0 }, pooler: {} },
  })
  expect(problems.map(({ key }) => key)).toEqual([
    'users.ann.pool_mode',
    'pooler.log_level',
    'pooler.listen_port',
    'pooler.nonsense',
    'databases.app.port',
    'databases.pooler',
  ])
  expect(message.split('\n')).toHaveLength(6)
  expect(problems.every(({ file }) => file === 'pooler.toml')).toBe(true)
})

test('buildConfig reports the same problems under the name "configuration"', () => {
  const input = { pooler: { listen_port: 'x' } } as unknown as ConfigInput
  expect(() => buildConfig(input)).toThrow('configuration: pooler.listen_port: expected an integer')
})

test.each<[string, unknown]>([
  ['as a secret of the wrong type', { users: { ann: { password: ['hunter2'] } } }],
  ['as a number', { users: { ann: { password: 2222 } } }],
  ['with a zero byte', { users: { ann: { password: 'hunter2\0' } } }],
  ['under a misspelled key', { users: { ann: { pasword: 'hunter2' } } }],
  ['under a key of another section', { pooler: { password: 'hunter2' } }],
  ['in place of a section', { users: { ann: 'hunter2' } }],
  ['in place of all users', { users: 'hunter2' }],
  ['in a URL', { databases: { app: { host: 'postgres://ann:hunter2@db/app' } } }],
  ['in a connection string', { databases: { app: { host: 'host=db password=hunter2' } } }],
  ['in a PgBouncer style database', { databases: { app: 'host=db password=hunter2' } }],
])('a password is never repeated in a message: %s', (_, input) => {
  const { message, problems, stack } = errorOf(input)
  expect(`${message}${JSON.stringify(problems)}${stack}`).not.toMatch(/hunter2|2222/)
})

describe('the nearest name', () => {
  test.each([
    ['prot', 'port'],
    ['hst', 'host'],
    ['listenport', 'listen_port'],
    ['LISTEN-PORT', 'listen_port'],
    ['lsiten_potr', 'listen_port'],
    ['password', undefined],
    ['', undefined],
    ['x'.repeat(1_000_000), undefined],
  ])('of %.20s is %s', (name, nearest) => {
    expect(nearestName(name, ['host', 'port', 'listen_port'])).toBe(nearest)
  })
})

describe('listen_backlog', () => {
  const input = (backlog: number) => ({ pooler: { listen_backlog: backlog } })

  test('is what is configured under Node.js, and refused under Bun unless it is what Bun does', () => {
    if (process.versions.bun === undefined) {
      expect(buildConfig(input(64)).pooler.listen_backlog).toBe(64)
      return
    }
    expect(messageOf(input(64))).toContain(
      'pooler.listen_backlog: it is always 512 under Bun: leave the line out, or run the pooler under Node.js',
    )
    expect(buildConfig(input(512)).pooler.listen_backlog).toBe(512)
  })
})
