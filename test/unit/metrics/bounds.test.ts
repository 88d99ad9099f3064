import { describe, expect, test } from 'vitest'
import { BoundedCounts } from '../../../src/net/bounded-counts.ts'
import { PoolMetricsBook } from '../../../src/pool/pool-metrics.ts'

/** Whoever makes up names or SQLSTATEs must not fill the memory, nor Prometheus. */

describe('PoolMetricsBook', () => {
  test('gives the same pair the same metrics, and all beyond the limit the common ones', () => {
    const book = new PoolMetricsBook(2)
    const first = book.of('app', 'ann')
    expect(book.of('app', 'ann')).toBe(first)
    const second = book.of('app', 'bob')
    expect(second).not.toBe(first)
    const other = book.of('app', 'eve')
    expect(book.of('made', 'up')).toBe(other)
    expect(book.of('app', 'bob')).toBe(second)
    expect([...book].map(({ database, user }) => `${database} ${user}`)).toEqual([
      'app ann',
      'app bob',
      'other other',
    ])
  })

  test('names with any characters are different pairs', () => {
    const book = new PoolMetricsBook(10)
    expect(book.of('a","b', 'c')).not.toBe(book.of('a', 'b","c'))
  })

  test('times connections, and notes why there is none', async () => {
    const metrics = new PoolMetricsBook(1).of('app', 'ann')
    expect(await metrics.connecting(Promise.resolve('server'))).toBe('server')
    expect(metrics.connects.counts.reduce((sum, count) => sum + count)).toBe(1)
    await expect(metrics.connecting(Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect([...metrics.connectFailures]).toEqual([['other', 1]])
  })
})

test('BoundedCounts counts what is beyond its limit as "other"', () => {
  const counts = new BoundedCounts(2)
  for (const label of ['a', 'b', 'c', 'd', 'a']) counts.note(label)
  expect([...counts]).toEqual([
    ['a', 2],
    ['b', 1],
    ['other', 2],
  ])
})
