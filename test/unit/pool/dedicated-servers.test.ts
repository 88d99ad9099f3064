import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { LocalBudget } from '../../../src/pool/local-budget.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { type FakeLessee, FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.useRealTimers()
})

const GONE = new PoolerError('08006', 'gone')

/** The holder of this server has left. */
function leave(servers: FakeServers, server: ServerConnection): void {
  server.handler = servers.holder
  server.close(GONE)
}

describe('a dedicated server', () => {
  test('is opened with the parameters of its lessee, and counts as used', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    const alice = servers.dedicate('alice')
    expect(servers.openings.map(({ startup }) => startup)).toEqual([alice.startup])
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(alice.server?.state).toBe(ServerState.Active)
    expect(servers.pool).toMatchObject({ size: 1, activeCount: 1, waiting: 0 })
  })

  test('takes the place of an idle one, also of one that is parked', async () => {
    const servers = new FakeServers({ size: 1 })
    for (const parkedForMs of [0, 1001]) {
      const bob = await servers.served('bob')
      servers.pool.release(bob.server)
      vi.advanceTimersByTime(parkedForMs)
      servers.pool.tick(Date.now())
      await servers.settle()
      const alice = servers.dedicate('alice')
      expect(bob.server.state).toBe(ServerState.Closed)
      await servers.settle()
      expect(alice.server).not.toBeNull()
      expect(servers).toMatchObject({ existing: 1 })
      leave(servers, alice.server as ServerConnection)
      await servers.settle()
    }
  })

  test('leaves idle servers alone where there is a place', async () => {
    const servers = new FakeServers({ size: 2 })
    const bob = await servers.served('bob')
    servers.pool.release(bob.server)
    servers.dedicate('alice')
    await servers.settle()
    expect(bob.server.state).toBe(ServerState.Idle)
    expect(servers.lease('carol').server).toBe(bob.server)
  })

  test('waits its turn for a place: the next server that comes back is closed for it', async () => {
    const servers = new FakeServers({ size: 2 })
    const bob = await servers.served('bob')
    const carol = await servers.served('carol')
    const dave = servers.lease('dave')
    const alice = servers.dedicate('alice')
    const erin = servers.lease('erin')
    servers.pool.release(bob.server)
    expect(dave.server).toBe(bob.server)
    servers.pool.release(carol.server)
    expect(carol.server.state).toBe(ServerState.Closed)
    await servers.settle()
    expect(alice.server).not.toBeNull()
    expect(erin.server).toBeNull()
    servers.pool.release(dave.server as ServerConnection)
    expect(erin.server).toBe(dave.server)
    expect(servers.most).toBe(2)
  })

  test('does not take the place of somebody who waits for longer', async () => {
    const servers = new FakeServers({ size: 1, maxConnecting: 5 })
    const bob = await servers.served('bob')
    const carol = servers.lease('carol')
    const alice = servers.dedicate('alice')
    leave(servers, bob.server)
    await servers.settle()
    expect(carol.server).not.toBeNull()
    expect(alice.server).toBeNull()
  })

  test('gives its place to a waiter when it is closed, and is never leased', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = servers.dedicate('alice')
    await servers.settle()
    const bob = servers.lease('bob')
    servers.pool.tick(Date.now())
    expect(bob.server).toBeNull()
    leave(servers, alice.server as ServerConnection)
    await servers.settle()
    expect(bob.server).not.toBe(alice.server)
    expect(bob.server).not.toBeNull()
  })

  test('whose lessee leaves during the login is given up, and its place is free', async () => {
    const servers = new FakeServers({ size: 1 })
    servers.automatic = false
    const alice = servers.dedicate('alice')
    const bob = servers.lease('bob')
    const [first] = servers.openings
    expect(servers.pool.cancelWait(alice)).toBe(true)
    expect(first?.signal.aborted).toBe(true)
    await servers.settle()
    expect(servers.openings.map(({ startup }) => startup)).toEqual([undefined])
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(servers.log).toEqual(['bob is served'])
    expect(bob.server).not.toBeNull()
  })

  test('that is open before its lessee is seen to have left is closed', async () => {
    const servers = new FakeServers({ size: 1 })
    servers.automatic = false
    const alice = servers.dedicate('alice')
    const server = servers.openings[0]?.succeed()
    servers.pool.cancelWait(alice)
    await servers.settle()
    expect(server?.state).toBe(ServerState.Closed)
    expect(servers.pool).toMatchObject({ size: 0, activeCount: 0 })
    expect(servers.log).toEqual([])
  })

  test('that cannot be opened is the trouble of its lessee alone', async () => {
    const servers = new FakeServers({ size: 1 })
    servers.automatic = false
    const alice = servers.dedicate('alice')
    const bob = servers.lease('bob')
    const refusal = new PoolerError('42501', 'must be a replication role')
    servers.openings[0]?.fail(refusal)
    await servers.settle()
    expect(alice.refusal).toBe(refusal)
    expect(servers.pool.supply.outage).toBeNull()
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(bob.server).not.toBeNull()
  })

  test('is waited for up to query_wait_timeout', async () => {
    const servers = new FakeServers({ size: 1, waitTimeoutMs: 5000 })
    await servers.served('bob')
    const alice = servers.dedicate('alice')
    vi.advanceTimersByTime(5001)
    servers.pool.tick(Date.now())
    expect(alice.refusal).toMatchObject({ sqlState: '53300', message: 'query_wait_timeout' })
    expect(servers.pool.waiting).toBe(0)
  })

  test('does not keep waiters from hearing that others cannot be opened', async () => {
    const servers = new FakeServers({ size: 2 })
    servers.dedicate('alice')
    await servers.settle()
    servers.automatic = false
    const bob = servers.lease('bob')
    await servers.settle()
    servers.openings[0]?.fail(new PoolerError('28P01', 'wrong password'))
    await servers.settle()
    expect(bob.refusal).toMatchObject({ message: 'wrong password' })
    expect(servers.pool.supply.outage).toMatchObject({ sqlState: '28P01' })
  })

  test('tells nothing about the parameters of others', async () => {
    const servers = new FakeServers()
    servers.dedicate('alice')
    await servers.settle()
    expect(servers.pool.generation.welcome).toBeNull()
    await servers.served('bob')
    expect(servers.pool.generation.welcome).not.toBeNull()
  })

  test('gets no successor at the end of server_lifetime', async () => {
    const servers = new FakeServers({ size: 5, lifetimeMs: 1000 })
    const alice = servers.dedicate('alice')
    await servers.settle()
    vi.advanceTimersByTime(2000)
    servers.pool.tick(Date.now())
    await servers.settle()
    expect(servers.pool.size).toBe(1)
    expect(alice.server?.state).toBe(ServerState.Active)
  })
})

