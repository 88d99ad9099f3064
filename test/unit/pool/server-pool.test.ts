import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { type FakeLessee, FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.useRealTimers()
})

const tick = (servers: FakeServers): void => servers.pool.tick(Date.now())

describe('leasing', () => {
  test('the first lease opens a connection and is served when it is open', async () => {
    const servers = new FakeServers()
    const alice = servers.lease('alice')
    expect(alice.server).toBeNull()
    expect(servers.pool.waiting).toBe(1)
    await servers.settle()
    expect(servers.log).toEqual(['alice is served'])
    expect(alice.server?.state).toBe(ServerState.Active)
    expect(servers.pool).toMatchObject({ waiting: 0, activeCount: 1, size: 1 })
  })

  test('a warm server comes back in the call itself, the one used last first', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    const bob = await servers.served('bob')
    servers.pool.release(alice.server)
    servers.pool.release(bob.server)
    expect(servers.pool.activeCount).toBe(0)
    expect(servers.lease('carol').server).toBe(bob.server)
    expect(servers.lease('dave').server).toBe(alice.server)
    expect(servers.log).toEqual(['alice is served', 'bob is served'])
  })

  test('a released server goes to the longest waiter in the same call', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    const carol = servers.lease('carol')
    servers.pool.release(alice.server)
    expect(bob.server).toBe(alice.server)
    expect(carol.server).toBeNull()
    servers.pool.release(alice.server)
    expect(carol.server).toBe(alice.server)
    expect(servers.log).toEqual(['alice is served', 'bob is served', 'carol is served'])
  })

  test('a waiter that cancels is never served', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    const carol = servers.lease('carol')
    expect(servers.pool.cancelWait(bob)).toBe(true)
    expect(servers.pool.cancelWait(bob)).toBe(false)
    servers.pool.release(alice.server)
    expect(bob.server).toBeNull()
    expect(carol.server).toBe(alice.server)
  })

  test('a connection that opens after its waiter has gone is kept warm', async () => {
    const servers = new FakeServers()
    const alice = servers.lease('alice')
    servers.pool.cancelWait(alice)
    await servers.settle()
    expect(servers.log).toEqual([])
    expect(servers.pool).toMatchObject({ size: 1, activeCount: 0 })
    expect(servers.lease('bob').server).not.toBeNull()
  })

  test('a waiter may be served by a server that comes back before the new connection is open', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    servers.automatic = false
    const bob = servers.lease('bob')
    servers.pool.release(alice.server)
    expect(bob.server).toBe(alice.server)
    await servers.settle()
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(servers.pool).toMatchObject({ size: 2, activeCount: 1 })
  })

  test('no more connections are opened than there are waiters, nor than the limit', async () => {
    const servers = new FakeServers({ size: 3 })
    servers.automatic = false
    for (const name of ['a', 'b', 'c', 'd', 'e']) servers.lease(name)
    await servers.settle()
    expect(servers.openings).toHaveLength(3)
  })

  test('a pool without a limit opens one for each', async () => {
    const servers = new FakeServers({ size: Number.POSITIVE_INFINITY })
    for (let i = 0; i < 50; i++) servers.lease(`client ${i}`)
    await servers.settle()
    expect(servers.pool.size).toBe(50)
  })

  test('whatever clients and servers do, the limit holds, everybody is served in turn and nothing is lost', async () => {
    const step = fc.constantFrom('lease', 'release', 'cancel', 'die', 'fail', 'settle', 'later')
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        async (steps, size) => {
          const servers = new FakeServers({ size, retryMs: 100 })
          const waiting: FakeLessee[] = []
          const leased: ServerConnection[] = []
          const collect = (): void => {
            while (waiting[0]?.server) leased.push((waiting.shift() as FakeLessee).server as ServerConnection)
            // Nobody is served before those who came first.
            expect(waiting.every(({ server }) => server === null)).toBe(true)
          }
          for (const [index, kind] of steps.entries()) {
            if (kind === 'lease') {
              const lessee = servers.lease(String(index))
              if (lessee.server === null) waiting.push(lessee)
              else leased.push(lessee.server)
            } else if (kind === 'release' && leased.length > 0) {
              servers.pool.release(leased.shift() as ServerConnection)
            } else if (kind === 'cancel' && waiting.length > 0) {
              servers.pool.cancelWait(waiting.pop() as FakeLessee)
            } else if (kind === 'die' && leased.length > 0) {
              const server = leased.pop() as ServerConnection
              server.handler = servers.holder
              servers.connection(server).lose()
            } else if (kind === 'fail') {
              servers.automatic = false
              await servers.settle()
              for (const opening of [...servers.openings])
                opening.fail(new PoolerError('57P03', 'starting up'))
              servers.automatic = true
            } else if (kind === 'later') {
              vi.advanceTimersByTime(1500)
              tick(servers)
            } else if (kind === 'settle') await servers.settle()
            collect()
            expect(servers.most).toBeLessThanOrEqual(size)
          }
          await servers.settle()
          vi.advanceTimersByTime(1500)
          tick(servers)
          await servers.settle()
          collect()
          while (leased.length > 0) {
            servers.pool.release(leased.shift() as ServerConnection)
            collect()
          }
          expect(waiting).toEqual([])
          expect(servers.pool).toMatchObject({ activeCount: 0, waiting: 0 })
          expect(servers.pool.size).toBe(servers.existing)
        },
      ),
      { numRuns: 25 },
    )
  })
})

