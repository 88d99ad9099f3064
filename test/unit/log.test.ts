import { closeSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { PoolerError, SqlState } from '../../src/errors.ts'
import type { LogSettings } from '../../src/log/log-settings.ts'
import { asRootLogger, createLogger } from '../../src/log.ts'

const folder = mkdtempSync(join(tmpdir(), 'pooler-log-'))
const descriptors: number[] = []
afterAll(() => {
  descriptors.forEach(closeSync)
  rmSync(folder, { recursive: true })
})

function logFile(): { fd: number; lines: () => Record<string, unknown>[] } {
  const path = join(folder, `${descriptors.length}.log`)
  const fd = openSync(path, 'a')
  descriptors.push(fd)
  return {
    fd,
    lines: () =>
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  }
}

test('flush writes everything that was logged before it, also while a write is under way', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  // More than the logger collects, so that the first write starts at once; the rest stays collected.
  for (let i = 0; i < 100; i++) log.info({ i, filler: 'x'.repeat(50) }, 'something happened')
  await flush()
  expect(lines().map(({ i }) => i)).toEqual(Array.from({ length: 100 }, (_, i) => i))
})

test('a single line appears without a flush', async () => {
  const { fd, lines } = logFile()
  createLogger({ level: 'info', fd }).log.info('started')
  await vi.waitFor(() => expect(lines()).toMatchObject([{ msg: 'started' }]), { timeout: 5000 })
})

test('lines below the level are not written', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'warn', fd })
  log.info('not important')
  log.warn('important')
  await flush()
  expect(lines().map(({ msg }) => msg)).toEqual(['important'])
})

test('secrets are redacted, also in children and up to two levels down', async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  log.child({ component: 'x', password: 'hunter2' }).info({ user: 'ann' }, 'one')
  log.info({ password: 'hunter2', user: { password: 'hunter2' }, a: { b: { secret: 'hunter2' } } }, 'two')
  await flush()
  expect(lines()).toHaveLength(2)
  expect(JSON.stringify(lines())).not.toContain('hunter2')
  expect(lines()[1]).toMatchObject({ password: '[redacted]' })
})

test("an error's response bytes are left out", async () => {
  const { fd, lines } = logFile()
  const { log, flush } = createLogger({ level: 'info', fd })
  const err = new PoolerError(SqlState.ConnectionFailure, 'gone', { response: Buffer.from('E....') })
  log.error({ err }, 'server left')
  await flush()
  expect(lines()[0]?.err).toMatchObject({ message: 'gone', sqlState: '08006' })
  expect(lines()[0]?.err).not.toHaveProperty('response')
})

/** The defaults, with these changes. */
function settings(changes: Partial<LogSettings>): LogSettings {
  return {
    log_format: 'json',
    log_level: 'info',
    verbose: 0,
    log_connections: true,
    log_disconnections: true,
    log_pooler_errors: true,
    logfile: undefined,
    listen_port: 6432,
    ...changes,
  }
}

/** A logger into a file, what it says so far, and the same without what each line of PgBouncer's begins with. */
function configured(changes: Partial<LogSettings>, options: { verbose?: number } = {}) {
  const path = join(folder, `${descriptors.length}.log`)
  const fd = openSync(path, 'a')
  descriptors.push(fd)
  const logger = createLogger({ level: 'info', fd, ...options })
  logger.configure(settings(changes))
  const written = async (): Promise<string[]> => {
    await logger.flush()
    return readFileSync(path, 'utf8').split('\n').slice(0, -1)
  }
  const texts = async (): Promise<string[]> => (await written()).map((line) => line.replace(/^.*?\] /, ''))
  return { ...logger, written, texts }
}

const CLIENT = { clientId: 1, client: '127.0.0.1:5000', database: 'app', user: 'ann' }

describe('log_format', () => {
  test('pgbouncer writes lines of PgBouncer, also what matters less in JSON', async () => {
    const { log, texts } = configured({ log_format: 'pgbouncer' })
    log.debug({ ...CLIENT, tls: 'no', replication: 'no' }, 'login attempt')
    log.info(CLIENT, 'client connected')
    log.debug({ ...CLIENT, sqlState: '28P01', reason: 'no' }, 'error sent to client')
    log.debug('nothing for operators')
    expect(await texts()).toEqual([
      'LOG C-0x00000001: app/ann@127.0.0.1:5000 login attempt: db=app user=ann tls=no replication=no',
      'WARNING C-0x00000001: app/ann@127.0.0.1:5000 pooler error: no',
    ])
  })

  test('changes while the process runs', async () => {
    const { log, configure, written } = configured({})
    log.info('one')
    configure(settings({ log_format: 'pgbouncer' }))
    log.info('two')
    configure(settings({}))
    log.info('three')
    const [one, two, three] = await written()
    expect(JSON.parse(one as string)).toMatchObject({ msg: 'one' })
    expect(two).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] LOG two$/)
    expect(JSON.parse(three as string)).toMatchObject({ msg: 'three' })
  })

  test('pgbouncer redacts secrets, too', async () => {
    const { log, written } = configured({ log_format: 'pgbouncer' })
    log.info({ password: 'hunter2', a: { secret: 'hunter2' } }, 'one')
    expect(await written()).toHaveLength(1)
    expect((await written()).join()).not.toContain('hunter2')
  })
})

