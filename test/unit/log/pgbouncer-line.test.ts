import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { pointer } from '../../../src/admin/connection-rows.ts'
import type { LogRecord } from '../../../src/log/log-events.ts'
import { PgbouncerLine } from '../../../src/log/pgbouncer-line.ts'

/** What is logged, as lines of PgBouncer's log: golden, because other people's programs read them. */

let zone: string | undefined
beforeEach(() => {
  zone = process.env.TZ
  process.env.TZ = 'UTC'
})
afterEach(() => {
  if (zone === undefined) delete process.env.TZ
  else process.env.TZ = zone
})

const TIME = '2026-11-25T21:05:15.007Z'
const format = (record: LogRecord): string =>
  new PgbouncerLine().format({ level: 30, time: TIME, pid: 4711, hostname: 'db9', ...record }, 6432)
const HEAD = '2026-11-25 21:05:15.007 UTC [4711]'
const client = { clientId: 42, client: '10.0.0.5:40123', database: 'app', user: 'ann' }
const server = { serverId: 43, server: '10.0.0.9:5432', serverPid: 99, pool: 'app/ann' }
const CLIENT = 'C-0x0000002a: app/ann@10.0.0.5:40123'
const SERVER = 'S-0x0000002b: app/ann@10.0.0.9:5432'

test.each<[LogRecord, string]>([
  [
    { ...client, level: 20, tls: 'no', replication: 'no', msg: 'login attempt' },
    `LOG ${CLIENT} login attempt: db=app user=ann tls=no replication=no`,
  ],
  [
    { ...client, reason: 'client closed the connection', ageSeconds: 12, msg: 'client disconnected' },
    `LOG ${CLIENT} closing because: client close request (age=12s)`,
  ],
  [
    { ...client, level: 20, reason: 'client unexpected eof', ageSeconds: 0, msg: 'login ended' },
    `LOG ${CLIENT} closing because: client unexpected eof (age=0s)`,
  ],
  [
    {
      clientId: 7,
      client: 'unix',
      database: '',
      user: '',
      level: 20,
      reason: 'x',
      ageSeconds: 0,
      msg: 'login ended',
    },
    'LOG C-0x00000007: (nodb)/(nouser)@unix:6432 closing because: x (age=0s)',
  ],
  [
    { ...client, level: 40, sqlState: '57014', reason: 'query_wait_timeout', msg: 'error sent to client' },
    `WARNING ${CLIENT} pooler error: query_wait_timeout`,
  ],
  [
    { ...server, database: 'app', user: 'ann', from: '10.0.0.1:5000', msg: 'server connection opened' },
    `LOG ${SERVER} new connection to server (from 10.0.0.1:5000)`,
  ],
  [
    {
      ...server,
      server: '/run/postgresql/.s.PGSQL.5433',
      database: 'app',
      user: 'ann',
      msg: 'server connection opened',
    },
    'LOG S-0x0000002b: app/ann@unix:5433 new connection to server',
  ],
  [
    {
      ...server,
      database: 'app',
      user: 'ann',
      reason: 'server_lifetime',
      ageSeconds: 3600,
      msg: 'server connection closed',
    },
    `LOG ${SERVER} closing because: server lifetime over (age=3600s)`,
  ],
  [
    {
      pool: 'app/ann',
      level: 40,
      sqlState: '28P01',
      reason: 'password authentication failed',
      retryInMs: 1,
      msg: 'server connection failed',
    },
    'WARNING app/ann: server login failed: password authentication failed',
  ],
  [{ host: '127.0.0.1', port: 6432, msg: 'listening' }, 'LOG listening on 127.0.0.1:6432'],
  [{ host: '::', port: 6432, msg: 'listening' }, 'LOG listening on [::]:6432'],
  [{ host: '/tmp', port: 6432, msg: 'listening' }, 'LOG listening on unix:/tmp/.s.PGSQL.6432'],
  [
    { pgbouncer: '1.25.2', version: '1.0.0', node: 'v22.0.0', tls: 'OpenSSL 3.0.1', msg: 'process up' },
    'LOG process up: PgBouncer 1.25.2 (pooler 1.0.0), Node.js v22.0.0, tls: OpenSSL 3.0.1',
  ],
  [
    { signal: 'SIGTERM', again: false, msg: 'signal received' },
    'LOG got SIGTERM, shutting down, waiting for all clients disconnect',
  ],
  [
    { signal: 'SIGINT', again: false, msg: 'signal received' },
    'LOG got SIGINT, shutting down, waiting for all servers connections to be released',
  ],
  [
    { signal: 'SIGTERM', again: true, msg: 'signal received' },
    'LOG got SIGTERM while shutting down, fast exit',
  ],
  [{ signal: 'SIGQUIT', again: false, msg: 'signal received' }, 'LOG got SIGQUIT, fast exit'],
  [
    { ...client, level: 40, reason: 'no', why: 'there is no such user', msg: 'login refused' },
    `WARNING ${CLIENT} login refused: there is no such user`,
  ],
  [
    { ...client, reason: 'the server cannot be reached (E)', ageSeconds: 0, msg: 'client disconnected' },
    `LOG ${CLIENT} closing because: the server cannot be reached (E) (age=0s)`,
  ],
  [
    {
      ...server,
      ...client,
      clientId: undefined,
      reason: 'the server cannot be reached',
      ageSeconds: 0,
      msg: 'server login ended',
    },
    `LOG ${SERVER} closing because: connect failed (age=0s)`,
  ],
  [
    { ...client, msg: 'new database by the entry for *' },
    `LOG ${CLIENT} registered new auto-database: db=app`,
  ],
  [{ command: 'RELOAD', msg: 'command issued' }, 'LOG RELOAD command issued'],
  [{ command: 'PAUSE', argument: 'app', msg: 'command issued' }, "LOG PAUSE 'app' command issued"],
  [{ signal: 'SIGHUP', msg: 'reload asked for' }, 'LOG got SIGHUP, re-reading config'],
  [{ signal: 'SIGUSR1', msg: 'pause asked for' }, 'LOG got SIGUSR1, pausing all activity'],
  [{ signal: 'SIGUSR2', msg: 'resume asked for' }, 'LOG got SIGUSR2, continuing from PAUSE'],
  [{ msg: 'stats: 1 xacts/s, 2 queries/s' }, 'LOG stats: 1 xacts/s, 2 queries/s'],
])('%j', (record, line) => {
  expect(format(record)).toBe(`${HEAD} ${line}\n`)
})

