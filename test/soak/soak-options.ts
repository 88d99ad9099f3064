import { parseArgs } from 'node:util'

/** What `npm run soak -- ...` was asked for. */
export interface SoakOptions {
  readonly minutes: number
  readonly seed: number
}

export const usage = `Usage: npm run soak -- [options]

Random load through the pooler while PostgreSQL and the network before it fail in every way; every answer is checked.

Options:
      --minutes N   how long (default 10; parts of a minute are allowed)
      --seed N      the choices of an earlier run (default: new ones)
      --help        print this text and exit
`

/** Reads the parameters; null = the usage was asked for. Throws an Error with one sentence. */
export function readOptions(parameters: readonly string[]): SoakOptions | null {
  const { values } = parseArgs({
    args: [...parameters],
    strict: true,
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return null
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) throw new Error(`--minutes takes a number above 0, not "${values.minutes}"`)
  const seed = Number(values.seed)
  if (!Number.isInteger(seed)) throw new Error(`--seed takes a whole number, not "${values.seed}"`)
  return { minutes, seed }
}
