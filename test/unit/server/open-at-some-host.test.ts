import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { createLogger } from '../../../src/log.ts'
import { endpointName } from '../../../src/net/endpoint-name.ts'
import { HostBackOff } from '../../../src/server/host-back-off.ts'
import { HostList } from '../../../src/server/host-list.ts'
import { openAtSomeHost } from '../../../src/server/open-at-some-host.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { FakeDns } from '../../support/fake-dns.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

type Balance = 'round-robin' | 'disable'

/** Hosts, of which some fail; whoever does not is the connection. */
function stage(host: string[], balance: Balance = 'round-robin', timeoutMs = 12_000) {
  const dns = new FakeDns()
  const failures = new Map<string, PoolerError>()
  /** How long each takes to fail. */
  const slow = new Map<string, number>()
  const tried: { name: string; timeoutMs: number }[] = []
  const aborted = new AbortController()
  const hosts = new HostList({
    places: () => ({ host, port: 5432, load_balance_hosts: balance }),
    tls: () => ({ mode: 'disable' }),
    dns: dns.cache,
    backOff: new HostBackOff(() => 15_000),
    firstTurn: 0,
  })
  const open = (): Promise<string> =>
    openAtSomeHost({
      hosts,
      open: async (endpoint, shareMs) => {
        const name = endpointName(endpoint)
        tried.push({ name, timeoutMs: shareMs })
        vi.advanceTimersByTime(slow.get(name) ?? 0)
        const failure = failures.get(name)
        if (failure !== undefined) throw failure
        return name as unknown as ServerConnection
      },
      timeoutMs,
      signal: aborted.signal,
      log: createLogger({ level: 'silent' }).log,
    }).then(
      (server) => server as unknown as string,
      (error: PoolerError) => `${error.sqlState} ${error.message}`,
    )
  return { dns, failures, slow, tried, aborted, open }
}

const DOWN = new PoolerError('57P03', 'the server cannot be reached (ECONNREFUSED)')
const FULL = new PoolerError('53300', 'sorry, too many clients already', { response: Buffer.from('E') })

test('a host that fails is passed over in the same attempt, and each is tried once', async () => {
  const { failures, tried, open } = stage(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  failures.set('10.0.0.1:5432', DOWN)
  failures.set('10.0.0.2:5432', FULL)
  expect(await open()).toBe('10.0.0.3:5432')
  expect(tried.map(({ name }) => name)).toEqual(['10.0.0.1:5432', '10.0.0.2:5432', '10.0.0.3:5432'])
  tried.length = 0
  expect(await open()).toBe('10.0.0.3:5432')
  expect(tried).toHaveLength(1)
})

test('when all fail the error names them all', async () => {
  const { dns, failures, open } = stage(['nowhere', '10.0.0.1', 'db'])
  dns.answers.set('db', ['10.0.0.2'])
  failures.set('10.0.0.1:5432', FULL)
  failures.set('db:5432 (10.0.0.2)', DOWN)
  expect(await open()).toBe(
    '57P03 no host could be connected to: the server cannot be reached (ENOTFOUND) at nowhere:5432; ' +
      'sorry, too many clients already (10.0.0.1:5432); the server cannot be reached (ECONNREFUSED)',
  )
})

test.each([DOWN, FULL])('the error of the only host is passed on as it is: $message', async (error) => {
  const { failures, open } = stage(['10.0.0.1'])
  failures.set('10.0.0.1:5432', error)
  expect(await open()).toBe(`${error.sqlState} ${error.message}`)
})

test('a host that refuses a login is back', async () => {
  const { failures, tried, open } = stage(['10.0.0.1', '10.0.0.2'])
  failures.set('10.0.0.1:5432', DOWN)
  await open()
  vi.advanceTimersByTime(15_000)
  failures.set('10.0.0.1:5432', new PoolerError('28P01', 'password authentication failed'))
  const results = [await open(), await open()]
  expect(results.sort()).toEqual(['10.0.0.2:5432', '28P01 password authentication failed'])
  failures.clear()
  tried.length = 0
  for (let i = 0; i < 2; i += 1) await open()
  expect(tried.map(({ name }) => name).sort()).toEqual(['10.0.0.1:5432', '10.0.0.2:5432'])
})

test('a wrong password ends the attempt: it is wrong at the other hosts, too', async () => {
  const { failures, tried, open } = stage(['10.0.0.1', '10.0.0.2'])
  failures.set('10.0.0.1:5432', new PoolerError('28P01', 'password authentication failed'))
  expect(await open()).toBe('28P01 password authentication failed')
  expect(tried).toHaveLength(1)
})

test('"disable" does not pass over a host that is only full', async () => {
  const { failures, tried, open } = stage(['10.0.0.1', '10.0.0.2'], 'disable')
  failures.set('10.0.0.1:5432', FULL)
  expect(await open()).toMatch(/^53300/)
  expect(tried).toHaveLength(1)
  failures.set('10.0.0.1:5432', DOWN)
  expect(await open()).toBe('10.0.0.2:5432')
})

test('server_connect_timeout is divided among the hosts that are left', async () => {
  const { failures, slow, tried, open } = stage(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  for (const name of ['10.0.0.1:5432', '10.0.0.2:5432', '10.0.0.3:5432']) failures.set(name, DOWN)
  slow.set('10.0.0.1:5432', 4000)
  await open()
  expect(tried.map(({ timeoutMs }) => timeoutMs)).toEqual([4000, 4000, 8000])
})

test('without a timeout nobody has one', async () => {
  const { tried, open } = stage(['10.0.0.1', '10.0.0.2'], 'round-robin', 0)
  await open()
  expect(tried).toEqual([{ name: '10.0.0.1:5432', timeoutMs: 0 }])
})

test('a name that takes longer than server_connect_timeout fails the attempt', async () => {
  const { dns, open } = stage(['db'])
  dns.delay = new Promise(() => {})
  const opened = open()
  vi.advanceTimersByTime(12_000)
  expect(await opened).toBe('57P03 the server did not complete the login in time (server_connect_timeout)')
})

test('a pool that ends waits neither for a name nor tries the next host', async () => {
  const { dns, aborted, open } = stage(['db'])
  dns.delay = new Promise(() => {})
  const opened = open()
  aborted.abort()
  expect(await opened).toBe('57P01 pooler is shutting down')
  const { failures, tried, ...second } = stage(['10.0.0.1', '10.0.0.2'])
  failures.set('10.0.0.1:5432', DOWN)
  const other = second.open()
  second.aborted.abort()
  expect(await other).toMatch(/^57P0/)
  expect(tried.length).toBeLessThan(2)
})
