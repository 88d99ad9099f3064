import { beforeEach, describe, expect, test } from 'vitest'
import { AutoSize } from '../../../src/pool/auto-size.ts'

/** Time, and a server that finishes transactions as fast as it can with so many clients at once. */
const TICK_MS = 333
const MAX = 20

let nowMs = 0
let random: () => number

beforeEach(() => {
  nowMs = 0
  let state = 12345
  random = () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
})

const noise = (deviation: number): number => {
  const gauss = Math.sqrt(-2 * Math.log(random() || Number.EPSILON)) * Math.cos(2 * Math.PI * random())
  return Math.exp(gauss * deviation)
}

interface Load {
  /** Transactions per second with `limit` of them at once. */
  readonly rate: (limit: number) => number
  /** Standard deviation of its logarithm from one moment to the next. */
  readonly deviation?: number
  readonly waiting?: boolean
  /** How many are leased within a limit. */
  readonly active?: (limit: number) => number
  /** The share of the servers that come back for which nobody waits. */
  readonly slack?: number
}

/** Levels seen while the load goes on, one for each tick. Its speed is another one every 30 ms. */
function run(auto: AutoSize, seconds: number, load: Load): number[] {
  const { rate, deviation = 0.1, waiting = true, slack = 0, active = (limit) => limit } = load
  const levels: number[] = []
  const endMs = nowMs + seconds * 1000
  let [factor, noisyUntilMs, tickAtMs, left] = [1, 0, nowMs + TICK_MS, 1]
  while (nowMs < endMs) {
    if (nowMs >= noisyUntilMs) {
      factor = noise(deviation) / 1000
      noisyUntilMs = nowMs + 30
    }
    const perMs = rate(active(auto.limit)) * factor
    const stepMs = Math.min(perMs > 0 ? left / perMs : 30, noisyUntilMs - nowMs, tickAtMs - nowMs) + 1e-6
    nowMs += stepMs
    left -= stepMs * perMs
    if (left <= 0) {
      left += 1
      auto.leaseEnded(active(auto.limit) - 1)
      if (random() < slack) auto.noteSlack()
    }
    if (nowMs < tickAtMs) continue
    auto.tick(waiting, active(auto.limit))
    levels.push(auto.level)
    tickAtMs += TICK_MS
  }
  return levels
}

const autoSize = (): AutoSize => new AutoSize(MAX, () => nowMs)

/** TPC-B as it was measured on two processors, a tenth of it. */
function tpcb(limit: number): number {
  if (limit <= 4) return [0, 150, 250, 280, 300][limit] as number
  return 300 - 5 * (limit - 4)
}

describe('a pool whose server is busiest with four', () => {
  test.each([0.05, 0.1, 0.2])('ends up near four and stays there, with a scatter of %d', (deviation) => {
    const auto = autoSize()
    run(auto, 60, { rate: tpcb, deviation })
    const levels = run(auto, 3600, { rate: tpcb, deviation })
    const efficiency = levels.reduce((sum, level) => sum + tpcb(level), 0) / levels.length / tpcb(4)
    expect(efficiency).toBeGreaterThan(0.93)
    const changes = levels.filter((level, index) => index > 0 && level !== levels[index - 1]).length
    expect(changes).toBeLessThan(20)
  })

  test('says what it found, and what it tries', () => {
    const auto = autoSize()
    expect(auto.note).toBe('nothing measured yet')
    while (auto.note === 'nothing measured yet') run(auto, 0.3, { rate: tpcb, deviation: 0 })
    expect(auto.note).toBe('trying 5')
    while (auto.note === 'trying 5') run(auto, 0.3, { rate: tpcb, deviation: 0 })
    expect(auto.note).toMatch(/^trying 5: 13\d % in 1 of 5 or more pairs$/)
    for (let tick = 0; tick < 600 && !auto.note.startsWith('neither'); tick++)
      run(auto, TICK_MS / 1000, { rate: tpcb, deviation: 0.01 })
    expect(auto.level).toBeLessThanOrEqual(6)
    expect(auto.note).toBe('neither more nor fewer were better')
  })
})

