import fc from 'fast-check'

/**
 * checkFor: runs a property of fast-check a bounded number of times, or for POOLER_FUZZ_RUNS runs with fresh seeds, and
 * reports a failure as lines that a person can read and a seed that repeats it.
 */

const runs = process.env.POOLER_FUZZ_RUNS
const seed = process.env.POOLER_FUZZ_SEED
/** Without a wish the same conversations every time: a build must not fail by chance. */
const USUAL_SEED = 20_250_801
const SHRINK_MS = 60_000
/** A slow machine draws fewer. */
const USUAL_LIMIT_MS = 12_000

/** How long a test may take in all, with shrinking. */
export function fuzzTimeout(): number {
  return runs === undefined ? 3 * SHRINK_MS : 24 * 3_600_000
}

/** A property, and how its failures are made smaller and shown. */
export interface Fuzzed<Value> {
  readonly values: fc.Arbitrary<Value>
  /** What is wrong with a value; `again` while a failure is being made smaller. */
  problems(value: Value, again: boolean): Promise<readonly string[]>
  /** Values with something left out, the largest steps first. */
  smaller(value: Value): Iterable<Value>
  written(value: Value): readonly string[]
}

/** Draws `usualRuns` values, or as many as time allows; returns how many. Throws with a report of the first that fails. */
export async function checkFor<Value>(usualRuns: number, fuzzed: Fuzzed<Value>): Promise<number> {
  const failures: { value: Value; found: readonly string[] }[] = []
  let running: Promise<boolean> = Promise.resolve(true)
  const property = fc.asyncProperty(fuzzed.values, (value) => {
    running = fuzzed.problems(value, false).then((found) => {
      if (found.length > 0) failures.push({ value, found })
      return found.length === 0
    })
    return running
  })
  const details = await fc.check(property, {
    endOnFailure: true,
    ...(runs === undefined
      ? { numRuns: usualRuns, interruptAfterTimeLimit: USUAL_LIMIT_MS, markInterruptAsFailure: false }
      : { numRuns: Number(runs) }),
    ...(seed === undefined ? (runs === undefined ? { seed: USUAL_SEED } : {}) : { seed: Number(seed) }),
  })
  // The time limit does not wait for the run that it interrupts, which would get in the way of the next property.
  await running.catch(() => false)
  const repeat = `repeat with POOLER_FUZZ_SEED=${details.seed} POOLER_FUZZ_RUNS=${details.numRuns}`
  const [failure] = failures
  if (failure === undefined) {
    if (details.failed) {
      const [value] = details.counterexample ?? []
      const lines = value === undefined ? [] : fuzzed.written(value)
      throw new Error([`the property itself failed; ${repeat}`, ...lines].join('\n'), {
        cause: details.errorInstance,
      })
    }
    return details.numRuns
  }
  const { value, found } = await smallest(fuzzed, failure)
  throw new Error(
    [
      `failed in run ${details.numRuns}; ${repeat}`,
      ...fuzzed.written(value),
      ...found,
      // What is left out may make another failure of it.
      ...(value === failure.value ? [] : ['before it was made smaller:', ...failure.found]),
    ].join('\n'),
  )
}

/** Leaves out whatever the failure does not need. */
async function smallest<Value>(
  fuzzed: Fuzzed<Value>,
  failure: { value: Value; found: readonly string[] },
): Promise<{ value: Value; found: readonly string[] }> {
  const deadline = Date.now() + SHRINK_MS
  let best = failure
  let better = true
  while (better) {
    better = false
    for (const value of fuzzed.smaller(best.value)) {
      if (Date.now() > deadline) return best
      const found = await fuzzed.problems(value, true)
      if (found.length === 0) continue
      best = { value, found }
      better = true
      break
    }
  }
  return best
}
