import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { LocalBudget } from '../../../src/pool/local-budget.ts'
import { RetryDelay } from '../../../src/server/retry-delay.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { FakeServers } from '../../support/fake-servers.ts'

/** When a pool opens connections besides those that somebody waits for, and when it closes some. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const tick = async (servers: FakeServers, laterMs = 0): Promise<void> => {
  await vi.advanceTimersByTimeAsync(laterMs)
  servers.pool.tick(Date.now())
  await servers.settle()
}

describe('min_pool_size', () => {
  test('is opened without any client', async () => {
    const servers = new FakeServers({ size: 5, minSize: 3 })
    await tick(servers)
    expect(servers.pool.size).toBe(3)
  })

  test('is opened again when servers are lost', async () => {
    const servers = new FakeServers({ size: 5, minSize: 2 })
    await tick(servers)
    const held = await servers.served('a')
    held.server.handler = servers.holder
    servers.connection(held.server).lose()
    expect(servers.pool.size).toBe(1)
    await tick(servers)
    expect(servers.pool.size).toBe(2)
  })

  test('is kept beyond server_idle_timeout, and no more than that', async () => {
    const servers = new FakeServers({ size: 5, minSize: 2, idleTimeoutMs: 5000 })
    const four = await Promise.all(['a', 'b', 'c', 'd'].map((name) => servers.served(name)))
    for (const { server } of four) servers.pool.release(server)
    for (let i = 0; i < 30; i += 1) await tick(servers, 1000)
    expect(servers.pool.size).toBe(2)
  })

  test('is not opened while the pool is paused, nor after a failure before its pause is over', async () => {
    const servers = new FakeServers({ size: 5, minSize: 1, retryMs: 15_000 })
    servers.pool.pause()
    await tick(servers)
    expect(servers.pool.size).toBe(0)
    servers.automatic = false
    servers.pool.resume()
    await tick(servers)
    servers.openings[0]?.fail(new PoolerError('28P01', 'password authentication failed'))
    await tick(servers, 1000)
    expect(servers.openings).toHaveLength(0)
    await tick(servers, 15_000)
    expect(servers.openings).toHaveLength(1)
  })

  test('does not close servers of other pools', async () => {
    const budget = new LocalBudget()
    const limit = { maxDatabaseConnections: 1 }
    const other = new FakeServers(limit, { user: 'other', budget })
    const held = await other.served('a')
    other.pool.release(held.server)
    const servers = new FakeServers({ ...limit, minSize: 1 }, { user: 'mine', budget })
    await tick(servers)
    expect(servers.pool.size).toBe(0)
    expect(other.pool.size).toBe(1)
  })
})

describe('reserve_pool_size', () => {
  test('is used when somebody has waited for reserve_pool_timeout, and closed when nobody waits', async () => {
    const servers = new FakeServers({ size: 1, reserveSize: 1, reserveTimeoutMs: 5000 })
    const held = await servers.served('a')
    const [second, third] = [servers.lease('b'), servers.lease('c')]
    await tick(servers, 4999)
    expect(second.server).toBeNull()
    await tick(servers, 1)
    expect(second.server).not.toBeNull()
    expect(third.server).toBeNull()
    expect(servers.most).toBe(2)
    servers.pool.release(held.server)
    expect(third.server).not.toBeNull()
    servers.pool.release(second.server as ServerConnection)
    servers.pool.release(third.server as ServerConnection)
    await tick(servers)
    expect(servers.pool.size).toBe(1)
  })
})

describe('max_connecting', () => {
  test('is how many connections are opened at a time', async () => {
    const servers = new FakeServers({ size: 20, maxConnecting: 5 })
    servers.automatic = false
    for (let i = 0; i < 20; i += 1) servers.lease(String(i))
    const rounds: number[] = []
    while (servers.pool.waiting > 0) {
      await servers.settle()
      rounds.push(servers.openings.length)
      for (const opening of [...servers.openings]) opening.succeed()
      await servers.settle()
      if (rounds.length > 20) throw new Error('it never ends')
    }
    expect(rounds).toEqual([5, 5, 5, 5])
  })
})

test('server_round_robin gives out the server that was idle for longest', async () => {
  const servers = new FakeServers({ size: 3, roundRobin: true })
  const [one, two] = [await servers.served('a'), await servers.served('b')]
  servers.pool.release(one.server)
  servers.pool.release(two.server)
  expect(servers.lease('c').server).toBe(one.server)
  expect(servers.lease('d').server).toBe(two.server)
})

describe('server_lifetime', () => {
  const lifetimeMs = 100_000

  test('is ended up to a tenth earlier, each server in its own time', async () => {
    vi.spyOn(Math, 'random').mockReturnValueOnce(1)
    const servers = new FakeServers({ size: 2, lifetimeMs })
    const [early, late] = [await servers.served('a'), await servers.served('b')]
    for (const held of [early, late]) held.server.lastLessee = held
    await vi.advanceTimersByTimeAsync(90_001)
    servers.pool.release(early.server)
    servers.pool.release(late.server)
    expect([early, late].map(({ server }) => server.usable)).toEqual([false, true])
  })

  test('of a server in use has its successor opened before the end', async () => {
    const servers = new FakeServers({ size: 2, lifetimeMs })
    const held = await servers.served('a')
    await tick(servers, 94_000)
    expect(servers.pool.size).toBe(1)
    await tick(servers, 1500)
    expect(servers.pool.size).toBe(2)
    await tick(servers, 1000)
    expect(servers.most).toBe(2)
    servers.pool.release(held.server)
    for (let i = 0; i < 6; i += 1) await tick(servers, 1000)
    expect(servers.pool.size).toBe(1)
  })

  test('in a full pool is followed by a successor', async () => {
    const servers = new FakeServers({ size: 1, lifetimeMs })
    const held = await servers.served('a')
    await tick(servers, 99_000)
    expect(servers.most).toBe(1)
    await vi.advanceTimersByTimeAsync(1500)
    servers.pool.release(held.server)
    await servers.settle()
    expect(servers.pool.size).toBe(1)
    expect(servers.lease('b').server).not.toBe(held.server)
    expect(servers.most).toBe(1)
  })

  test('of a server that nobody uses ends without a successor', async () => {
    const servers = new FakeServers({ size: 2, lifetimeMs })
    const held = await servers.served('a')
    servers.pool.release(held.server)
    for (let i = 0; i < 103; i += 1) await tick(servers, 1000)
    expect(servers.pool.size).toBe(0)
  })

  test('0 uses each connection once', async () => {
    const servers = new FakeServers({ size: 1, lifetimeMs: 0 })
    const held = await servers.served('a')
    held.server.lastLessee = held
    servers.pool.release(held.server)
    expect(servers.pool.size).toBe(0)
    expect((await servers.served('b')).server).not.toBe(held.server)
  })
})

describe('configure()', () => {
  test('with a larger size serves those who wait at once', async () => {
    const servers = new FakeServers({ size: 1 })
    await servers.served('a')
    const waiter = servers.lease('b')
    servers.pool.configure({ ...servers.pool.policy, size: 2 })
    await servers.settle()
    expect(waiter.server).not.toBeNull()
  })

  test('with a smaller size closes one idle server per tick until it fits', async () => {
    const servers = new FakeServers({ size: 3 })
    const three = await Promise.all(['a', 'b', 'c'].map((name) => servers.served(name)))
    servers.pool.configure({ ...servers.pool.policy, size: 1 })
    for (const { server } of three) servers.pool.release(server)
    await tick(servers)
    expect(servers.pool.size).toBe(2)
    await tick(servers)
    await tick(servers)
    expect(servers.pool.size).toBe(1)
  })
})

describe('the pause after failures', () => {
  test('doubles up to server_login_retry, and begins anew after a success', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    const delay = new RetryDelay()
    expect([1, 2, 3, 4, 5, 6, 7, 8].map(() => delay.next(15_000, true))).toEqual([
      250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000,
    ])
    delay.reset()
    expect(delay.next(15_000, true)).toBe(250)
  })

  test('is up to a quarter shorter, by chance', () => {
    const delay = new RetryDelay()
    expect(delay.next(15_000, true)).toBe(187.5)
  })

  test('is server_login_retry where the login was refused', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    expect(new RetryDelay().next(15_000, false)).toBe(15_000)
  })

  test('is none where server_login_retry is 0', () => {
    expect(new RetryDelay().next(0, true)).toBe(0)
  })
})
