import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { FakeServers } from '../../support/fake-servers.ts'

/** What operators do to a pool: PAUSE, RESUME, RECONNECT, KILL. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.useRealTimers()
})

const isClosed = ({ server }: { server: { state: ServerState } }): boolean =>
  server.state === ServerState.Closed

/** A pool with a parked server, a warm one, one in use and one that is being opened. */
async function busy(): Promise<{
  servers: FakeServers
  parked: Awaited<ReturnType<FakeServers['served']>>
  warm: Awaited<ReturnType<FakeServers['served']>>
  used: Awaited<ReturnType<FakeServers['served']>>
}> {
  const servers = new FakeServers({ size: 4 })
  const [parked, warm, used] = [
    await servers.served('parked'),
    await servers.served('warm'),
    await servers.served('used'),
  ]
  used.server.handler = servers.holder
  servers.pool.release(parked.server)
  vi.advanceTimersByTime(1001)
  servers.pool.tick(Date.now())
  await servers.settle()
  servers.pool.release(warm.server)
  return { servers, parked, warm, used }
}

describe('PAUSE', () => {
  test('closes idle servers at once and those in use as they come back, and is done then', async () => {
    const { servers, parked, warm, used } = await busy()
    servers.pool.pause()
    let done = false
    void servers.pool.until(() => servers.pool.size === 0).then(() => (done = true))
    expect([parked, warm, used].map(isClosed)).toEqual([true, true, false])
    await servers.settle()
    expect(done).toBe(false)
    servers.pool.release(used.server)
    await servers.settle()
    expect(done).toBe(true)
    expect(servers.existing).toBe(0)
  })

  test('keeps clients in the queue, opens nothing, and closes what was being opened', async () => {
    const servers = new FakeServers({ minSize: 1 })
    servers.automatic = false
    servers.lease('early')
    await servers.settle()
    servers.pool.pause()
    const late = servers.lease('late')
    const server = servers.openings[0]?.succeed()
    await servers.settle()
    servers.pool.tick(Date.now())
    await servers.settle()
    expect(server?.state).toBe(ServerState.Closed)
    expect(servers.openings).toHaveLength(0)
    expect(servers.pool.waiting).toBe(2)
    servers.automatic = true
    servers.pool.resume()
    await servers.settle()
    expect(servers.log).toEqual(['early is served', 'late is served'])
    expect(late.server).not.toBeNull()
  })

  test('counts against query_wait_timeout, and says so', async () => {
    const servers = new FakeServers({ waitTimeoutMs: 1000 })
    servers.pool.pause()
    const alice = servers.lease('alice')
    vi.advanceTimersByTime(1001)
    servers.pool.tick(Date.now())
    expect(alice.refusal).toMatchObject({ sqlState: '57P03', detail: 'The pool app/app is paused.' })
  })
})

describe('RECONNECT', () => {
  test('closes idle servers at once, those in use as they come back, and is done when none is left', async () => {
    const { servers, parked, warm, used } = await busy()
    const waiter = servers.lease('waiter')
    expect(waiter.server).toBe(warm.server)
    servers.pool.renew('RECONNECT')
    expect(servers.pool.generation.isMixed(servers.pool.supply.servers)).toBe(true)
    let done = false
    void servers.pool
      .until(() => !servers.pool.generation.isMixed(servers.pool.supply.servers))
      .then(() => (done = true))
    expect([parked, warm, used].map(isClosed)).toEqual([true, false, false])
    servers.pool.release(used.server)
    await servers.settle()
    expect(done).toBe(false)
    servers.pool.release(warm.server)
    await servers.settle()
    expect(done).toBe(true)
    expect([parked, warm, used].map(isClosed)).toEqual([true, true, true])
  })

  test('closes also a server whose opening began before', async () => {
    const servers = new FakeServers({ size: 1 })
    servers.automatic = false
    const alice = servers.lease('alice')
    await servers.settle()
    servers.pool.renew('RECONNECT')
    const old = servers.openings[0]?.succeed()
    await servers.settle()
    expect(old?.state).toBe(ServerState.Closed)
    expect(alice.server).toBeNull()
    expect(servers.openings).toHaveLength(1)
    const server = servers.openings[0]?.succeed()
    await servers.settle()
    expect(alice.server).toBe(server)
  })

  test('opens nothing in place of a server that was being opened, unless somebody waits', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    servers.pool.cancelWait(servers.lease('alice'))
    await servers.settle()
    servers.pool.renew('RECONNECT')
    servers.openings[0]?.succeed()
    await servers.settle()
    expect(servers.existing).toBe(0)
  })

  test('gives clients that wait new servers within pool_size', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    servers.pool.renew('RECONNECT')
    servers.pool.release(alice.server)
    await servers.settle()
    expect(bob.server).not.toBeNull()
    expect(bob.server).not.toBe(alice.server)
    expect(servers.most).toBe(1)
  })
})

describe('KILL', () => {
  test('closes every server at once, in use or not, and keeps the pool paused', async () => {
    const { servers, parked, warm, used } = await busy()
    const waiter = servers.lessee('waiter')
    servers.pool.kill(new PoolerError('57P01', 'KILL'))
    servers.pool.lease(waiter)
    await servers.settle()
    expect([parked, warm, used].map(isClosed)).toEqual([true, true, true])
    expect(servers.pool).toMatchObject({ size: 0, activeCount: 0, paused: true, waiting: 1 })
    servers.pool.resume()
    await servers.settle()
    expect(waiter.server).not.toBeNull()
  })
})

describe('until()', () => {
  test('is done at once where the condition holds, else when a server goes or at a tick', async () => {
    const servers = new FakeServers()
    await servers.pool.until(() => true)
    const { server } = await servers.served('alice')
    server.handler = servers.holder
    const gone = servers.pool.until(() => servers.pool.size === 0)
    servers.connection(server).lose()
    await gone
    let flag = false
    const told = servers.pool.until(() => flag)
    flag = true
    servers.pool.tick(Date.now())
    await told
  })
})
