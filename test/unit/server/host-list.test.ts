import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { endpointName } from '../../../src/net/endpoint-name.ts'
import type { Endpoint } from '../../../src/net/transport.ts'
import { HostBackOff } from '../../../src/server/host-back-off.ts'
import { HostList } from '../../../src/server/host-list.ts'
import { isListed } from '../../../src/server/is-listed.ts'
import { FakeDns } from '../../support/fake-dns.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] }))
afterEach(() => void vi.useRealTimers())

/** Longer than any back-off, with the doubling and the jitter of a few failures. */
const LONGEST_BACK_OFF_MS = 15_000

function stage(host: string[], balance: 'round-robin' | 'disable' = 'round-robin') {
  const dns = new FakeDns({ answerMs: 0 })
  const backOff = new HostBackOff(() => LONGEST_BACK_OFF_MS)
  const places = { host, port: 5432, load_balance_hosts: balance }
  const tls = () => ({ mode: 'disable' }) as const
  const list = (firstTurn = 0): HostList =>
    new HostList({ places: () => places, tls, dns: dns.cache, backOff, firstTurn })
  const hosts = list()
  /** Names of where the next connection may be opened, in order. */
  const order = async (from = hosts): Promise<string[]> => {
    const { endpoints } = await from.choose()
    return endpoints.map((endpoint) => endpointName(endpoint).replace(':5432', ''))
  }
  /** The n-th endpoint by its name. */
  const endpoint = async (name: string): Promise<Endpoint> => {
    const { endpoints } = await hosts.choose()
    return endpoints.find((one) => endpointName(one).replace(':5432', '') === name) as Endpoint
  }
  return { dns, places, list, hosts, order, endpoint }
}

describe('round-robin', () => {
  test('begins each attempt at the next host, with the others behind it', async () => {
    const { order } = stage(['10.0.0.1', '10.0.0.2', '/tmp'])
    const socket = '/tmp/.s.PGSQL.5432'
    expect(await order()).toEqual(['10.0.0.1', '10.0.0.2', socket])
    expect(await order()).toEqual(['10.0.0.2', socket, '10.0.0.1'])
    expect(await order()).toEqual([socket, '10.0.0.1', '10.0.0.2'])
    expect(await order()).toEqual(['10.0.0.1', '10.0.0.2', socket])
  })

  test('begins at any host, so that pools of one connection are not all at the first', async () => {
    const { order, list } = stage(['10.0.0.1', '10.0.0.2'])
    const firsts = await Promise.all([0, 1, 2, 3].map(async (turn) => (await order(list(turn)))[0]))
    expect(firsts).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.1', '10.0.0.2'])
  })

  test('gives every host the same share, and every address of a name the same share of that', async () => {
    const { dns, order } = stage(['a', 'b'])
    dns.answers.set('a', ['10.0.1.1', '10.0.1.2'])
    dns.answers.set('b', ['10.0.2.1'])
    const firsts: (string | undefined)[] = []
    for (let i = 0; i < 4; i += 1) firsts.push((await order())[0])
    expect(firsts).toEqual(['a (10.0.1.1)', 'b (10.0.2.1)', 'a (10.0.1.2)', 'b (10.0.2.1)'])
    expect(await order()).toEqual(['a (10.0.1.1)', 'a (10.0.1.2)', 'b (10.0.2.1)'])
  })

  test('tries a host that failed last until its back-off is over, and shares its turns out', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    expect(hosts.failed(await endpoint('10.0.0.1'))).toBe(true)
    const orders = [await order(), await order(), await order(), await order()]
    expect(orders.map((names) => names.at(-1))).toEqual(Array(4).fill('10.0.0.1'))
    expect(orders.filter(([first]) => first === '10.0.0.2')).toHaveLength(2)
    vi.advanceTimersByTime(LONGEST_BACK_OFF_MS)
    const firsts = [(await order())[0], (await order())[0], (await order())[0]]
    expect(firsts).toContain('10.0.0.1')
  })

  test('lets one attempt find out whether a host is back, and the others go elsewhere meanwhile', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2'])
    const first = await endpoint('10.0.0.1')
    hosts.failed(first)
    vi.advanceTimersByTime(LONGEST_BACK_OFF_MS)
    const firsts = [(await order())[0], (await order())[0], (await order())[0], (await order())[0]]
    expect(firsts.filter((name) => name === '10.0.0.1')).toHaveLength(1)
    expect(hosts.succeeded(first)).toBe(true)
    expect(hosts.succeeded(first)).toBe(false)
    expect([(await order())[0], (await order())[0]].sort()).toEqual(['10.0.0.1', '10.0.0.2'])
  })

  test('the back-off of a host grows with its failures, up to server_login_retry', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2'])
    const host = await endpoint('10.0.0.1')
    const isFirstWithin = async (ms: number): Promise<boolean> => {
      vi.advanceTimersByTime(ms)
      return [(await order())[0], (await order())[0]].includes('10.0.0.1')
    }
    hosts.failed(host)
    expect(await isFirstWithin(250)).toBe(true)
    for (let i = 0; i < 10; i += 1) expect(hosts.failed(host)).toBe(false)
    expect(await isFirstWithin(LONGEST_BACK_OFF_MS * 0.7)).toBe(false)
    expect(await isFirstWithin(LONGEST_BACK_OFF_MS * 0.3)).toBe(true)
  })

  test('what one pool has found out, the others know', async () => {
    const { order, hosts, list, endpoint } = stage(['10.0.0.1', '10.0.0.2'])
    hosts.failed(await endpoint('10.0.0.1'))
    expect(await order(list(0))).toEqual(['10.0.0.2', '10.0.0.1'])
    expect(await order(list(1))).toEqual(['10.0.0.2', '10.0.0.1'])
  })

  test('all hosts that failed are tried still', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2'])
    for (const name of ['10.0.0.1', '10.0.0.2']) hosts.failed(await endpoint(name))
    expect((await order()).sort()).toEqual(['10.0.0.1', '10.0.0.2'])
  })
})