describe('PAUSE', () => {
  test('holds back a dedicated server whose login is under way; RESUME opens another', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    const alice = servers.dedicate('alice')
    servers.pool.pause()
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(alice.server).toBeNull()
    expect(servers.pool).toMatchObject({ size: 0, waiting: 1 })
    servers.pool.resume()
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(alice.server?.state).toBe(ServerState.Active)
  })
})

describe('a shared limit', () => {
  test('counts dedicated servers, and an idle one of another pool makes room for them', async () => {
    const budget = new LocalBudget()
    const limits = { size: 5, maxDatabaseConnections: 1 }
    const mine = new FakeServers(limits, { budget, user: 'mine' })
    const other = new FakeServers(limits, { budget, user: 'other' })
    const bob = await other.served('bob')
    other.pool.release(bob.server)
    const alice = mine.dedicate('alice')
    expect(bob.server.state).toBe(ServerState.Closed)
    await mine.settle()
    expect(alice.server).not.toBeNull()
    const carol = other.lease('carol')
    await other.settle()
    expect(carol.server).toBeNull()
    leave(mine, alice.server as ServerConnection)
    await other.settle()
    expect(carol.server).not.toBeNull()
  })

  test('has one server closed for a dedicated one, however long PostgreSQL takes to end the session', async () => {
    for (const limits of [{ size: 2 }, { size: 5, maxDatabaseConnections: 2 }]) {
      const servers = new FakeServers(limits)
      servers.lingering = true
      const [bob, carol, dave] = [await servers.served('bob'), await servers.served('carol'), 'dave']
      servers.pool.release(bob.server)
      const alice = servers.dedicate('alice')
      expect(bob.server.state).toBe(ServerState.Closed)
      const waiting = servers.lease(dave)
      servers.pool.release(carol.server)
      expect(waiting.server).toBe(carol.server)
      servers.pool.tick(Date.now())
      await servers.settle()
      expect(alice.server).toBeNull()
      servers.letGo()
      await servers.settle()
      expect(alice.server).not.toBeNull()
      expect(servers.most).toBe(2)
    }
  })

  test('is kept while its own pool has an idle server', async () => {
    const servers = new FakeServers({ size: 5, maxDatabaseConnections: 1 })
    const bob = await servers.served('bob')
    servers.pool.release(bob.server)
    const alice = servers.dedicate('alice')
    await servers.settle()
    expect(alice.server).not.toBeNull()
    expect(servers.most).toBe(1)
  })
})