test('a pool whose transactions spend their time waiting keeps all servers, and loses little by trying', () => {
  const auto = autoSize()
  const rate = (limit: number): number => 20 * limit
  let [offered, served] = [0, 0]
  for (let tick = 0; tick < 5000; tick++) {
    run(auto, TICK_MS / 1000, { rate })
    offered += rate(MAX)
    served += rate(auto.limit)
    expect(auto.level).toBe(MAX)
  }
  expect(served / offered).toBeGreaterThan(0.97)
})

test('a load that changes is followed: from four to all, and back', () => {
  const auto = autoSize()
  run(auto, 60, { rate: tpcb })
  expect(auto.level).toBeLessThan(8)
  run(auto, 300, { rate: (limit) => 20 * limit })
  expect(auto.level).toBe(MAX)
  run(auto, 300, { rate: tpcb })
  expect(auto.level).toBeLessThan(8)
})

test('it is never below one nor above the limit of the pool', () => {
  const auto = autoSize()
  const limits = new Set<number>()
  const fewest = (limit: number): number => {
    limits.add(limit)
    return 600 / limit
  }
  run(auto, 300, { rate: fewest })
  expect(auto.level).toBe(1)
  run(auto, 600, {
    rate: (limit) => {
      limits.add(limit)
      return 50 * limit
    },
  })
  expect(Math.min(...limits)).toBeGreaterThanOrEqual(1)
  expect(auto.level).toBe(MAX)
})

describe('all servers may be used soon', () => {
  const settled = (): AutoSize => {
    const auto = autoSize()
    run(auto, 60, { rate: tpcb })
    expect(auto.level).toBeLessThan(8)
    return auto
  }

  test('when nobody is served any more: transactions may wait for each other', () => {
    const auto = settled()
    run(auto, 4, { rate: () => 0 })
    expect(auto.level).toBe(MAX)
    expect(auto.note).toBe('nobody was served')
  })

  test('when transactions are too long to be measured', () => {
    const auto = settled()
    run(auto, 15, { rate: (limit) => limit / 2, deviation: 0 })
    expect(auto.level).toBe(MAX)
    expect(auto.note).toMatch(/too few transactions|nobody was served/)
  })

  test('but not when nobody waits', () => {
    const auto = settled()
    const { level } = auto
    run(auto, 60, { rate: () => 0, waiting: false })
    expect(auto.level).toBe(level)
  })
})

test('nothing is tried while clients hardly wait', () => {
  const auto = autoSize()
  const levels = run(auto, 300, { rate: tpcb, slack: 0.75 })
  expect(new Set(levels)).toEqual(new Set([MAX]))
  expect(auto.limit).toBe(MAX)
  expect(auto.note).toBe('clients hardly wait')
})

test('two numbers have short turns, so that what slows the machine down for a second slows both down', () => {
  const auto = autoSize()
  const changesAt: number[] = []
  const rate = (limit: number): number => {
    if (limit !== (changesAt.length % 2 === 0 ? MAX : 5)) changesAt.push(nowMs)
    return 10 * tpcb(limit)
  }
  while (!/in 1 of/.test(auto.note)) run(auto, TICK_MS / 1000, { rate })
  // Level, candidate, candidate, level, level, ...: two turns in a row.
  const lengths = changesAt.slice(1).map((atMs, index) => atMs - (changesAt[index] ?? 0))
  expect(lengths.length).toBeGreaterThan(3)
  expect(Math.max(...lengths)).toBeLessThan(150)
})

test('a number that finishes far less is not tried for long', () => {
  const auto = autoSize()
  let [triedMs, lastMs] = [0, 0]
  const rate = (limit: number): number => {
    if (limit <= 10) triedMs += nowMs - lastMs
    lastMs = nowMs
    return 50 * limit
  }
  run(auto, 8, { rate })
  expect(triedMs).toBeGreaterThan(100)
  expect(triedMs).toBeLessThan(2500)
})

