import { parseArgs } from 'node:util'

/**
 * What the operator asked for: the parameters of the command `pooler`, checked and typed. Called by cli.ts,
 * touches neither files nor the process. PgBouncer's own options are all known, and work or are refused.
 */

export type CommandLine =
  | { readonly command: 'help' }
  | { readonly command: 'version' }
  | {
      readonly command: 'import'
      /** Path of a configuration file of PgBouncer. */
      readonly configFile: string
    }
  | {
      readonly command: 'top'
      /** URL of a console, or path of a configuration file, if one was named. */
      readonly target: string | undefined
      /** One picture, and the end. */
      readonly once: boolean
    }
  | {
      readonly command: 'start' | 'check'
      /** Path of the configuration file, if one was named. */
      readonly configFile: string | undefined
      /** Port of the pooler and data folder, for a start with the embedded PostgreSQL. */
      readonly port: number | undefined
      readonly dataFolder: string | undefined
      /** How often -v was given: more is logged than configured, as the setting verbose says. */
      readonly verbose: number
      /** Nothing is logged to standard output or standard error, only to the logfile. */
      readonly quiet: boolean
      /** The account of the machine to become, instead of the configured one. */
      readonly user: string | undefined
    }

/** The parameters make no sense; the message is one sentence for the operator. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const usage = `Usage: pooler [options] [pooler.toml | pgbouncer.ini]
       pooler import pgbouncer.ini
       pooler top [--once] [postgres://user@host:port/pgbouncer | pooler.toml | pgbouncer.ini]

Starts the PostgreSQL connection pooler with this configuration file. Without one, ./pooler.toml is used if it
exists; if not, or with --port or --data, the pooler starts in front of a PostgreSQL of its own.
"pooler import" prints the pooler.toml that means the same as a configuration of PgBouncer.
"pooler top" shows pools, rates, waiters and errors of a running pooler, each second, through its console; the
password is in PGPASSWORD or in the URL.

Options:
      --check      validate the configuration file and the files that it names (rules, users, passwords,
                   certificates), print every problem, and exit with 0 or 1
      --once       with top: print one picture and exit
      --port N     without a configuration file: the port of the pooler on 127.0.0.1 (default 6432)
      --data DIR   without a configuration file: where PostgreSQL keeps its data (default ./.pooler)
  -u, --user NAME  started as root: become this user before anything is opened
  -q, --quiet      log to the logfile only, if there is one
  -v, --verbose    log more (log level "debug"); twice: still more ("trace")
  -V, --version    print the version and exit
  -h, --help       print this text and exit
`

const OPTIONS = {
  check: { type: 'boolean' },
  port: { type: 'string' },
  data: { type: 'string' },
  user: { type: 'string', short: 'u' },
  once: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  verbose: { type: 'boolean', short: 'v', multiple: true },
  version: { type: 'boolean', short: 'V' },
  help: { type: 'boolean', short: 'h' },
  daemon: { type: 'boolean', short: 'd' },
  reboot: { type: 'boolean', short: 'R' },
} as const

/** Options of PgBouncer that are not carried out, and what to do instead. */
const REFUSED = {
  daemon:
    '-d is not possible: the pooler stays in the foreground; let a service manager such as systemd run it ' +
    '(contrib/systemd/pooler.service), or start it with "nohup pooler ... &"',
  reboot:
    '-R is not possible: a running pooler cannot hand its connections over; SIGHUP reads the configuration again, and ' +
    'for another version stop it with SIGTERM and start the new one',
} as const

const HIGHEST_PORT = 65_535

/**
 * Reads the parameters that follow the program's name.
 * @throws UsageError
 */
export function parseCommandLine(parameters: readonly string[]): CommandLine {
  const { values, positionals } = parse(parameters)
  if (values.help) return { command: 'help' }
  if (values.version) return { command: 'version' }
  for (const name of ['daemon', 'reboot'] as const) if (values[name]) throw new UsageError(REFUSED[name])
  if (positionals[0] === 'import') return importOf(positionals.slice(1), Object.keys(values))
  if (positionals[0] === 'top') return topOf(positionals.slice(1), Object.keys(values))
  if (values.once) throw new UsageError('--once is for "pooler top"')
  const [configFile, ...more] = positionals
  if (more.length > 0) {
    throw new UsageError(
      `one configuration file is enough, but there are ${positionals.length}: ${positionals.join(' ')}`,
    )
  }
  const embeddedOption =
    values.port !== undefined ? '--port' : values.data !== undefined ? '--data' : undefined
  if (embeddedOption !== undefined && (configFile !== undefined || values.check)) {
    throw new UsageError(
      `${embeddedOption} is for a start without a configuration file; set listen_port and the databases in the file instead`,
    )
  }
  if (values.user === '') throw new UsageError('--user takes the name of an account of this machine')
  return {
    command: values.check ? 'check' : 'start',
    configFile,
    port: values.port === undefined ? undefined : portNumber(values.port),
    dataFolder: values.data,
    verbose: values.verbose?.length ?? 0,
    quiet: values.quiet ?? false,
    user: values.user,
  }
}

function importOf([configFile, ...more]: readonly string[], options: readonly string[]): CommandLine {
  if (configFile === undefined || more.length > 0 || options.length > 0) {
    throw new UsageError('"pooler import" takes one configuration file of PgBouncer and nothing else')
  }
  return { command: 'import', configFile }
}

function topOf([target, ...more]: readonly string[], options: readonly string[]): CommandLine {
  const once = options.includes('once')
  if (more.length > 0 || options.length > (once ? 1 : 0)) {
    throw new UsageError('"pooler top" takes --once, and the URL of a console or one configuration file')
  }
  return { command: 'top', target, once }
}

function parse(parameters: readonly string[]) {
  try {
    return parseArgs({ args: [...parameters], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    // Node's own sentences go on to explain how to quote; the first one says it all.
    const [sentence = ''] = (error as Error).message.split(/\. (?=[A-Z])|\n/)
    throw new UsageError(`${sentence.replace(/\.$/, '')}; "pooler --help" lists the options`)
  }
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port >= 1 && port <= HIGHEST_PORT) return port
  throw new UsageError(`--port takes a number from 1 to ${HIGHEST_PORT}, not "${text}"`)
}
