import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import * as backend from '../../support/backend-messages.ts'
import { FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  // No jitter.
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const tick = (servers: FakeServers): void => servers.pool.tick(Date.now())

describe('servers that go', () => {
  test('a dead warm server is not handed out', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    servers.pool.release(alice.server)
    servers.connection(alice.server).lose()
    const bob = servers.lease('bob')
    expect(bob.server).toBeNull()
    await servers.settle()
    expect(bob.server).not.toBe(alice.server)
    expect(servers.pool.size).toBe(1)
  })

  test('a dead parked server is not handed out', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(1001)
    tick(servers)
    await servers.settle()
    servers.connection(alice.server).lose()
    const bob = await servers.served('bob')
    expect(bob.server).not.toBe(alice.server)
    expect(servers.pool.size).toBe(1)
  })

  test('the place of a server that dies while it is leased goes to a waiter', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    alice.server.handler = servers.holder
    servers.connection(alice.server).lose()
    await servers.settle()
    expect(bob.server).not.toBeNull()
    expect(servers.pool).toMatchObject({ size: 1, activeCount: 1 })
  })

  test('an unusable server is closed when it comes back, and a waiter gets a new one', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    alice.server.usable = false
    servers.pool.release(alice.server)
    expect(alice.server.state).toBe(ServerState.Closed)
    await servers.settle()
    expect(bob.server).not.toBe(alice.server)
    expect(servers.most).toBe(1)
  })

  test('a server is closed instead of reused when its lifetime is over', async () => {
    const servers = new FakeServers({ lifetimeMs: 60_000 })
    const alice = await servers.served('alice')
    alice.server.lastLessee = alice
    vi.advanceTimersByTime(59_999)
    servers.pool.release(alice.server)
    expect(servers.lease('bob').server).toBe(alice.server)
    vi.advanceTimersByTime(1)
    servers.pool.release(alice.server)
    expect(alice.server.state).toBe(ServerState.Closed)
  })

  test('with a lifetime of 0 a server serves once', async () => {
    const servers = new FakeServers({ lifetimeMs: 0 })
    const alice = await servers.served('alice')
    alice.server.lastLessee = alice
    servers.pool.release(alice.server)
    expect(alice.server.state).toBe(ServerState.Closed)
  })

  test('an idle server that says goodbye or nonsense is closed, one that reports something is not', async () => {
    const servers = new FakeServers({ size: 5 })
    const say = async (message: Buffer): Promise<ServerConnection> => {
      const { server } = await servers.served('x')
      servers.pool.release(server)
      servers.connection(server).receive(message)
      return server
    }
    expect((await say(backend.errorResponse('57P01', 'shutdown', 'FATAL'))).state).toBe(ServerState.Closed)
    expect((await say(backend.readyForQuery())).state).toBe(ServerState.Closed)
    expect((await say(backend.dataRow('x'))).state).toBe(ServerState.Closed)
    expect((await say(Buffer.from([0, 0, 0, 0, 0]))).state).toBe(ServerState.Closed)
    const talkative = await say(
      Buffer.concat([
        backend.noticeResponse('hello'),
        backend.notificationResponse(1, 'a', 'b'),
        backend.parameterStatus('TimeZone', 'UTC'),
      ]),
    )
    expect(talkative.state).toBe(ServerState.Idle)
    expect(talkative.parameters.get('timezone')).toBe('UTC')
  })
})

describe('servers whose host is gone', () => {
  const gone = { host: 'db', port: 5432, address: '10.0.0.1' }

  test('are closed: warm and parked ones at once, those in use as they come back, and no others', async () => {
    const servers = new FakeServers({ size: 4 })
    const [parked, warm, used, staying] = [
      await servers.served('parked'),
      await servers.served('warm'),
      await servers.served('used'),
      await servers.served('staying'),
    ]
    for (const { server } of [parked, warm, used]) server.endpoint = gone
    staying.server.endpoint = { ...gone, address: '10.0.0.2' }
    servers.pool.release(parked.server)
    vi.advanceTimersByTime(1001)
    tick(servers)
    await servers.settle()
    servers.pool.release(warm.server)
    servers.pool.retireWhere(({ endpoint }) => endpoint === gone, 'its host is gone')
    const states = (): string[] =>
      [parked, warm, used, staying].map(({ server }) =>
        server.state === ServerState.Closed ? 'closed' : 'open',
      )
    expect(states()).toEqual(['closed', 'closed', 'open', 'open'])
    servers.pool.release(used.server)
    servers.pool.release(staying.server)
    expect(states()).toEqual(['closed', 'closed', 'closed', 'open'])
    expect(servers.lease('carol').server).toBe(staying.server)
  })
})

