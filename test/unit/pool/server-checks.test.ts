import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import * as backend from '../../support/backend-messages.ts'
import { FakeServers } from '../../support/fake-servers.ts'
import { query } from '../../support/frontend-messages.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.useRealTimers()
})

const ANSWER = Buffer.concat([backend.commandComplete('SELECT 1'), backend.readyForQuery()])
const CHECK = { size: 2, checkQuery: 'SELECT 1', checkDelayMs: 500 }

/** A pool with one warm server that was idle for as long as server_check_delay. */
async function due(
  policy: Partial<FakeServers['pool']['policy']> = {},
): Promise<{ servers: FakeServers; server: ServerConnection }> {
  const servers = new FakeServers({ ...CHECK, ...policy })
  const { server } = await servers.served('first')
  servers.pool.release(server)
  vi.advanceTimersByTime(500)
  return { servers, server }
}

function asked(servers: FakeServers, server: ServerConnection): string[] {
  return servers.connection(server).writes.map((bytes) => bytes.toString())
}

describe('server_check_delay', () => {
  test('lets a server be used unasked before, and asks it after', async () => {
    const { servers, server } = await due({ checkDelayMs: 501 })
    const early = servers.lease('early')
    expect(early.server).toBe(server)
    servers.pool.release(server)
    vi.advanceTimersByTime(501)
    const late = servers.lease('late')
    await servers.settle()
    expect(late.server).toBeNull()
    expect(server.state).toBe(ServerState.Tested)
    expect(servers.pool).toMatchObject({ tested: 1, waiting: 1, activeCount: 0 })
    expect(asked(servers, server)).toEqual([query('SELECT 1').toString()])
  })

  test('of 0 asks always, also where a client waits for the server as it comes back', async () => {
    const { servers, server } = await due({ size: 1, checkDelayMs: 30_000 })
    servers.pool.configure({ ...servers.pool.policy, checkDelayMs: 0 })
    const alice = servers.lease('alice')
    servers.connection(server).receive(ANSWER)
    expect(alice.server).toBe(server)
    const bob = servers.lease('bob')
    servers.pool.release(server)
    expect(bob.server).toBeNull()
    servers.connection(server).receive(ANSWER)
    expect(bob.server).toBe(server)
  })

  test('holds for parked servers, too', async () => {
    const { servers, server } = await due()
    vi.advanceTimersByTime(1000)
    servers.pool.tick(Date.now())
    await servers.settle()
    const alice = servers.lease('alice')
    await servers.settle()
    expect(alice.server).toBeNull()
    servers.connection(server).receive(ANSWER)
    expect(alice.server).toBe(server)
    expect(servers.most).toBe(1)
  })
})

describe('server_check_query', () => {
  test('that is answered gives the server to the client that waits', async () => {
    const { servers, server } = await due()
    const alice = servers.lease('alice')
    servers.connection(server).receive(ANSWER)
    expect(alice.server).toBe(server)
    expect(servers.pool).toMatchObject({ tested: 0, waiting: 0, activeCount: 1, size: 1 })
  })

  test('may have rows, notices and changed parameters in its answer', async () => {
    const { servers, server } = await due()
    const alice = servers.lease('alice')
    servers
      .connection(server)
      .receive(
        Buffer.concat([
          backend.noticeResponse('hello'),
          backend.parameterStatus('TimeZone', 'UTC'),
          backend.rowDescription('one'),
          backend.dataRow('1'),
          ANSWER,
        ]),
      )
    expect(alice.server).toBe(server)
    expect(server.parameters.get('timezone')).toBe('UTC')
  })

  test('is not asked where it is empty', async () => {
    const { servers, server } = await due({ checkQuery: undefined })
    vi.advanceTimersByTime(3_600_000)
    expect(servers.lease('alice').server).toBe(server)
    expect(asked(servers, server)).toEqual([])
  })

  test('of "<empty>" is a query without a statement', async () => {
    const { servers, server } = await due({ checkQuery: '' })
    servers.lease('alice')
    await servers.settle()
    expect(asked(servers, server)).toEqual([query('').toString()])
  })

  const failures: Record<string, (servers: FakeServers, server: ServerConnection) => void> = {
    'answered with an error': (servers, server) =>
      servers.connection(server).receive(backend.errorResponse('42601', 'syntax error')),
    'answered with a transaction left open': (servers, server) =>
      servers.connection(server).receive(backend.readyForQuery('T')),
    'answered by the end of the connection': (servers, server) => servers.connection(server).lose(),
    'answered with nonsense': (servers, server) =>
      servers.connection(server).receive(Buffer.from([0, 0, 0, 0, 0])),
    'not answered within server_connect_timeout': (servers) => {
      vi.advanceTimersByTime(15_001)
      servers.pool.tick(Date.now())
    },
  }

  test.each(Object.keys(failures))('%s closes the server, and the client gets another', async (name) => {
    const { servers, server } = await due({ size: 1 })
    const alice = servers.lease('alice')
    failures[name]?.(servers, server)
    expect(server.state).toBe(ServerState.Closed)
    await servers.settle()
    expect(alice.server).not.toBe(server)
    expect(alice.server?.state).toBe(ServerState.Active)
    expect(servers.pool).toMatchObject({ size: 1, tested: 0, waiting: 0 })
    expect(servers.most).toBe(1)
  })

  test('is given the whole of server_connect_timeout, and any time where that is 0', async () => {
    for (const [connectTimeoutMs, passedMs] of [
      [15_000, 15_000],
      [0, 3_600_000],
    ] as const) {
      const { servers, server } = await due({ connectTimeoutMs })
      servers.lease('alice')
      vi.advanceTimersByTime(passedMs)
      servers.pool.tick(Date.now())
      expect(server.state).toBe(ServerState.Tested)
    }
  })

  test('under way opens no connection besides for the client that waits for it', async () => {
    const { servers } = await due()
    servers.lease('alice')
    await servers.settle()
    expect(servers.most).toBe(1)
    servers.lease('bob')
    await servers.settle()
    expect(servers.most).toBe(2)
  })

  test('that is answered after its client has gone leaves the server to the next', async () => {
    const { servers, server } = await due()
    const alice = servers.lease('alice')
    servers.pool.cancelWait(alice)
    servers.connection(server).receive(ANSWER)
    expect(servers.lease('bob').server).toBe(server)
    expect(servers.log).toEqual(['first is served'])
  })

  test('under way does not let a client that comes later be served before', async () => {
    const servers = new FakeServers({ ...CHECK, roundRobin: true })
    const [a, b] = [await servers.served('a'), await servers.served('b')]
    servers.pool.release(a.server)
    vi.advanceTimersByTime(500)
    servers.pool.release(b.server)
    const alice = servers.lease('alice')
    expect(a.server.state).toBe(ServerState.Tested)
    const bob = servers.lease('bob')
    expect(alice.server).toBe(b.server)
    expect(bob.server).toBeNull()
    servers.connection(a.server).receive(ANSWER)
    expect(bob.server).toBe(a.server)
  })

  test('that is answered while the pool is paused, or of an earlier generation, closes the server', async () => {
    for (const change of ['pause', 'renew'] as const) {
      const { servers, server } = await due({ size: 1 })
      const alice = servers.lease('alice')
      if (change === 'pause') servers.pool.pause()
      else servers.pool.renew('RECONNECT')
      servers.connection(server).receive(ANSWER)
      await servers.settle()
      expect(server.state).toBe(ServerState.Closed)
      expect(alice.server === null).toBe(change === 'pause')
    }
  })
})