test('a dedicated server that waits for a login slot leaves an idle server to the next client', async () => {
  const servers = new FakeServers({ size: 2, maxConnecting: 1 })
  const bob = await servers.served('bob')
  servers.dedicate('alice')
  servers.pool.release(bob.server)
  const carol = servers.dedicate('carol')
  const dave = servers.lease('dave')
  expect(dave.server).toBe(bob.server)
  await servers.settle()
  servers.pool.release(bob.server)
  await servers.settle()
  expect(carol.server).not.toBeNull()
})

test('whatever happens to dedicated and other servers, the limit holds, and everybody is served in the end', async () => {
  const step = fc.constantFrom(
    'lease',
    'dedicate',
    'release',
    'leave',
    'cancel',
    'settle',
    'later',
    'linger',
    'let one go',
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, size, maxConnecting) => {
        const servers = new FakeServers({ size, maxConnecting })
        const lessees: FakeLessee[] = []
        const isHeld = ({ server }: FakeLessee): boolean =>
          server !== null && server.state === ServerState.Active
        const drop = (lessee: FakeLessee): void => void lessees.splice(lessees.indexOf(lessee), 1)
        const giveBack = (lessee: FakeLessee): void => {
          drop(lessee)
          if (lessee.server === null) return
          lessee.server.handler = servers.holder
          if ('startup' in lessee) lessee.server.close(GONE)
          else servers.pool.release(lessee.server)
        }
        for (const [index, kind] of steps.entries()) {
          if (kind === 'lease') lessees.push(servers.lease(`client ${index}`))
          if (kind === 'dedicate') lessees.push(servers.dedicate(`replica ${index}`))
          const held = lessees.find(isHeld)
          if (held !== undefined && kind === 'release') giveBack(held)
          if (held !== undefined && kind === 'leave') {
            drop(held)
            leave(servers, held.server as ServerConnection)
          }
          const waiting = lessees.find(({ server }) => server === null)
          if (waiting !== undefined && kind === 'cancel') {
            servers.pool.cancelWait(waiting)
            drop(waiting)
          }
          if (kind === 'later') {
            vi.advanceTimersByTime(400)
            servers.pool.tick(Date.now())
          }
          if (kind === 'linger') servers.lingering = true
          if (kind === 'let one go') servers.letGo(1)
          if (kind === 'settle') await servers.settle()
          expect(servers.existing).toBeLessThanOrEqual(size)
          expect(new Set(lessees.filter(isHeld).map(({ server }) => server)).size).toBe(
            lessees.filter(isHeld).length,
          )
        }
        for (let round = 0; lessees.length > 0 && round < 200; round += 1) {
          await servers.settle()
          const held = lessees.find(isHeld)
          if (held !== undefined) giveBack(held)
          servers.letGo(1)
          vi.advanceTimersByTime(400)
          servers.pool.tick(Date.now())
          expect(servers.existing).toBeLessThanOrEqual(size)
        }
        expect(lessees.map(({ name }) => name)).toEqual([])
        expect(servers.most).toBeLessThanOrEqual(size)
        // Pools that are left to themselves have timers, and each makes the runs after it slower.
        await servers.pool.stop(GONE)
      },
    ),
    { numRuns: Number(process.env.POOLER_FUZZ_RUNS ?? 100) },
  )
})