describe('cancel requests under way', () => {
  test('keep a released server away from the next, until all are through', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    const bob = servers.lease('bob')
    alice.server.cancelsInFlight = 2
    servers.pool.release(alice.server)
    expect(alice.server.state).toBe(ServerState.BeingCanceled)
    alice.server.cancelsInFlight -= 1
    servers.pool.cancelDone(alice.server)
    expect(bob.server).toBeNull()
    alice.server.cancelsInFlight -= 1
    servers.pool.cancelDone(alice.server)
    expect(bob.server).toBe(alice.server)
  })

  test('that end while the server is still leased change nothing', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    servers.lease('bob')
    servers.pool.cancelDone(alice.server)
    expect(alice.server.state).toBe(ServerState.Active)
    expect(servers.log).toEqual(['alice is served'])
  })

  test('of a server that dies meanwhile free its place', async () => {
    const servers = new FakeServers({ size: 1 })
    const alice = await servers.served('alice')
    alice.server.cancelsInFlight = 1
    servers.pool.release(alice.server)
    servers.connection(alice.server).lose()
    expect(servers.pool.activeCount).toBe(0)
    alice.server.cancelsInFlight = 0
    servers.pool.cancelDone(alice.server)
    expect(alice.server.state).toBe(ServerState.Closed)
    await servers.served('bob')
    expect(servers.pool.size).toBe(1)
  })
})

describe('idle servers', () => {
  test('are parked after a second and taken from there again', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(1001)
    tick(servers)
    await servers.settle()
    expect(servers.pool.size).toBe(1)
    const bob = servers.lease('bob')
    expect(bob.server).toBeNull()
    await servers.settle()
    expect(bob.server).toBe(alice.server)
    expect(servers.most).toBe(1)
  })

  test('are parked only if they are cold: the warm ones stay', async () => {
    const servers = new FakeServers()
    const alice = await servers.served('alice')
    const bob = await servers.served('bob')
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(600)
    servers.pool.release(bob.server)
    vi.advanceTimersByTime(600)
    tick(servers)
    expect(servers.lease('carol').server).toBe(bob.server)
    expect(servers.lease('dave').server).toBeNull()
    await servers.settle()
    expect(servers.most).toBe(2)
  })

  test('are closed after server_idle_timeout, and not before', async () => {
    const servers = new FakeServers({ idleTimeoutMs: 10_000 })
    const alice = await servers.served('alice')
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(2000)
    tick(servers)
    await servers.settle()
    await vi.advanceTimersByTimeAsync(7000)
    expect(servers.pool.size).toBe(1)
    await vi.advanceTimersByTimeAsync(3000)
    await servers.settle()
    expect(servers.pool.size).toBe(0)
    expect(alice.server.state).toBe(ServerState.Closed)
  })

  test('are kept for ever with a timeout of 0', async () => {
    const servers = new FakeServers({ idleTimeoutMs: 0 })
    const alice = await servers.served('alice')
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(2000)
    tick(servers)
    await servers.settle()
    await vi.advanceTimersByTimeAsync(100_000)
    expect(servers.pool.size).toBe(1)
  })

  test('whose lifetime ends while they are parked are closed', async () => {
    const servers = new FakeServers({ lifetimeMs: 20_000 })
    const alice = await servers.served('alice')
    alice.server.lastLessee = alice
    servers.pool.release(alice.server)
    vi.advanceTimersByTime(1500)
    tick(servers)
    await servers.settle()
    await vi.advanceTimersByTimeAsync(20_000)
    await servers.settle()
    expect(servers.pool.size).toBe(0)
  })
})

describe('stop()', () => {
  const SHUTDOWN = new PoolerError('57P01', 'shutting down')

  test('refuses the waiters and closes leased, warm and parked servers', async () => {
    const servers = new FakeServers({ size: 3 })
    const parked = await servers.served('parked')
    servers.pool.release(parked.server)
    vi.advanceTimersByTime(2000)
    tick(servers)
    await servers.settle()
    // The parked one is taken first, so three are needed to have one of each kind.
    const held = await servers.served('held')
    const warm = await servers.served('warm')
    const again = await servers.served('again')
    const waiter = servers.lease('waiter')
    servers.pool.release(again.server)
    expect(waiter.server).toBe(again.server)
    servers.pool.release(warm.server)
    for (const { server } of [held, waiter]) if (server !== null) server.handler = servers.holder
    const late = servers.lessee('late')
    const stopped = servers.pool.stop(SHUTDOWN)
    expect(servers.pool.lease(late)).toBeUndefined()
    await stopped
    expect(servers.pool.size).toBe(0)
    expect(servers.existing).toBe(0)
  })

  test('while connections are being opened gives them up and still ends', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    const alice = servers.lease('alice')
    await servers.settle()
    const stopped = servers.pool.stop(SHUTDOWN)
    expect(alice.refusal).toBe(SHUTDOWN)
    await stopped
    expect(servers.openings).toHaveLength(0)
    expect(servers.pool.size).toBe(0)
    expect(servers.log).toEqual(['alice is refused'])
  })

  test('closes a connection that opens in spite of it', async () => {
    const servers = new FakeServers()
    servers.automatic = false
    servers.lease('alice')
    await servers.settle()
    const server = servers.openings[0]?.succeed()
    const stopped = servers.pool.stop(SHUTDOWN)
    await stopped
    expect(server?.state).toBe(ServerState.Closed)
    expect(servers.existing).toBe(0)
  })
})