describe.each(['json', 'pgbouncer'] as const)('in the format %s', (log_format) => {
  test.each([
    [{}, ['info']],
    [{ verbose: 1 }, ['debug', 'info']],
    [{ verbose: 2 }, ['trace', 'debug', 'info']],
    [{ verbose: 3 }, ['trace', 'debug', 'info']],
    [{ log_level: 'debug' }, ['debug', 'info']],
    [{ log_level: 'warn' }, []],
    [{ log_level: 'warn', verbose: 1 }, ['debug', 'info']],
    [{ log_level: 'silent' }, []],
    [{ log_level: 'trace', verbose: 1 }, ['trace', 'debug', 'info']],
  ] as [Partial<LogSettings>, string[]][])('%j writes %j', async (changes, expected) => {
    const { log, written } = configured({ log_format, ...changes })
    log.trace('a trace')
    log.debug('a debug')
    log.info('a info')
    expect((await written()).map((line) => /a (\w+)/.exec(line)?.[1])).toEqual(expected)
  })

  test('-v of the command line holds whatever the settings say', async () => {
    const { log, written } = configured({ log_format, log_level: 'warn' }, { verbose: 1 })
    log.debug('told')
    log.trace('not told')
    expect(await written()).toHaveLength(1)
  })

  test.each([
    ['log_connections', 'client connected server connection opened login attempt'],
    ['log_disconnections', 'client disconnected server connection closed login ended'],
    ['log_pooler_errors', 'error sent to client'],
  ] as const)('%s = false keeps its events from it, and only those', async (name, events) => {
    const { log, configure, written } = configured({ log_format, verbose: 1 })
    const all = [
      'login attempt',
      'server connection opened',
      'login ended',
      'client disconnected',
      'server connection closed',
      'error sent to client',
      'listening',
    ]
    for (const event of all) log.info({ ...CLIENT, host: 'h' }, event)
    const before = (await written()).length
    expect(before).toBe(all.length)
    configure(settings({ log_format, verbose: 1, [name]: false }))
    for (const event of all) log.info({ ...CLIENT, host: 'h' }, event)
    expect((await written()).length - before).toBe(all.filter((event) => !events.includes(event)).length)
  })
})

test('what is not written is not put into words', () => {
  const { log } = configured({ log_format: 'pgbouncer', log_connections: false })
  const costly = {
    toJSON: () => {
      throw new Error('asked for')
    },
  }
  log.debug({ costly }, 'not told')
  log.info({ costly }, 'server connection opened')
  log.info({ costly }, 'client connected')
})

describe('a logfile', () => {
  test('gets every line as well, behind what is in it already', async () => {
    const logfile = join(folder, 'both.log')
    const first = configured({ logfile })
    first.log.info('one')
    expect(await first.written()).toHaveLength(1)
    const second = configured({ logfile })
    second.log.info('two')
    await second.flush()
    const messages = readFileSync(logfile, 'utf8').trim().split('\n')
    expect(messages.map((line) => JSON.parse(line).msg)).toEqual(['one', 'two'])
  })

  test('is opened anew with the settings: the old one, renamed, gets what came before', async () => {
    const logfile = join(folder, 'rotated.log')
    const { log, configure, flush } = configured({ logfile, log_format: 'pgbouncer' })
    log.info('before')
    renameSync(logfile, `${logfile}.1`)
    log.info('still before')
    configure(settings({ logfile, log_format: 'pgbouncer' }))
    log.info('after')
    await flush()
    expect(readFileSync(logfile, 'utf8')).toMatch(/^\S+ \S+ \S+ \[\d+\] LOG after\n$/)
    await vi.waitFor(() =>
      expect(readFileSync(`${logfile}.1`, 'utf8').match(/before/g)).toEqual(['before', 'before']),
    )
  })

  test('that cannot be opened is said in one sentence, and changes nothing', async () => {
    const { log, configure, written } = configured({})
    const logfile = join(folder, 'missing', 'x.log')
    expect(() => configure(settings({ logfile, log_level: 'silent' }))).toThrow(
      `logfile: cannot write to ${logfile} (ENOENT)`,
    )
    log.info('still told')
    expect(await written()).toHaveLength(1)
  })
})

describe("a program's own logger", () => {
  const own = () => pino({ level: 'warn' }, { write: () => {} })

  test('keeps its level until the configured one changes', () => {
    const log = own()
    const root = asRootLogger(log, 'info')
    root.configure(settings({}))
    expect(log.level).toBe('warn')
    root.configure(settings({ log_level: 'debug' }))
    expect(log.level).toBe('debug')
  })

  test.each([{ logfile: '/tmp/x.log' }, { log_format: 'pgbouncer' }] as const)('refuses %j', (changes) => {
    expect(() => asRootLogger(own(), 'info').configure(settings(changes))).toThrow('have no effect')
  })
})
