import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort } from '../src/embedded/free-port.ts'
import { pgbench } from './load/generate-load.ts'
import { programVersion } from './load/run-program.ts'
import { WORKLOADS, type Workload } from './load/workload.ts'
import { exactCpuMicros } from './measure/process-usage.ts'
import { countingCost } from './micro/counting-cost.ts'
import { meanRatio } from './report/statistics.ts'
import { BenchDatabase } from './targets/database.ts'
import { buildPooler, PoolerProcess } from './targets/pooler-process.ts'

/**
 * `npm run bench:metrics`: what counting for /metrics costs. Two poolers of the same build before one PostgreSQL, one
 * with http_listen, which is scraped as Prometheus does it, and one without, which counts nothing. pgbench loads both
 * at once at the same fixed rate: whatever the machine does, it does to both, and a pooler that is not saturated does
 * not gain by the larger batches that a slow machine brings. What is compared is the CPU time per transaction, which
 * is what bounds the throughput. Both poolers are started anew for each round: compiled code is never twice the same.
 */

const SCALE = 10
const POOL_SIZE = 20
const MAX_CLIENTS = 200
const FOLDER_MODE = 0o755
const IDS = ['select-simple-50', 'select-prepared-50', 'tpcb-20']
const TPCB_STATEMENTS = 7
const SCRAPE_INTERVAL_MS = 15_000

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '4' },
    pairs: { type: 'string', default: '5' },
    rate: { type: 'string', default: '8000' },
    only: { type: 'string', default: IDS.join(',') },
  },
})
const seconds = Number(values.seconds)
const only = values.only.split(',')

async function main(): Promise<void> {
  for (const rows of [1, 100]) {
    const { offMicros, addedMicros } = await countingCost(rows)
    console.log(
      `in memory, ${String(rows).padStart(3)} rows: ${offMicros.toFixed(2)} µs of CPU time per transaction, ` +
        `and ${addedMicros.toFixed(2)} µs more with counting`,
    )
  }
  if ((await programVersion('pgbench', 'pgbench')) === null) {
    console.log('pgbench is not installed: counting in a process under load is not measured')
    return
  }
  const folder = await mkdtemp(join(tmpdir(), 'pooler-bench-'))
  try {
    await chmod(folder, FOLDER_MODE)
    await buildPooler()
    const database = await BenchDatabase.start(folder, SCALE)
    try {
      console.log('CPU time of the pooler per transaction, counting against not counting')
      for (const workload of WORKLOADS.filter(({ id }) => only.includes(id))) {
        const ratios: number[] = []
        for (let round = 0; round < Number(values.rounds); round++)
          ratios.push(...(await measureRound(folder, database, workload)))
        const found = meanRatio(ratios)
        const text =
          found === null ? 'too few runs' : `${percent(found.mean)} (± ${percent(found.error).slice(1)})`
        console.log(`${workload.id.padEnd(20)} ${text}, ${ratios.length} pairs`)
      }
    } finally {
      await database.stop()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The ratios of some pairs of runs. */
async function measureRound(
  folder: string,
  database: BenchDatabase,
  workload: Workload,
): Promise<readonly number[]> {
  const options = { folder, server: database.address, poolSize: POOL_SIZE, maxClients: MAX_CLIENTS }
  const http = `127.0.0.1:${await freePort()}`
  const on = await PoolerProcess.start({ ...options, settings: `http_listen = "${http}"` })
  const off = await PoolerProcess.start(options)
  const scrapes = setInterval(() => void scrape(http), SCRAPE_INTERVAL_MS)
  try {
    await scrape(http)
    const pair = () => Promise.all([run(workload, on), run(workload, off)])
    // Connections, caches and compiled code.
    await pair()
    const ratios: number[] = []
    for (let count = 0; count < Number(values.pairs); count++) {
      const [counting, plain] = await pair()
      ratios.push(counting / plain)
    }
    return ratios
  } finally {
    clearInterval(scrapes)
    await on.stop()
    await off.stop()
  }
}

/** CPU time of the pooler in microseconds per transaction. */
async function run(workload: Workload, { address, pid }: PoolerProcess): Promise<number> {
  const rate = Math.ceil(Number(values.rate) / (workload.kind === 'tpcb' ? TPCB_STATEMENTS : 1))
  const before = exactCpuMicros(pid)
  const { transactions } = await pgbench({ address, workload, seconds, scale: SCALE }, rate)
  const after = exactCpuMicros(pid)
  if (before === null || after === null) throw new Error('CPU time is read from /proc, which is missing here')
  return (after - before) / transactions
}

async function scrape(http: string): Promise<void> {
  const response = await fetch(`http://${http}/metrics`)
  if (!response.ok) throw new Error(`a scrape was answered with ${response.status}`)
  await response.arrayBuffer()
}

function percent(ratio: number): string {
  const change = (ratio - 1) * 100
  return `${change < 0 ? '' : '+'}${change.toFixed(1)} %`
}

await main()
// The eviction timers of the pools in memory would keep the process alive.
process.exit()
