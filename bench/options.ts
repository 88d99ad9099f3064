import { parseArgs } from 'node:util'

/** What `npm run bench -- ...` was asked for. */
export interface BenchOptions {
  /** Length of one measurement. */
  readonly seconds: number
  /** How often each workload is measured at each target, in turns. */
  readonly pairs: number
  readonly quick: boolean
  /** Path of PgBouncer; without it, "pgbouncer" is looked for on the PATH. */
  readonly pgbouncer: string | undefined
  /** Names of workloads; empty = all. */
  readonly only: readonly string[]
  /** Where the result goes; bench/results unless given. */
  readonly output: string | undefined
}

export const usage = `Usage: npm run bench -- [options]

Measures PostgreSQL directly, through the pooler, and through PgBouncer where there is one.

Options:
      --quick            half of the workloads, one-second measurements in two pairs: under two minutes
      --seconds N        length of one measurement (default 5)
      --pairs N          how often each target is measured in turns (default 3)
      --only ID,ID       only these workloads (the names are printed as they run)
      --pgbouncer PATH   a PgBouncer that is not on the PATH
      --output FOLDER    where the result goes (default bench/results)
      --help             print this text and exit
`

/** Reads the parameters; null = the usage was asked for. Throws an Error with one sentence. */
export function readOptions(parameters: readonly string[]): BenchOptions | null {
  const { values } = parseArgs({
    args: [...parameters],
    strict: true,
    options: {
      quick: { type: 'boolean' },
      seconds: { type: 'string' },
      pairs: { type: 'string' },
      only: { type: 'string' },
      pgbouncer: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return null
  const quick = values.quick ?? false
  return {
    seconds: count('--seconds', values.seconds, quick ? 1 : 5),
    pairs: count('--pairs', values.pairs, quick ? 2 : 3),
    quick,
    pgbouncer: values.pgbouncer,
    only: values.only === undefined ? [] : values.only.split(',').map((name) => name.trim()),
    output: values.output,
  }
}

function count(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1) return value
  throw new Error(`${option} takes a whole number of 1 or more, not "${text}"`)
}
