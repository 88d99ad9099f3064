import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { FakeServers } from '../../support/fake-servers.ts'

/** What becomes of servers at the end of server_lifetime. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  // No jitter.
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const LIFETIME_MS = 100_000
/** A twentieth of it. */
const AHEAD_MS = 5000

/** A leased server, as old as given. */
async function aged(
  ageMs: number,
  policy: Partial<FakeServers['pool']['policy']> = {},
): Promise<{ servers: FakeServers; server: ServerConnection }> {
  const servers = new FakeServers({ lifetimeMs: LIFETIME_MS, ...policy })
  const lessee = await servers.served('alice')
  lessee.server.lastLessee = lessee
  vi.advanceTimersByTime(ageMs)
  return { servers, server: lessee.server }
}

const tick = async (servers: FakeServers): Promise<void> => {
  servers.pool.tick(Date.now())
  await servers.settle()
}

describe('server_lifetime', () => {
  test('ends up to a tenth earlier, for each server by a share of its own', async () => {
    for (const jitter of [0, 0.5, 1]) {
      vi.mocked(Math.random).mockReturnValue(jitter)
      const endMs = LIFETIME_MS * (1 - jitter / 10)
      const { servers, server } = await aged(endMs - 1)
      servers.pool.release(server)
      expect(server.state).toBe(ServerState.Idle)
      expect(servers.lease('bob').server).toBe(server)
      vi.advanceTimersByTime(1)
      servers.pool.release(server)
      expect(server.state).toBe(ServerState.Closed)
    }
  })

  test('does not end a lease', async () => {
    const { servers, server } = await aged(2 * LIFETIME_MS)
    await tick(servers)
    expect(server.state).toBe(ServerState.Active)
  })

  test('has a successor opened before the end of a server in use, once', async () => {
    const { servers, server } = await aged(LIFETIME_MS - AHEAD_MS - 1)
    await tick(servers)
    expect(servers.pool.size).toBe(1)
    vi.advanceTimersByTime(1)
    await tick(servers)
    await tick(servers)
    expect(servers.pool.size).toBe(2)
    vi.advanceTimersByTime(AHEAD_MS)
    servers.pool.release(server)
    await servers.settle()
    expect(server.state).toBe(ServerState.Closed)
    expect(servers.pool.size).toBe(1)
    expect(servers.lease('bob').server?.state).toBe(ServerState.Active)
    expect(servers.most).toBe(2)
  })

  test('has a successor opened at once after the end where pool_size left no room before', async () => {
    const { servers, server } = await aged(LIFETIME_MS - 1, { size: 1 })
    await tick(servers)
    expect(servers.pool.size).toBe(1)
    vi.advanceTimersByTime(1)
    servers.pool.release(server)
    await servers.settle()
    expect(server.state).toBe(ServerState.Closed)
    expect(servers.pool.size).toBe(1)
    expect(servers.most).toBe(1)
  })

  test('has no successor for a server that was not used lately, nor for a successor that nobody has used', async () => {
    const { servers, server } = await aged(LIFETIME_MS - AHEAD_MS - 10_000)
    servers.pool.release(server)
    vi.advanceTimersByTime(10_000)
    await tick(servers)
    expect(servers.most).toBe(1)
    const short = await aged(4900, { lifetimeMs: 5000, size: 1 })
    short.servers.pool.release(short.server)
    for (let i = 0; i < 60; i++) {
      await vi.advanceTimersByTimeAsync(333)
      await tick(short.servers)
    }
    expect(short.servers.pool.size).toBe(0)
  })

  test('lets one that opens too late go to whoever needs it', async () => {
    const { servers, server } = await aged(LIFETIME_MS - AHEAD_MS)
    servers.automatic = false
    await tick(servers)
    expect(servers.openings).toHaveLength(1)
    vi.advanceTimersByTime(AHEAD_MS)
    servers.pool.release(server)
    const bob = servers.lease('bob')
    expect(bob.server).toBeNull()
    await servers.settle()
    expect(servers.openings).toHaveLength(1)
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(bob.server).not.toBeNull()
  })

  test('of 0 closes each server after one lease, and waiting clients get new ones', async () => {
    const { servers, server } = await aged(0, { lifetimeMs: 0, size: 1 })
    const bob = servers.lease('bob')
    servers.pool.release(server)
    await servers.settle()
    expect(server.state).toBe(ServerState.Closed)
    expect(bob.server).not.toBeNull()
    expect(bob.server).not.toBe(server)
    expect(servers.most).toBe(1)
  })

  test('of 0 keeps a server that nobody has had yet, and opens none in advance', async () => {
    const servers = new FakeServers({ lifetimeMs: 0 })
    servers.pool.cancelWait(servers.lease('alice'))
    await servers.settle()
    await tick(servers)
    expect(servers.pool.size).toBe(1)
    expect(servers.most).toBe(1)
  })
})
