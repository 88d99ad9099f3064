import { expect, test } from 'vitest'
import { BUCKET_MICROS, Histogram } from '../../../src/pool/histogram.ts'

test('the bounds of the buckets rise', () => {
  expect([...BUCKET_MICROS]).toEqual([...BUCKET_MICROS].sort((one, other) => one - other))
  expect(new Set(BUCKET_MICROS).size).toBe(BUCKET_MICROS.length)
})

test('a value on a bound belongs to the bucket below it, as Prometheus has it', () => {
  for (const [index, bound] of BUCKET_MICROS.entries()) {
    const histogram = new Histogram()
    histogram.observe(bound)
    histogram.observe(bound + 1)
    expect(histogram.counts[index]).toBe(1)
    expect(histogram.counts[index + 1]).toBe(1)
    expect(histogram.sumMicros).toBe(2 * bound + 1)
  }
})

test('a clock that went back costs nothing: the sum never becomes less', () => {
  const histogram = new Histogram()
  histogram.observe(-5)
  expect(histogram.counts[0]).toBe(1)
  expect(histogram.sumMicros).toBe(0)
})
