import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Janitor } from '../../../src/pool/janitor.ts'
import { PoolDirectory } from '../../../src/pool/pool-directory.ts'
import type { ServerPool } from '../../../src/pool/server-pool.ts'
import { FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

test('every task is asked every third of a second, in order, with the time', () => {
  const janitor = new Janitor()
  const asked: string[] = []
  janitor.add((nowMs) => asked.push(`one ${nowMs - startedMs}`))
  janitor.add((nowMs) => asked.push(`two ${nowMs - startedMs}`))
  const startedMs = Date.now()
  janitor.start()
  vi.advanceTimersByTime(700)
  expect(asked).toEqual(['one 333', 'two 333', 'one 666', 'two 666'])
  janitor.stop()
  vi.advanceTimersByTime(1000)
  expect(asked).toHaveLength(4)
})

test('a janitor that was never started stops, too', () => {
  new Janitor().stop()
  expect(vi.getTimerCount()).toBe(0)
})

test('there is one pool per database and user, whatever their names look like', () => {
  const created: string[] = []
  const directory = new PoolDirectory((database, user) => {
    created.push(`${database}|${user}`)
    return new FakeServers({}, { database, user }).pool
  })
  const pool = directory.get('a', 'b')
  expect(directory.get('a', 'b')).toBe(pool)
  const others: ServerPool[] = [directory.get('a', 'c'), directory.get('a","b', ''), directory.get('ab', '')]
  expect(new Set([pool, ...others]).size).toBe(4)
  expect([...directory]).toEqual([pool, ...others])
  expect(created).toHaveLength(4)
})
