import type { Row, Run, TargetName } from '../result.ts'

/** What several runs say together. The n-th runs of two targets were made one right after the other. */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** Null for no values. */
export function spread(values: readonly number[]): Spread | null {
  const sorted = [...values].sort((a, b) => a - b)
  const [min] = sorted
  const max = sorted.at(-1)
  if (min === undefined || max === undefined) return null
  const middle = sorted.length >> 1
  const upper = sorted[middle] as number
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2
  return { median, min, max }
}

/** The geometric mean of ratios, and the factor by which it may be off in 95 of 100 cases. */
export function meanRatio(ratios: readonly number[]): { mean: number; error: number } | null {
  if (ratios.length < 2) return null
  const logs = ratios.map(Math.log)
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1)
  return { mean: Math.exp(mean), error: Math.exp(2 * Math.sqrt(variance / logs.length)) }
}

/** One field of a target's runs; null if it was not measured, or if any of its runs had errors. */
export function fieldOf(row: Row, target: TargetName, field: keyof Run & `${string}`): Spread | null {
  const runs = row.runs[target]
  if (runs === undefined || runs.some(({ error }) => error !== undefined)) return null
  const values = runs.map((run) => run[field])
  return values.every((value) => typeof value === 'number') ? spread(values as number[]) : null
}

export const rateOf = ({ rate }: Run): number | undefined => rate

/** `target` against `base` in what `read` finds in a run, pair by pair; null if any of these runs had errors. */
export function ratioOf(
  row: Row,
  target: TargetName,
  base: TargetName,
  read: (run: Run) => number | undefined,
): Spread | null {
  const ours = row.runs[target] ?? []
  const theirs = row.runs[base] ?? []
  const ratios: number[] = []
  for (const [pair, run] of ours.entries()) {
    const other = theirs[pair]
    if (other === undefined || run.error !== undefined || other.error !== undefined) return null
    const [a, b] = [read(run), read(other)]
    if (a === undefined || b === undefined) return null
    ratios.push(a / b)
  }
  return spread(ratios)
}
