import { programVersion } from './load/run-program.ts'
import { WORKLOADS, type Workload } from './load/workload.ts'
import { measureMemory } from './measure/idle-clients.ts'
import { type MeasureOptions, measureWorkload, warmUp } from './measure/measure.ts'
import { type BenchOptions, readOptions, usage } from './options.ts'
import { renderReport } from './report/render.ts'
import { type BenchResult, type Memory, type Row, type TargetName, writeResult } from './result.ts'
import { Stage } from './stage.ts'
import { makeStamp } from './stamp.ts'
import type { PgbouncerProgram } from './targets/pgbouncer-process.ts'
import type { Target } from './targets/target.ts'

/** `npm run bench`: measures, writes bench/results/*.json and prints the same table that the README gets. */

const POOL_SIZE = 20
const SCALE = 10
const IDLE_CLIENTS = 1500
const QUICK_IDLE_CLIENTS = 300
const MAX_CLIENTS = 2000
/** The development dependency, which npm puts first on the PATH. */
const BUN = 'bun'
/** Short, but long enough for Node to have compiled what is hot. */
const WARM_UP_SECONDS = 3
const WARM_UP = ['select-simple-50', 'select-prepared-50', 'churn-10']
const WARM_UP_LOGINS = ['churn-scram-10', 'churn-tls-10']

/** What fits into two minutes with three poolers and PostgreSQL itself. */
const QUICK = [
  'select-simple-50',
  'select-extended-50',
  'select-prepared-50',
  'tpcb-20',
  'churn-10',
  'churn-tls-10',
  'rows-large',
  'null-simple-50',
  'latency-50',
]

async function main(options: BenchOptions): Promise<void> {
  const pgbench = await programVersion('pgbench', 'pgbench')
  const pgbouncer = await findPgbouncer(options.pgbouncer)
  const bun = await programVersion(BUN, '')
  const notes = missing(pgbench, pgbouncer, bun)
  const openssl = await programVersion('openssl', 'openssl', 'version')
  const workloads = chosen(options, { tls: pgbench !== null && openssl !== null }, notes)
  for (const note of notes) say(note)
  const stamp = await makeStamp({ pgbench, pgbouncer: pgbouncer?.version ?? null, bun })
  const stage = await Stage.open({
    poolSize: POOL_SIZE,
    maxClients: MAX_CLIENTS,
    scale: SCALE,
    pgbouncer,
    tls: openssl !== null,
    bun: bun === null ? null : BUN,
    features: workloads.flatMap(({ feature }) => (feature === undefined ? [] : [feature])),
    say,
  })
  const stop = () => {
    void stage.close().finally(() => process.exit(130))
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    const measuring: MeasureOptions = {
      seconds: options.seconds,
      pairs: options.pairs,
      scale: SCALE,
      hasPgbench: pgbench !== null,
    }
    for (const workload of workloads) {
      for (const target of stage.targetsOf(workload)) {
        const refusal = target.refusal(workload)
        if (refusal !== undefined && !notes.includes(refusal)) notes.push(refusal)
      }
    }
    say('warming up')
    const short = { ...measuring, seconds: options.quick ? 1 : WARM_UP_SECONDS }
    await warmUp(
      WORKLOADS.filter(({ id }) => WARM_UP.includes(id)),
      stage.targets,
      short,
    )
    const logins = workloads.filter(({ id }) => WARM_UP_LOGINS.includes(id))
    for (const workload of logins) await warmUp([workload], stage.targetsOf(workload), short)
    const rows: Row[] = []
    for (const workload of workloads) {
      const { id, title, clients, feature } = workload
      say(`${id}: ${title}, clients: ${clients}${feature === undefined ? '' : `, ${feature.setting}`}`)
      const targets = stage.targetsOf(workload)
      await settle(workload, targets, measuring)
      const row = await measureWorkload(workload, targets, measuring)
      for (const problem of problems(row)) notes.push(problem)
      rows.push(row)
    }
    const idleClients = options.quick ? QUICK_IDLE_CLIENTS : IDLE_CLIENTS
    say(`memory, bare and with ${idleClients} idle clients`)
    const memory = await measureMemories(stage, idleClients, notes)
    const { seconds, pairs, quick } = options
    const result: BenchResult = {
      stamp,
      ...{ seconds, pairs, quick, poolSize: POOL_SIZE, scale: SCALE },
      ...{ rows, memory, notes },
    }
    const path = await writeResult(result, options.output)
    console.log(`\n${renderReport(result)}\n${path}`)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    await stage.close()
  }
}

/** Poolers with and without a feature are used for nothing else before; some features need time to find out how things are. */
async function settle(
  workload: Workload,
  targets: readonly Target[],
  measuring: MeasureOptions,
): Promise<void> {
  if (workload.feature === undefined) return
  const { settleSeconds } = workload.feature
  for (const target of targets) {
    if (target.name !== 'off' && target.name !== 'on') continue
    const seconds = Math.max(WARM_UP_SECONDS, target.name === 'on' ? settleSeconds : 0)
    await warmUp([workload], [target], { ...measuring, seconds })
  }
}

function chosen({ only, quick }: BenchOptions, can: { tls: boolean }, notes: string[]): readonly Workload[] {
  const unknown = only.filter((name) => !WORKLOADS.some(({ id }) => id === name))
  if (unknown.length > 0) {
    const known = WORKLOADS.map(({ id }) => id).join(', ')
    throw new Error(`there is no workload ${unknown.join(', ')}; there are: ${known}`)
  }
  const wanted = only.length === 0 && quick ? QUICK : only
  const all = wanted.length === 0 ? WORKLOADS : WORKLOADS.filter(({ id }) => wanted.includes(id))
  const possible = all.filter(({ login }) => login !== 'tls' || can.tls)
  if (possible.length < all.length) notes.push('TLS is not measured: it needs pgbench and openssl')
  return possible
}

async function findPgbouncer(path: string | undefined): Promise<PgbouncerProgram | null> {
  const command = path ?? 'pgbouncer'
  const version = await programVersion(command, 'pgbouncer')
  if (version !== null) return { command, version }
  if (path !== undefined) throw new Error(`${path} is not a PgBouncer that can be run`)
  return null
}

function missing(pgbench: string | null, pgbouncer: PgbouncerProgram | null, bun: string | null): string[] {
  const notes: string[] = []
  if (pgbench === null) notes.push("pgbench is not installed: all load is from the project's own generator")
  if (bun === null) notes.push('Bun cannot be run: the pooler is measured under Node.js only')
  if (pgbouncer === null) notes.push('PgBouncer is not installed: there is no comparison with it')
  return notes
}

/** One line for each run that had errors. */
function problems(row: Row): string[] {
  return Object.entries(row.runs).flatMap(([target, runs]) =>
    runs.flatMap(({ error }) => (error === undefined ? [] : [`${row.id}, ${target}: ${error}`])),
  )
}

async function measureMemories(
  stage: Stage,
  idleClients: number,
  notes: string[],
): Promise<BenchResult['memory']> {
  const memory: { [target in TargetName]?: Memory } = {}
  for (const start of stage.freshPoolers()) {
    const target = await start()
    try {
      const measured = await measureMemory(target, idleClients)
      if (measured !== null) memory[target.name] = measured
    } catch (error) {
      notes.push(`memory, ${target.name}: ${(error as Error).message}`)
    } finally {
      await target.stop()
    }
  }
  return memory
}

function say(line: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`)
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options === null) console.log(usage)
  else await main(options)
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exitCode = 1
}