test('a candidate that lets nobody through is given up at once, and the level stays', () => {
  const auto = autoSize()
  const levels = run(auto, 5, { rate: (limit) => (limit === MAX ? 300 : 0) })
  expect(new Set(levels)).toEqual(new Set([MAX]))
  expect(auto.limit).toBe(MAX)
})

test('a smaller number that lets nobody through does not cost the one that was found', () => {
  const auto = autoSize()
  run(auto, 60, { rate: tpcb })
  const { level } = auto
  expect(level).toBeLessThan(8)
  const levels = run(auto, 120, { rate: (limit) => (limit < level ? 0 : tpcb(limit)) })
  expect(Math.max(...levels)).toBeLessThan(2 * level)
})

test('leases from before a smaller limit are not counted for it', () => {
  const auto = autoSize()
  while (auto.limit === MAX) run(auto, 0.005, { rate: tpcb, deviation: 0 })
  const before = auto.note
  // More than the limit are still leased; whatever they finish says nothing of the limit.
  for (let tick = 0; tick < 4; tick++) {
    nowMs += TICK_MS
    for (let i = 0; i < 100; i++) auto.leaseEnded(auto.limit + 1)
    auto.tick(true, auto.limit + 1)
  }
  expect(auto.note).toBe(before)
})

describe('a reload', () => {
  test('to a smaller limit of the pool holds at once, and a larger one is left to the trials', () => {
    const auto = autoSize()
    run(auto, 60, { rate: tpcb })
    auto.max = 3
    expect(auto.level).toBe(3)
    expect(auto.note).toBe('nothing measured yet')
    auto.max = 2
    auto.max = 40
    expect(auto.limit).toBe(40)
    run(auto, 60, { rate: tpcb })
    const { level } = auto
    auto.max = 50
    expect(auto.level).toBe(level)
  })

  test('of a pool that has all of its servers in use gives it the new ones at once', () => {
    const auto = autoSize()
    run(auto, 100, { rate: (limit) => 20 * limit })
    auto.max = 100
    expect(auto.limit).toBe(100)
  })
})

test('where another limit allows fewer, less than these are tried', () => {
  const auto = autoSize()
  run(auto, 120, { rate: tpcb, active: (limit) => Math.min(limit, 8) })
  expect(auto.level).toBeLessThan(8)
})

test('a limit far above what can be reached does not keep trials from beginning', () => {
  const auto = new AutoSize(1000, () => nowMs)
  run(auto, 120, { rate: tpcb, active: (limit) => Math.min(limit, 12) })
  expect(auto.level).toBeLessThan(8)
})

test('a pool that has taken to its reserve is measured, too', () => {
  const auto = autoSize()
  run(auto, 120, { rate: tpcb, active: (limit) => (limit === MAX ? MAX + 5 : limit) })
  expect(auto.level).toBeLessThan(8)
})

test('time in which nobody asked for anything is not counted', () => {
  const auto = autoSize()
  while (!/in 1 of/.test(auto.note)) run(auto, TICK_MS / 1000, { rate: tpcb, deviation: 0 })
  run(auto, 1.5, { rate: () => 0, waiting: false })
  run(auto, 1, { rate: tpcb, deviation: 0 })
  expect(auto.note).toMatch(/^trying 5: 13\d % in [12] of/)
})

test('a trial goes on after a pause of the load', () => {
  const auto = autoSize()
  for (let burst = 0; burst < 4; burst++) {
    run(auto, 2, { rate: tpcb, deviation: 0 })
    run(auto, 10, { rate: () => 0, waiting: false })
  }
  expect(auto.level).toBe(5)
})

test('but not after a PAUSE that is longer than a minute', () => {
  const auto = autoSize()
  while (!auto.note.startsWith('trying')) run(auto, TICK_MS / 1000, { rate: tpcb })
  for (const endMs = nowMs + 59_000; nowMs < endMs; nowMs += TICK_MS) auto.skip()
  expect(auto.note).toMatch(/^trying/)
  for (const endMs = nowMs + 2000; nowMs < endMs; nowMs += TICK_MS) auto.skip()
  expect(auto.note).toBe('nothing measured yet')
})