describe('load_balance_hosts = "disable"', () => {
  test('stays with the first host', async () => {
    const { order } = stage(['10.0.0.1', '10.0.0.2'], 'disable')
    for (let i = 0; i < 3; i += 1) expect(await order()).toEqual(['10.0.0.1', '10.0.0.2'])
  })

  test('goes on to the next that works, and stays there when the first is back', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2', '10.0.0.3'], 'disable')
    hosts.failed(await endpoint('10.0.0.1'))
    // As slow as can be: the back-off is over by then.
    vi.advanceTimersByTime(LONGEST_BACK_OFF_MS)
    hosts.succeeded(await endpoint('10.0.0.2'))
    vi.advanceTimersByTime(LONGEST_BACK_OFF_MS)
    expect(await order()).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.1'])
  })

  test('is not moved by a connection that was begun before', async () => {
    const { order, hosts, endpoint } = stage(['10.0.0.1', '10.0.0.2'], 'disable')
    const [first, second] = [await endpoint('10.0.0.1'), await endpoint('10.0.0.2')]
    hosts.failed(first)
    hosts.succeeded(second)
    hosts.succeeded(first)
    expect(await order()).toEqual(['10.0.0.2', '10.0.0.1'])
  })

  test('does not depend on the order in which DNS answers', async () => {
    const { dns, order } = stage(['db'], 'disable')
    dns.answers.set('db', ['10.0.0.1', '10.0.0.2'])
    expect((await order())[0]).toBe('db (10.0.0.1)')
    dns.answers.set('db', ['10.0.0.2', '10.0.0.1'])
    expect((await order())[0]).toBe('db (10.0.0.1)')
    dns.answers.set('db', ['10.0.0.3', '10.0.0.2'])
    expect((await order())[0]).toBe('db (10.0.0.2)')
  })
})

describe('names', () => {
  test('that cannot be looked up leave the others, and it is told why', async () => {
    const { dns, hosts } = stage(['nowhere', 'db'])
    dns.answers.set('db', ['10.0.0.1'])
    const { endpoints, unknown } = await hosts.choose()
    expect(endpoints.map(endpointName)).toEqual(['db:5432 (10.0.0.1)'])
    expect(unknown).toMatchObject([{ endpoint: { host: 'nowhere' }, error: { code: 'ENOTFOUND' } }])
  })

  test('are looked up, addresses and folders are not', async () => {
    const { dns, hosts } = stage(['10.0.0.1', '::1', '/tmp', 'db'])
    dns.answers.set('db', ['10.0.0.9'])
    const { endpoints } = await hosts.choose()
    hosts.refresh()
    expect(endpoints.map(endpointName)).toEqual([
      '10.0.0.1:5432',
      '[::1]:5432',
      '/tmp/.s.PGSQL.5432',
      'db:5432 (10.0.0.9)',
    ])
    expect(dns.questions).toEqual(['db'])
  })

  test('keep the connections to addresses that they still have, and no others', async () => {
    const { dns, hosts } = stage(['db', '10.0.0.9'])
    dns.answers.set('db', ['10.0.0.1', '10.0.0.2'])
    const { endpoints } = await hosts.choose()
    const listed = (): string[] =>
      endpoints.filter((endpoint) => hosts.lists(endpoint)).map((endpoint) => endpointName(endpoint))
    expect(listed()).toHaveLength(3)
    dns.answers.set('db', ['10.0.0.2', '10.0.0.3'])
    await dns.cache.resolve('db')
    expect(listed()).toEqual(['db:5432 (10.0.0.2)', '10.0.0.9:5432'])
    dns.answers.delete('db')
    await dns.cache.resolve('db')
    expect(listed()).toEqual(['db:5432 (10.0.0.2)', '10.0.0.9:5432'])
  })
})

describe('a reload', () => {
  test('is seen by the next attempt, and by what is listed', async () => {
    const { places, hosts, order, endpoint } = stage(['10.0.0.1', '10.0.0.2'])
    const [first, second] = [await endpoint('10.0.0.1'), await endpoint('10.0.0.2')]
    places.host = ['10.0.0.2', '10.0.0.3']
    expect((await order()).sort()).toEqual(['10.0.0.2', '10.0.0.3'])
    expect([first, second].map((one) => hosts.lists(one))).toEqual([false, true])
  })

  test.each<[string, Endpoint, boolean]>([
    ['a host that is there still', { host: '10.0.0.1', port: 5432 }, true],
    ['any address of a name that is there still', { host: 'db', port: 5432, address: '10.0.0.7' }, true],
    ['a folder that is there still', { path: '/tmp/.s.PGSQL.5432' }, true],
    ['a host that is not', { host: '10.0.0.3', port: 5432 }, false],
    ['a folder that is not', { path: '/run/.s.PGSQL.5432' }, false],
    ['another port', { host: '10.0.0.1', port: 5433 }, false],
    ['the socket of another port', { path: '/tmp/.s.PGSQL.5433' }, false],
  ])('keeps connections to %s: %j %s', (_what, endpoint, kept) => {
    expect(isListed(endpoint, { host: ['10.0.0.1', '/tmp/', 'db'], port: 5432 })).toBe(kept)
  })
})
