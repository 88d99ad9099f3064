import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import * as backend from '../../support/backend-messages.ts'
import { FakeServers } from '../../support/fake-servers.ts'

/** server_check_delay and server_check_query. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => vi.useRealTimers())

/** A pool of one whose only server was idle for `idleMs`. */
async function idleServer(
  idleMs: number,
  policy = {},
): Promise<{ servers: FakeServers; server: ServerConnection }> {
  const servers = new FakeServers({ size: 1, checkDelayMs: 30_000, checkQuery: '', ...policy })
  const held = await servers.served('first')
  servers.pool.release(held.server)
  await vi.advanceTimersByTimeAsync(idleMs)
  return { servers, server: held.server }
}

const asked = (servers: FakeServers, server: ServerConnection): string =>
  Buffer.concat(servers.connection(server).writes).toString('latin1')

describe('a server that was not used for server_check_delay', () => {
  test('is asked, and its answer gives it to the one who waits', async () => {
    const { servers, server } = await idleServer(30_000)
    const waiter = servers.lease('second')
    await servers.settle()
    expect(waiter.server).toBeNull()
    expect(server.state).toBe(ServerState.Tested)
    expect(servers.pool.tested).toBe(1)
    expect(asked(servers, server)).toBe('Q\0\0\0\x05\0')
    servers
      .connection(server)
      .receive(Buffer.concat([backend.commandComplete('SELECT 1'), backend.readyForQuery()]))
    await servers.settle()
    expect(waiter.server).toBe(server)
    expect(servers.pool.tested).toBe(0)
  })

  test.each<[string, Buffer]>([
    ['that answers with an error', backend.errorResponse('XX000', 'broken')],
    ['that is left in a transaction', backend.readyForQuery('T')],
  ])('%s is closed, and another one is opened', async (_what, answer) => {
    const { servers, server } = await idleServer(30_000)
    const waiter = servers.lease('second')
    await servers.settle()
    servers.connection(server).receive(answer)
    await servers.settle()
    expect(server.state).toBe(ServerState.Closed)
    expect(waiter.server?.state).toBe(ServerState.Active)
    expect(waiter.server).not.toBe(server)
    expect(servers.most).toBe(1)
  })

  test('that dies is replaced', async () => {
    const { servers, server } = await idleServer(30_000)
    const waiter = servers.lease('second')
    await servers.settle()
    servers.connection(server).lose()
    await servers.settle()
    expect(waiter.server).not.toBeNull()
  })

  test('that does not answer within server_connect_timeout is replaced', async () => {
    const { servers, server } = await idleServer(30_000, { connectTimeoutMs: 5000 })
    const waiter = servers.lease('second')
    await servers.settle()
    await vi.advanceTimersByTimeAsync(5001)
    servers.pool.tick(Date.now())
    await servers.settle()
    expect(server.state).toBe(ServerState.Closed)
    expect(waiter.server).not.toBeNull()
  })

  test('whose client has gone meanwhile is kept', async () => {
    const { servers, server } = await idleServer(30_000)
    const waiter = servers.lease('second')
    await servers.settle()
    servers.pool.cancelWait(waiter)
    servers.connection(server).receive(backend.readyForQuery())
    await servers.settle()
    expect(servers.lease('third').server).toBe(server)
  })
})

describe('nobody is asked', () => {
  test.each<[string, number, object]>([
    ['before the delay is over', 29_999, {}],
    ['without a server_check_query', 60_000, { checkQuery: undefined }],
  ])('%s', async (_what, idleMs, policy) => {
    const { servers, server } = await idleServer(idleMs, policy)
    const waiter = servers.lease('second')
    await servers.settle()
    expect(waiter.server).toBe(server)
    expect(servers.connection(server).writes).toHaveLength(0)
  })

  test('that has just logged in, whatever the delay', async () => {
    const servers = new FakeServers({ size: 1, checkDelayMs: 0, checkQuery: '' })
    expect((await servers.served('first')).server.state).toBe(ServerState.Active)
  })
})

test('server_check_delay 0 asks every server that was idle', async () => {
  const { servers, server } = await idleServer(0, { checkDelayMs: 0 })
  servers.lease('second')
  await servers.settle()
  expect(server.state).toBe(ServerState.Tested)
})
