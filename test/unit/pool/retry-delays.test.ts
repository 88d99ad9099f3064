import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { RetryDelay } from '../../../src/server/retry-delay.ts'
import { FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const RETRY_MS = 15_000

describe('the pause after a failed connection', () => {
  test('doubles from a quarter of a second up to server_login_retry', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    const delay = new RetryDelay()
    const pauses = Array.from({ length: 9 }, () => delay.next(RETRY_MS, true))
    expect(pauses).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
    for (let i = 0; i < 2000; i++) delay.next(RETRY_MS, true)
    expect(delay.next(RETRY_MS, true)).toBe(RETRY_MS)
  })

  test('has jitter: a quarter shorter at most, never longer', () => {
    const delay = new RetryDelay()
    const pauses = Array.from({ length: 1000 }, () => {
      delay.reset()
      return delay.next(RETRY_MS, true)
    })
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(187.5)
    expect(Math.min(...pauses)).toBeLessThan(195)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(250)
    expect(Math.max(...pauses)).toBeGreaterThan(243)
  })

  test('is never longer than server_login_retry, also where that is shorter than the first pause', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    expect(new RetryDelay().next(100, true)).toBe(100)
    expect(new RetryDelay().next(0, false)).toBe(0)
  })

  test('is server_login_retry at once after a refused login', () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    expect(new RetryDelay().next(RETRY_MS, false)).toBe(RETRY_MS)
  })

  test('begins anew after a connection was opened', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1)
    const servers = new FakeServers({ size: 1, retryMs: RETRY_MS })
    servers.automatic = false
    servers.lease('alice')
    const fail = async (pauseMs: number): Promise<void> => {
      servers.openings[0]?.fail(new PoolerError('57P03', 'the database system is starting up'))
      await servers.settle()
      vi.advanceTimersByTime(pauseMs - 1)
      servers.pool.tick(Date.now())
      await servers.settle()
      expect(servers.openings).toHaveLength(0)
      vi.advanceTimersByTime(1)
      servers.pool.tick(Date.now())
      await servers.settle()
      expect(servers.openings).toHaveLength(1)
    }
    await servers.settle()
    await fail(250)
    await fail(500)
    const server = servers.openings[0]?.succeed()
    await servers.settle()
    if (server === undefined) throw new Error('nothing was opened')
    server.usable = false
    servers.pool.release(server)
    servers.lease('bob')
    await servers.settle()
    await fail(250)
  })

  test('ends at once for RESUME and RECONNECT', async () => {
    for (const command of ['resume', 'renew'] as const) {
      const servers = new FakeServers({ size: 1, retryMs: RETRY_MS })
      servers.automatic = false
      servers.lease('alice')
      await servers.settle()
      servers.openings[0]?.fail(new PoolerError('57P03', 'the database system is starting up'))
      await servers.settle()
      if (command === 'resume') servers.pool.resume()
      else servers.pool.renew('RECONNECT')
      await servers.settle()
      expect(servers.openings).toHaveLength(1)
    }
  })
})
