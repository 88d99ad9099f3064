import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort } from '../src/embedded/free-port.ts'
import { programVersion } from './load/run-program.ts'
import { WORKLOADS, type Workload } from './load/workload.ts'
import { measureOnce } from './measure/measure.ts'
import { countingCost } from './micro/counting-cost.ts'
import { type Spread, spread } from './report/statistics.ts'
import type { Run } from './result.ts'
import { BenchDatabase } from './targets/database.ts'
import { buildPooler, PoolerProcess } from './targets/pooler-process.ts'

/**
 * `npm run bench:metrics`: what counting for /metrics costs. Two poolers of the same build before one PostgreSQL, one
 * with http_listen, which is scraped during every run, and one without, which counts nothing. They are measured in
 * pairs, each of them first in every other pair; a ratio is made of the two runs of a pair.
 */

const SCALE = 10
const POOL_SIZE = 20
const MAX_CLIENTS = 200
const FOLDER_MODE = 0o755
const IDS = ['select-simple-50', 'select-prepared-50', 'tpcb-20', 'rows-small']
/** Prometheus asks every 15 seconds; here the runs are short, and each is to have some. */
const SCRAPE_INTERVAL_MS = 1000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    pairs: { type: 'string', default: '8' },
    only: { type: 'string', default: IDS.join(',') },
  },
})
const seconds = Number(values.seconds)
const pairs = Number(values.pairs)
const only = values.only.split(',')

interface Pair {
  readonly on: Run
  readonly off: Run
}

async function main(): Promise<void> {
  for (const rows of [1, 100]) {
    const { offMicros, addedMicros } = await countingCost(rows)
    console.log(
      `in memory, ${String(rows).padStart(3)} rows: ${offMicros.toFixed(2)} µs of CPU time per transaction, ` +
        `and ${addedMicros.toFixed(2)} µs more with counting`,
    )
  }
  const folder = await mkdtemp(join(tmpdir(), 'pooler-bench-'))
  const running: { stop(): Promise<void> }[] = []
  try {
    await chmod(folder, FOLDER_MODE)
    await buildPooler()
    const database = await BenchDatabase.start(folder, SCALE)
    running.push(database)
    const options = { folder, server: database.address, poolSize: POOL_SIZE, maxClients: MAX_CLIENTS }
    const http = `127.0.0.1:${await freePort()}`
    const on = await PoolerProcess.start({ ...options, settings: `http_listen = "${http}"` })
    running.push(on)
    const off = await PoolerProcess.start(options)
    running.push(off)
    const generator = (await programVersion('pgbench', 'pgbench')) === null ? 'own' : 'pgbench'
    const measuring = { seconds, pairs, scale: SCALE, hasPgbench: generator === 'pgbench' }
    const run = async (workload: Workload, target: PoolerProcess): Promise<Run> => {
      const scrapes = target === on ? setInterval(() => void scrape(http), SCRAPE_INTERVAL_MS) : undefined
      const measured = await measureOnce(
        workload,
        target,
        workload.own === true ? 'own' : generator,
        measuring,
      )
      clearInterval(scrapes)
      if (measured.error !== undefined) throw new Error(`${workload.id}: ${measured.error}`)
      return measured
    }
    console.log('counting against not counting, median of pairs (lowest to highest)')
    for (const workload of WORKLOADS.filter(({ id }) => only.includes(id))) {
      const measured: Pair[] = []
      await run(workload, on)
      await run(workload, off)
      for (let pair = 0; pair < pairs; pair++) {
        if (pair % 2 === 0) {
          const first = await run(workload, on)
          measured.push({ on: first, off: await run(workload, off) })
        } else {
          const first = await run(workload, off)
          measured.push({ off: first, on: await run(workload, on) })
        }
      }
      console.log(
        `${workload.id.padEnd(20)} throughput ${ratio(measured, ({ rate }) => rate)}   ` +
          `CPU time of the pooler per transaction ${ratio(measured, cpu)}   ` +
          `user time ${ratio(measured, ({ userMicros }) => userMicros)}`,
      )
    }
  } finally {
    for (const target of running.reverse()) await target.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function scrape(http: string): Promise<void> {
  const response = await fetch(`http://${http}/metrics`)
  if (!response.ok) throw new Error(`a scrape was answered with ${response.status}`)
  await response.arrayBuffer()
}

function cpu({ userMicros, systemMicros }: Run): number | undefined {
  return userMicros === undefined || systemMicros === undefined ? undefined : userMicros + systemMicros
}

function ratio(measured: readonly Pair[], field: (run: Run) => number | undefined): string {
  const ratios = measured.flatMap(({ on, off }) => {
    const [ours, theirs] = [field(on), field(off)]
    return ours === undefined || theirs === undefined ? [] : [ours / theirs]
  })
  const found: Spread | null = spread(ratios)
  if (found === null) return 'not measured'
  return `${percent(found.median)} (${percent(found.min)} to ${percent(found.max)})`
}

function percent(ratio: number): string {
  const change = (ratio - 1) * 100
  return `${change < 0 ? '' : '+'}${change.toFixed(1)} %`
}

await main()
// The eviction timers of the pools in memory would keep the process alive.
process.exit()