describe('waiting', () => {
  test('ends with query_wait_timeout at the next tick, the longest first', async () => {
    const servers = new FakeServers({ size: 1, waitTimeoutMs: 5000 })
    await servers.served('alice')
    const bob = servers.lease('bob')
    vi.advanceTimersByTime(3000)
    const carol = servers.lease('carol')
    vi.advanceTimersByTime(2001)
    expect(bob.refusal).toBeNull()
    tick(servers)
    expect(bob.refusal).toMatchObject({ sqlState: '53300', message: 'query_wait_timeout' })
    expect(carol.refusal).toBeNull()
    expect(servers.pool.waiting).toBe(1)
    vi.advanceTimersByTime(3000)
    tick(servers)
    expect(servers.log).toEqual(['alice is served', 'bob is refused', 'carol is refused'])
  })

  test('with a timeout of 0 never ends by itself', async () => {
    const servers = new FakeServers({ size: 1 })
    await servers.served('alice')
    servers.lease('bob')
    vi.advanceTimersByTime(3_600_000)
    tick(servers)
    expect(servers.pool.waiting).toBe(1)
  })
})

describe('an outage', () => {
  const UNREACHABLE = new PoolerError('57P03', 'the server cannot be reached')
  const REFUSED = new PoolerError('28P01', 'password authentication failed')

  // The longest pauses that the jitter allows.
  beforeEach(() => void vi.spyOn(Math, 'random').mockReturnValue(1))
  afterEach(() => void vi.restoreAllMocks())

  async function failing(
    error: PoolerError,
    patient: boolean,
  ): Promise<{ servers: FakeServers; alice: FakeLessee }> {
    const servers = new FakeServers()
    servers.automatic = false
    const alice = servers.lessee('alice')
    alice.patient = patient
    servers.pool.lease(alice)
    await servers.settle()
    servers.openings[0]?.fail(error)
    await servers.settle()
    return { servers, alice }
  }

  test('refuses those who have not been welcomed yet with the server’s own error', async () => {
    const { servers, alice } = await failing(UNREACHABLE, false)
    expect(alice.refusal).toBe(UNREACHABLE)
    expect(servers.pool.supply.outage).toMatchObject({
      sqlState: '57P03',
      message: expect.stringContaining('cached error: '),
    })
    expect(servers.pool.waiting).toBe(0)
  })

  test('is waited out by those who have, and tried again after a quarter of a second, not before', async () => {
    const { servers, alice } = await failing(UNREACHABLE, true)
    expect(alice.refusal).toBeNull()
    vi.advanceTimersByTime(249)
    tick(servers)
    await servers.settle()
    expect(servers.openings).toHaveLength(0)
    vi.advanceTimersByTime(1)
    tick(servers)
    await servers.settle()
    expect(servers.openings).toHaveLength(1)
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(servers.log).toEqual(['alice is served'])
    expect(servers.pool.supply.outage).toBeNull()
  })

  test('by a refused login ends the wait of all, and is tried again after server_login_retry only', async () => {
    const { servers, alice } = await failing(REFUSED, true)
    expect(alice.refusal).toBe(REFUSED)
    servers.lease('bob')
    vi.advanceTimersByTime(14_999)
    tick(servers)
    await servers.settle()
    expect(servers.openings).toHaveLength(0)
    vi.advanceTimersByTime(1)
    tick(servers)
    await servers.settle()
    expect(servers.openings).toHaveLength(1)
  })

  test('is over when its back-off is, so that the next client tries anew', async () => {
    const { servers } = await failing(UNREACHABLE, false)
    vi.advanceTimersByTime(1000)
    expect(servers.pool.supply.outage).toBeNull()
    servers.lease('bob')
    await servers.settle()
    expect(servers.openings).toHaveLength(1)
  })

  test('does not exist while a connection is alive: waiters get that one', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    servers.automatic = false
    const bob = servers.lease('bob')
    await servers.settle()
    servers.openings[0]?.fail(REFUSED)
    await servers.settle()
    expect(bob.refusal).toBeNull()
    expect(servers.pool.supply.outage).toBeNull()
    servers.pool.release(alice.server)
    expect(bob.server).toBe(alice.server)
  })

  test('by something that is no PoolerError is 08006', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    const alice = servers.lessee('alice')
    alice.patient = false
    servers.pool.lease(alice)
    await servers.settle()
    servers.openings[0]?.fail(new TypeError('a mistake'))
    await servers.settle()
    expect(alice.refusal).toMatchObject({ sqlState: '08006', message: 'TypeError: a mistake' })
  })

  test('fails several attempts at once as it fails one', async () => {
    const servers = new FakeServers({ size: 3 })
    servers.automatic = false
    for (const name of ['a', 'b', 'c']) servers.lease(name)
    await servers.settle()
    for (const opening of [...servers.openings]) opening.fail(REFUSED)
    await servers.settle()
    expect(servers.log).toEqual(['a is refused', 'b is refused', 'c is refused'])
    expect(servers.pool.size).toBe(0)
    expect(servers.existing).toBe(0)
  })
})
