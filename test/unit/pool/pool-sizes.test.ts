import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const tick = async (servers: FakeServers): Promise<void> => {
  servers.pool.tick(Date.now())
  await servers.settle()
}

/** Time passes as in a pooler: with a tick of the janitor every third of a second. */
const pass = async (servers: FakeServers, ms: number): Promise<void> => {
  for (let passed = 0; passed < ms; passed += 333) {
    await vi.advanceTimersByTimeAsync(333)
    await tick(servers)
  }
}

const reconfigure = (servers: FakeServers, changes: Partial<FakeServers['pool']['policy']>): void =>
  servers.pool.configure({ ...servers.pool.policy, ...changes })

describe('min_pool_size', () => {
  test('is opened without any client, at the first tick', async () => {
    const servers = new FakeServers({ size: 5, minSize: 3 })
    await tick(servers)
    expect(servers.pool).toMatchObject({ size: 3, activeCount: 0 })
  })

  test('is kept through server_idle_timeout, what is more goes', async () => {
    const servers = new FakeServers({ size: 5, minSize: 2, idleTimeoutMs: 5000 })
    const clients = await Promise.all(['a', 'b', 'c', 'd'].map((name) => servers.served(name)))
    for (const { server } of clients) servers.pool.release(server)
    await pass(servers, 20_000)
    expect(servers.pool.size).toBe(2)
    expect(servers.existing).toBe(2)
  })

  test('is filled again when a server dies, and never overfilled', async () => {
    const servers = new FakeServers({ size: 5, minSize: 2 })
    await tick(servers)
    await pass(servers, 2000)
    const alice = await servers.served('alice')
    alice.server.handler = servers.holder
    servers.connection(alice.server).lose()
    await pass(servers, 2000)
    expect(servers.pool.size).toBe(2)
    expect(servers.most).toBe(2)
  })

  test('is filled no faster than max_connecting, and not while the pool is paused', async () => {
    const servers = new FakeServers({ size: 10, minSize: 6, maxConnecting: 2 })
    servers.automatic = false
    servers.pool.pause()
    await tick(servers)
    expect(servers.openings).toHaveLength(0)
    servers.pool.resume()
    await tick(servers)
    await tick(servers)
    expect(servers.openings).toHaveLength(2)
  })

  test('waits for server_login_retry after a failure like everybody', async () => {
    const servers = new FakeServers({ minSize: 1, retryMs: 10_000 })
    servers.automatic = false
    await tick(servers)
    servers.openings[0]?.fail(new TypeError('no'))
    await servers.settle()
    await tick(servers)
    expect(servers.openings).toHaveLength(0)
    await pass(servers, 1000)
    expect(servers.openings).toHaveLength(1)
  })
})

describe('reserve_pool_size', () => {
  const RESERVE = { size: 1, reserveSize: 1, reserveTimeoutMs: 5000 }

  test('is used once a client has waited for reserve_pool_timeout, not before', async () => {
    const servers = new FakeServers(RESERVE)
    await servers.served('alice')
    const bob = servers.lease('bob')
    vi.advanceTimersByTime(4999)
    await tick(servers)
    expect(bob.server).toBeNull()
    vi.advanceTimersByTime(1)
    await tick(servers)
    expect(bob.server).not.toBeNull()
    expect(servers.most).toBe(2)
  })

  test('is never exceeded, however long clients wait', async () => {
    const servers = new FakeServers(RESERVE)
    for (const name of ['a', 'b', 'c', 'd']) servers.lease(name)
    await servers.settle()
    await pass(servers, 30_000)
    expect(servers.log).toEqual(['a is served', 'b is served'])
    expect(servers.most).toBe(2)
  })

  test('is closed again when nobody waits any more', async () => {
    const servers = new FakeServers(RESERVE)
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    await pass(servers, 6000)
    servers.pool.release(alice.server)
    servers.pool.release(bob.server as ServerConnection)
    await tick(servers)
    expect(servers.pool.size).toBe(1)
    expect(servers.existing).toBe(1)
  })

  test('of 0 is never used, nor with a reserve_pool_timeout of 0', async () => {
    for (const none of [{ reserveSize: 0 }, { reserveTimeoutMs: 0 }]) {
      const servers = new FakeServers({ ...RESERVE, ...none })
      await servers.served('alice')
      servers.lease('bob')
      await pass(servers, 10_000)
      expect(servers.most).toBe(1)
    }
  })
})

