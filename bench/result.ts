import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * What a benchmark leaves behind: one JSON file per run in bench/results, raw numbers and everything that is
 * needed to read them. Ratios and medians are computed by the report, never stored.
 */

/**
 * "bun" is the pooler under Bun, "pooler" the one under Node.js. In rows about a feature "on" is the pooler (under
 * Node.js) with that setting, "off" the one without any of them.
 */
export type TargetName = 'direct' | 'pooler' | 'bun' | 'off' | 'on' | 'pgbouncer'

/** One measurement. Without an error all that was measured; with one, nothing but that. */
export interface Run {
  /** Transactions or bytes per second, see the row's unit. */
  readonly rate?: number
  readonly transactions?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  /** CPU time of the pooler's process per transaction; absent for direct, and where there is no /proc. */
  readonly userMicros?: number
  readonly systemMicros?: number
  readonly error?: string
}

export interface Row {
  readonly id: string
  readonly title: string
  readonly clients: number
  /** The setting whose effect it shows. */
  readonly feature?: string | undefined
  readonly unit: 'transactions' | 'bytes'
  readonly generator: 'pgbench' | 'own'
  /** Runs in the order in which they were made: the n-th of each target belong together. */
  readonly runs: { readonly [target in TargetName]?: readonly Run[] }
}

export interface Memory {
  /** Bytes of resident memory after the start and one login. */
  readonly bareBytes: number
  readonly idleClients: number
  /** What each of them added. */
  readonly bytesPerIdleClient: number
}

/** The machine and the programs. */
export interface Stamp {
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly postgres: string
  readonly pooler: string
  readonly pgbench: string | null
  readonly pgbouncer: string | null
  /** Absent in results of before it was measured. */
  readonly bun?: string | null
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly system: string
  /** Load average of one minute before the first measurement. */
  readonly loadBefore: number
}

export interface BenchResult {
  readonly stamp: Stamp
  readonly seconds: number
  readonly pairs: number
  readonly quick: boolean
  readonly poolSize: number
  readonly scale: number
  readonly rows: readonly Row[]
  readonly memory: { readonly [target in TargetName]?: Memory }
  /** What was left out and why. */
  readonly notes: readonly string[]
}

const RESULTS_FOLDER = fileURLToPath(new URL('results', import.meta.url))

/** Writes the result to a file named after its date and commit; returns the path. */
export async function writeResult(result: BenchResult, folder = RESULTS_FOLDER): Promise<string> {
  const { date, commit } = result.stamp
  const name = `${date.slice(0, 19).replaceAll(':', '')}Z-${commit}${result.quick ? '-quick' : ''}.json`
  await mkdir(folder, { recursive: true })
  const path = join(folder, name)
  await writeFile(path, `${JSON.stringify(result, null, 2)}\n`)
  return path
}

/** The newest result; a complete one is preferred over newer quick ones. Null if there is none. */
export async function newestResult(folder = RESULTS_FOLDER): Promise<BenchResult | null> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json')).sort()
  const name = names.filter((candidate) => !candidate.endsWith('-quick.json')).at(-1) ?? names.at(-1)
  return name === undefined ? null : (JSON.parse(await readFile(join(folder, name), 'utf8')) as BenchResult)
}
