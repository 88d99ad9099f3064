import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FineClock } from '../../../src/multiplexer/fine-clock.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('stays with the time of its beginning while the system clock differs by less than a step', () => {
  const clock = new FineClock()
  const begunMs = clock.nowMs()
  vi.advanceTimersByTime(10)
  expect(clock.nowMs() - begunMs).toBeCloseTo(10, 6)
  clock.tick(Date.now() + 40)
  expect(clock.nowMs() - begunMs).toBeCloseTo(10, 6)
})

test('follows the system clock when that is set', () => {
  const clock = new FineClock()
  clock.tick(Date.now() + 3_600_000)
  expect(clock.nowMs() - Date.now()).toBeCloseTo(3_600_000, 6)
})
