import { ownLoad, pgbench } from '../load/generate-load.ts'
import type { OwnLoadJob } from '../load/own-load.ts'
import type { LoadOutcome, Workload } from '../load/workload.ts'
import type { Row, Run, TargetName } from '../result.ts'
import type { Target } from '../targets/target.ts'
import { cpuTime } from './process-usage.ts'

/** Measures workloads at all targets in turns, so that a machine that slows down slows them all. */

export interface MeasureOptions {
  readonly seconds: number
  readonly pairs: number
  readonly scale: number
  readonly hasPgbench: boolean
}

/** One row: direct, pooler, pooler under Bun, PgBouncer, direct, ... */
export async function measureWorkload(
  workload: Workload,
  targets: readonly Target[],
  options: MeasureOptions,
): Promise<Row> {
  const generator = options.hasPgbench && workload.own !== true ? 'pgbench' : 'own'
  const fitting = targets.filter((target) => target.refusal(workload) === undefined)
  const runs: { [target in TargetName]?: Run[] } = {}
  for (let pair = 0; pair < options.pairs; pair++) {
    for (const target of fitting) {
      const run = await measureOnce(workload, target, generator, options)
      const ofTarget = runs[target.name] ?? []
      ofTarget.push(run)
      runs[target.name] = ofTarget
    }
  }
  const { id, title, clients, kind, feature } = workload
  return {
    id,
    title,
    clients,
    feature: feature?.setting,
    unit: kind === 'rows' ? 'bytes' : 'transactions',
    generator,
    runs,
  }
}

/** Puts every target to work before anything is measured: connections, caches, compiled code. */
export async function warmUp(
  workloads: readonly Workload[],
  targets: readonly Target[],
  options: MeasureOptions,
): Promise<void> {
  for (const target of targets) {
    for (const workload of workloads) {
      if (target.refusal(workload) !== undefined) continue
      await measureOnce(workload, target, options.hasPgbench ? 'pgbench' : 'own', options)
    }
  }
}

/** One run of one workload at one target. */
async function measureOnce(
  workload: Workload,
  target: Target,
  generator: Row['generator'],
  { seconds, scale }: MeasureOptions,
): Promise<Run> {
  const job: OwnLoadJob = { address: target.address, workload, seconds, scale }
  const before = target.pid === undefined ? null : cpuTime(target.pid)
  let outcome: LoadOutcome
  try {
    outcome = await (generator === 'pgbench' ? pgbench(job) : ownLoad(job))
  } catch (error) {
    return { error: (error as Error).message }
  }
  const after = target.pid === undefined ? null : cpuTime(target.pid)
  if (before === null || after === null) return outcome
  const perTransaction = 1e6 / outcome.transactions
  return {
    ...outcome,
    userMicros: (after.userSeconds - before.userSeconds) * perTransaction,
    systemMicros: (after.systemSeconds - before.systemSeconds) * perTransaction,
  }
}
