import { setTimeout as pause } from 'node:timers/promises'
import { Ledger } from '../support/ledger.ts'
import type { Measurement } from '../support/measured-pooler.ts'
import { DISTURBANCES } from './disturbances.ts'
import { Random } from './random.ts'
import { SoakClient } from './soak-client.ts'
import { readOptions, type SoakOptions, usage } from './soak-options.ts'
import { POOLS, SoakStage } from './soak-stage.ts'
import { Tally } from './tally.ts'

/**
 * `npm run soak`: random load while everything behind the pooler fails. Exit code 0 = every answer was right and
 * nothing is left over, 1 = not so, 2 = wrong parameters.
 */

const WARM_UP_MS = 5000
/** How long everything may take to come to rest when the load has ended. */
const REST_MS = 30_000
const MAX_HEAP_GROWTH_BYTES = 8 * 1024 * 1024
const REPORT_EVERY_MS = 30_000
const MIB = 1024 * 1024

const say = (line: string) => void process.stdout.write(`${line}\n`)

/** Load for so long; resolves when the last client has left. */
async function load(
  stage: SoakStage,
  ms: number,
  phase: string,
  { random, ledger, tally }: { random: Random; ledger: Ledger; tally: Tally },
  disturb: (goesOn: () => boolean) => Promise<void>,
): Promise<void> {
  const untilMs = Date.now() + ms
  const goesOn = () => Date.now() < untilMs && !stage.pooler.ended
  const { host, port } = stage.pooler
  const clients = POOLS.flatMap(({ database, clients: count }) =>
    Array.from({ length: count }, (_, index) => {
      const name = `${phase}.${database}.${index}`
      return new SoakClient({ name, address: { host, port }, database, random, ledger, tally })
    }),
  )
  await Promise.all([...clients.map((client) => client.run(goesOn)), disturb(goesOn)])
}

/** Waits until no client is left, then ends all servers; what remains then is a leak. */
async function rest(stage: SoakStage): Promise<Measurement> {
  const untilMs = Date.now() + REST_MS
  for (;;) {
    const found = await stage.pooler.measure()
    const { clients, pools } = found.stats
    const busy = pools.some(({ active, waiting, servers }) => active + waiting + servers > 0)
    const isAtRest = clients === 0 && !busy && statementsLeft(found) === 0 && found.sockets === 0
    if (isAtRest || Date.now() > untilMs) return found
    const leased = pools.some(({ active, waiting }) => active + waiting > 0)
    if (clients === 0 && !leased)
      await stage.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port > 0')
    await pause(200)
  }
}

/** Beside the texts of unnamed statements, which are kept for whoever sends them next. */
function statementsLeft({ stats }: Measurement): number {
  return stats.statements - stats.promotedStatements
}

function judgeRest(found: Measurement, baseline: Measurement, tally: Tally): void {
  const { stats, sockets, heapBytes } = found
  if (stats.clients > 0) tally.problem(`${stats.clients} clients are left`)
  if (statementsLeft(found) > 0) tally.problem(`${statementsLeft(found)} statements are left in the registry`)
  if (sockets > 0) tally.problem(`${sockets} sockets are left`)
  for (const pool of stats.pools) {
    if (pool.active + pool.waiting + pool.servers > 0) tally.problem(`not at rest: ${JSON.stringify(pool)}`)
  }
  const growth = heapBytes - baseline.heapBytes
  if (growth > MAX_HEAP_GROWTH_BYTES) tally.problem(`the heap has grown by ${(growth / MIB).toFixed(1)} MiB`)
}

function counts(title: string, counted: ReadonlyMap<string, number>): string {
  const lines = [...counted].sort(([, a], [, b]) => b - a).map(([name, count]) => `  ${count} ${name}`)
  return [`${title}:`, ...(lines.length === 0 ? ['  none'] : lines)].join('\n')
}

async function soak({ minutes, seed }: SoakOptions): Promise<number> {
  const random = new Random(seed)
  const ledger = new Ledger()
  const tally = new Tally()
  say(`soak for ${minutes} minutes with seed ${seed}`)
  const stage = await SoakStage.open()
  say(`the pooler is process ${stage.pooler.pid}, its log ${stage.logFile}`)
  const shared = { random, ledger, tally }

  await load(stage, WARM_UP_MS, 'warm', shared, async () => {})
  const baseline = await rest(stage)
  judgeRest(baseline, baseline, tally)

  const startMs = Date.now()
  const reporter = setInterval(() => {
    const rss = ((stage.pooler.memory()?.bytes ?? 0) / MIB).toFixed(0)
    const seconds = Math.round((Date.now() - startMs) / 1000)
    say(
      `${seconds} s: ${tally.done} done, ${tally.connections} connections, ${rss} MiB, ${tally.problemCount} problems`,
    )
  }, REPORT_EVERY_MS)
  await load(stage, minutes * 60_000, 'soak', shared, async (goesOn) => {
    while (goesOn()) {
      await pause(random.between(500, 3500))
      const disturbance = random.pick(DISTURBANCES)
      tally.count(tally.disturbances, disturbance.name)
      await disturbance.act(stage, random)
    }
  })
  clearInterval(reporter)
  await stage.proxy.heal()

  const memory = stage.pooler.memory()
  if (stage.pooler.ended) tally.problem('the pooler has ended by itself')
  else {
    const end = await rest(stage)
    judgeRest(end, baseline, tally)
    say(
      `heap: ${(baseline.heapBytes / MIB).toFixed(1)} MiB before, ${(end.heapBytes / MIB).toFixed(1)} MiB after`,
    )
  }
  const ids = (await stage.query('SELECT id FROM ledger')).map(({ id }) => id as number)
  for (const problem of ledger.problems(ids)) tally.problem(`ledger: ${problem}`)

  say(counts('done', tally.work))
  say(counts('disturbances', tally.disturbances))
  say(counts('connections lost', tally.losses))
  say(`ledger: ${ledger.sent} sent, ${ledger.acknowledged} acknowledged, ${ids.length} there`)
  say(
    `${tally.done} transactions, ${tally.connections} connections, longest ${Math.round(tally.longestWaitMs)} ms`,
  )
  if (memory !== undefined) say(`most resident memory: ${(memory.peakBytes / MIB).toFixed(0)} MiB`)
  await stage.close(tally.problemCount > 0)
  if (tally.problemCount === 0) {
    say('no wrong answer, nothing left over')
    return 0
  }
  say(`${tally.problemCount} PROBLEMS with seed ${seed} (logs in ${stage.folder}):`)
  for (const problem of tally.problems) say(`  ${problem}`)
  return 1
}

try {
  const options = readOptions(process.argv.slice(2))
  if (options === null) say(usage)
  else process.exitCode = await soak(options)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
  process.exitCode = 2
}