test('a refused login whose reason the client is told has no line of its own', () => {
  expect(format({ ...client, level: 40, reason: 'no', msg: 'login refused' })).toBe('')
})

describe('what PgBouncer has no words for', () => {
  test('is its message and its fields', () => {
    expect(format({ host: 'db1:5432', addresses: ['10.0.0.1'], msg: 'host name has other addresses' })).toBe(
      `${HEAD} LOG host name has other addresses: host=db1:5432, addresses=["10.0.0.1"]\n`,
    )
  })

  test('names the database where no connection does', () => {
    expect(format({ database: 'app', msg: 'paused' })).toBe(`${HEAD} LOG paused: database=app\n`)
  })

  test('names an error by its message', () => {
    const err = { type: 'PoolerError', message: 'no such file', stack: 'at x' }
    expect(format({ level: 50, err, msg: 'reload failed' })).toBe(
      `${HEAD} ERROR reload failed: no such file\n`,
    )
  })
})

test.each([
  [10, 'NOISE'],
  [20, 'DEBUG'],
  [30, 'LOG'],
  [40, 'WARNING'],
  [50, 'ERROR'],
  [60, 'FATAL'],
])('level %i is %s', (level, tag) => {
  expect(format({ level, msg: 'x' })).toBe(`${HEAD} ${tag} x\n`)
})

test('a name with a line break does not make a line of its own', () => {
  const line = format({
    ...client,
    user: 'ann',
    reason: 'x\n2026-01-01 LOG forged',
    ageSeconds: 0,
    msg: 'client disconnected',
  })
  expect(line.trimEnd().split('\n')[1]).toBe('\t2026-01-01 LOG forged (age=0s)')
  const named = format({
    ...client,
    database: 'a\nb',
    ageSeconds: 0,
    reason: 'x',
    msg: 'client disconnected',
  })
  expect(
    named
      .trimEnd()
      .split('\n')
      .slice(1)
      .every((rest) => rest.startsWith('\t')),
  ).toBe(true)
})

test('IPv6 addresses are in brackets', () => {
  const record = { ...client, client: '::1:40123', reason: 'x', ageSeconds: 0, msg: 'client disconnected' }
  expect(format(record)).toContain('app/ann@[::1]:40123 ')
})

test('connections have the numbers that the console shows as ptr', () => {
  expect(format({ ...client, clientId: 0x1234567890, msg: 'x' })).toContain(`C-${pointer(0x1234567890)}: `)
})

test.each([
  ['Europe/Berlin', '2026-07-01T10:00:00.000Z', '2026-07-01 12:00:00.000 CEST'],
  ['Europe/Berlin', '2026-12-01T10:00:00.000Z', '2026-12-01 11:00:00.000 CET'],
  ['America/New_York', '2026-12-01T03:00:00.000Z', '2026-11-30 22:00:00.000 EST'],
  ['Asia/Kathmandu', '2026-12-01T10:00:00.000Z', '2026-12-01 15:45:00.000 +0545'],
])('the time is that of %s', (timeZone, time, text) => {
  process.env.TZ = timeZone
  expect(format({ time, msg: 'x' })).toBe(`${text} [4711] LOG x\n`)
})
