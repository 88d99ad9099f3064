import { describe, expect, test } from 'vitest'
import { PairedTrial, type TrialVerdict } from '../../../src/pool/paired-trial.ts'

/** Adds pairs until there is a verdict; `ratio` says what the candidate brings in each. */
function verdictOf(ratio: (pair: number) => number): { verdict: TrialVerdict; pairs: number } {
  const trial = new PairedTrial()
  for (;;) {
    const verdict = trial.add(100, 100 * ratio(trial.pairs))
    if (verdict !== 'undecided') return { verdict, pairs: trial.pairs }
  }
}

describe('a candidate is', () => {
  test('better after five pairs, if it always wins by far', () => {
    expect(verdictOf((pair) => 1.3 + pair / 100)).toEqual({ verdict: 'better', pairs: 5 })
  })

  test('no better after five pairs, if it always loses', () => {
    expect(verdictOf((pair) => 0.9 + pair / 200)).toEqual({ verdict: 'no better', pairs: 5 })
  })

  test.each([
    [0.4, 1],
    [0.65, 2],
    [0.8, 4],
  ])('no better if it finishes %d of what there is, after %d pairs', (ratio, pairs) => {
    expect(verdictOf(() => ratio)).toEqual({ verdict: 'no better', pairs })
  })

  test('better later, if its gain is smaller than the scatter at first', () => {
    const { verdict, pairs } = verdictOf((pair) => (pair % 2 === 0 ? 1.25 : 0.98))
    expect(verdict).toBe('better')
    expect(pairs).toBeGreaterThan(5)
  })

  test('no better if it gains less than two percent, however surely', () => {
    expect(verdictOf((pair) => 1.01 + pair / 10_000)).toEqual({ verdict: 'no better', pairs: 5 })
  })

  test('no better after 25 pairs that leave it open', () => {
    expect(verdictOf((pair) => (pair % 2 === 0 ? 1.4 : 0.7))).toEqual({ verdict: 'no better', pairs: 25 })
  })

  test('no better after 60 pairs that look better, but not surely', () => {
    expect(verdictOf((pair) => (pair % 2 === 0 ? 1.8 : 0.6))).toEqual({ verdict: 'no better', pairs: 60 })
  })
})

test('the ratio of a trial is the geometric mean of its pairs', () => {
  const trial = new PairedTrial()
  trial.add(100, 200)
  trial.add(300, 150)
  expect(trial.ratio).toBeCloseTo(1)
})