describe('max_connecting', () => {
  test('limits how many connections are opened at the same time; each that is open lets the next begin', async () => {
    const servers = new FakeServers({ size: 20, maxConnecting: 5 })
    servers.automatic = false
    for (let i = 0; i < 20; i++) servers.lease(String(i))
    let rounds = 0
    while (servers.pool.size < 20) {
      await servers.settle()
      expect(servers.openings).toHaveLength(5)
      for (const opening of [...servers.openings]) opening.succeed()
      await servers.settle()
      rounds += 1
    }
    expect(rounds).toBe(4)
    expect(servers.pool).toMatchObject({ activeCount: 20, waiting: 0, opening: 0 })
  })

  test('holds also for clients that come after all parked servers have died', async () => {
    const servers = new FakeServers({ size: 10, maxConnecting: 10 })
    const clients = await Promise.all(Array.from({ length: 10 }, (_, i) => servers.served(`early ${i}`)))
    for (const { server } of clients) servers.pool.release(server)
    vi.advanceTimersByTime(1001)
    servers.pool.tick(Date.now())
    await servers.settle()
    for (const { server } of clients) servers.connection(server).lose()
    reconfigure(servers, { maxConnecting: 2 })
    servers.automatic = false
    for (let i = 0; i < 10; i++) servers.lease(`late ${i}`)
    let rounds = 0
    while (servers.pool.activeCount < 10) {
      await servers.settle()
      expect(servers.openings.length).toBeLessThanOrEqual(2)
      for (const opening of [...servers.openings]) opening.succeed()
      await servers.settle()
      rounds += 1
      if (rounds > 10) throw new Error(`only ${servers.pool.activeCount} are served`)
    }
    expect(rounds).toBe(5)
  })
})

describe('server_round_robin', () => {
  test('false uses the server that was used last, true the one that was idle for longest', async () => {
    for (const roundRobin of [false, true]) {
      const servers = new FakeServers({ size: 3, roundRobin })
      const clients = await Promise.all(['a', 'b', 'c'].map((name) => servers.served(name)))
      for (const { server } of clients) servers.pool.release(server)
      const expected = roundRobin ? clients[0] : clients[2]
      expect(servers.lease('next').server).toBe(expected?.server)
    }
  })

  test('true uses all servers evenly, also where each waits for longer than a second', async () => {
    const servers = new FakeServers({ size: 3, roundRobin: true })
    const clients = await Promise.all(['a', 'b', 'c'].map((name) => servers.served(name)))
    for (const { server } of clients) servers.pool.release(server)
    const used: ServerConnection[] = []
    for (let i = 0; i < 6; i++) {
      await pass(servers, 2000)
      const { server } = await servers.served(String(i))
      used.push(server)
      servers.pool.release(server)
    }
    const [a, b, c] = clients.map(({ server }) => server)
    expect(used).toEqual([a, b, c, a, b, c])
  })

  test('true does not keep servers from server_idle_timeout and server_lifetime', async () => {
    const servers = new FakeServers({ size: 3, roundRobin: true, idleTimeoutMs: 5000 })
    servers.pool.release((await servers.served('a')).server)
    await pass(servers, 8000)
    expect(servers.pool.size).toBe(0)
    reconfigure(servers, { idleTimeoutMs: 0, lifetimeMs: 5000 })
    servers.pool.release((await servers.served('b')).server)
    await pass(servers, 8000)
    expect(servers.pool.size).toBe(0)
  })
})

describe('pool_size that a reload changes', () => {
  test('lets waiting clients have more servers at once where it grows', async () => {
    const servers = new FakeServers({ size: 1 })
    await servers.served('alice')
    const bob = servers.lease('bob')
    const carol = servers.lease('carol')
    reconfigure(servers, { size: 2 })
    await servers.settle()
    expect(bob.server).not.toBeNull()
    expect(carol.server).toBeNull()
  })

  test('closes idle servers at the next tick where it shrinks, and no more than that', async () => {
    const servers = new FakeServers({ size: 5 })
    const clients = await Promise.all(['a', 'b', 'c', 'd'].map((name) => servers.served(name)))
    for (const { server } of clients) {
      servers.pool.release(server)
      vi.advanceTimersByTime(1)
    }
    reconfigure(servers, { size: 2 })
    await tick(servers)
    expect(servers.pool.size).toBe(2)
    expect(clients.map(({ server }) => server.state === ServerState.Closed)).toEqual([
      true,
      true,
      false,
      false,
    ])
  })

  test('closes servers as they come back where it shrinks, though clients wait', async () => {
    const servers = new FakeServers({ size: 3 })
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name) => servers.served(name)))
    const waiter = servers.lease('waiter')
    reconfigure(servers, { size: 1 })
    for (const client of [a, b]) if (client !== undefined) servers.pool.release(client.server)
    await servers.settle()
    expect(servers.pool.size).toBe(1)
    expect(waiter.server).toBeNull()
    servers.pool.release(c?.server as ServerConnection)
    expect(waiter.server).toBe(c?.server)
  })

  test('does not close what the reserve allows while clients wait', async () => {
    const servers = new FakeServers({ size: 1, reserveSize: 1, reserveTimeoutMs: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    await pass(servers, 333)
    expect(bob.server).not.toBeNull()
    const carol = servers.lease('carol')
    servers.pool.release(alice.server)
    expect(carol.server).toBe(alice.server)
  })
})