test('long turns are not cut short by a moment in which nobody waits', () => {
  const auto = autoSize()
  // Two rounds in vain.
  run(auto, 45, { rate: (limit) => 20 * limit })
  for (let tick = 0; tick < 100; tick++)
    run(auto, TICK_MS / 1000, { rate: tpcb, waiting: tick % 2 === 0, slack: 0.1 })
  expect(auto.level).toBeLessThan(8)
})

test('transactions that are a hundred times as long from one moment to the next are measured soon', () => {
  const auto = autoSize()
  run(auto, 30, { rate: (limit) => 200 * tpcb(limit) })
  expect(auto.level).toBeLessThan(8)
  run(auto, 60, { rate: (limit) => (limit === MAX ? 250 : 20 * limit) })
  expect(auto.level).toBeGreaterThan(10)
  run(auto, 120, { rate: tpcb })
  expect(auto.level).toBeLessThan(8)
})

test('a second in which nothing moves doubles the number once', () => {
  const auto = autoSize()
  run(auto, 60, { rate: tpcb })
  const { level } = auto
  expect(level).toBeLessThan(8)
  run(auto, 1, { rate: () => 0 })
  expect(auto.level).toBe(2 * level)
})

test('bursts that are shorter than a turn get more servers sooner or later', () => {
  const auto = autoSize()
  run(auto, 120, { rate: (limit) => 600 / limit })
  expect(auto.level).toBe(1)
  // Twenty queries of 20 ms in each second.
  let tickAtMs = nowMs
  for (let second = 0; second < 900; second++) {
    for (let ms = 0, left = 20; ms < 1000; ms += 1) {
      nowMs += 1
      if (ms % 20 === 19)
        for (let active = Math.min(auto.limit, left) - 1; active >= 0; active--) {
          auto.leaseEnded(active)
          left -= 1
          if (left <= active) auto.noteSlack()
        }
      if (nowMs < tickAtMs) continue
      auto.tick(left > auto.limit, Math.min(auto.limit, left))
      tickAtMs += TICK_MS + 7
    }
  }
  expect(auto.level).toBeGreaterThan(5)
})

test('more servers than clients are better than fewer, although nobody waits then', () => {
  const auto = autoSize()
  run(auto, 60, { rate: tpcb })
  expect(auto.level).toBeLessThan(8)
  for (let second = 0; second < 300; second++)
    run(auto, 1, {
      rate: (limit) => 20 * limit,
      // Fifteen clients.
      slack: auto.limit > 15 ? 1 : 0,
      active: (limit) => Math.min(limit, 15),
    })
  expect(auto.level).toBeGreaterThanOrEqual(15)
})

/**
 * Transactions of nearly the same length that share a server, which does `capacity(n)` of them per second with n at
 * once: what a window shows depends on how far they are when it begins.
 */
function share(auto: AutoSize, seconds: number, capacity: (active: number) => number): number {
  const work = (): number => 1 + 0.4 * (random() - 0.5)
  let left = Array.from({ length: auto.limit }, () => work() * random())
  let finished = 0
  for (let ms = 0; ms < seconds * 1000; ms += 3) {
    nowMs += 3
    const each = (capacity(left.length) * 0.003) / left.length
    const going = left.map((rest) => rest - each).filter((rest) => rest > 0)
    for (let active = left.length - 1; active >= going.length; active--) auto.leaseEnded(active)
    finished += left.length - going.length
    left = going
    while (left.length < auto.limit) left.push(work())
    if (ms % TICK_MS === 0) auto.tick(true, left.length)
  }
  return finished / seconds
}

test('transactions that are in step with each other do not make fewer look better', () => {
  const auto = new AutoSize(50, () => nowMs)
  const capacity = (active: number): number => 150 * (active / 50) ** Math.log2(1.1)
  expect(share(auto, 200, capacity)).toBeGreaterThan(0.95 * capacity(50))
})
