/**
 * createLogger: the root logger of the process, a pino logger. The composition root makes one and hands it, or children
 * of it, to whoever logs: an event has a message and fields, and is written as a line of JSON or of PgBouncer's format.
 * Which events are written, how, and where to, can change while the process runs.
 */
import { openSync } from 'node:fs'
import type { LevelWithSilent, Logger } from 'pino'
import { pino } from 'pino'
import { PoolerError, SqlState } from './errors.ts'
import { LevelNumber, logEvent } from './log/log-events.ts'
import { LogOutput } from './log/log-output.ts'
import type { LogLevel, LogSettings } from './log/log-settings.ts'
import { PgbouncerLine } from './log/pgbouncer-line.ts'

export type { Logger }

export interface LoggerOptions {
  /** The least important level that is written. */
  readonly level: LogLevel
  /** The file descriptor to write to; where it is not given, standard output for JSON, else standard error. */
  readonly fd?: number
  /** True where only the logfile is written to. */
  readonly quiet?: boolean
  /** At least as much is logged as the setting `verbose` of this value says. */
  readonly verbose?: number
}

export interface RootLogger {
  readonly log: Logger
  /**
   * Logs as these settings say from now on. The logfile is opened anew, so that another one can have taken its name.
   * Throws PoolerError F0000 if it cannot be opened; then nothing has changed.
   */
  configure(settings: LogSettings): void
  /** Resolves when every line logged before the call is written, or cannot be. Never rejects. */
  flush(): Promise<void>
}

const StandardOutput = 1
const StandardError = 2
/** The owner writes it, the group (adm, where it is Debian's) may read it. */
const LogfileMode = 0o640
const SecretKeys: ReadonlySet<string> = new Set([
  'password',
  'passwd',
  'secret',
  'clientKey',
  'serverKey',
  'storedKey',
  'saltedPassword',
])
const Redacted = '[redacted]'
/** As deep as secrets are looked for in what is logged. */
const RedactedDepth = 3

/** Makes the root logger, which writes JSON until it is told otherwise, with secrets replaced by "[redacted]". */
export function createLogger(options: LoggerOptions): RootLogger {
  const logger = new ConfigurableLogger(options)
  return {
    log: logger.log,
    configure: (settings) => logger.configure(settings),
    flush: () => logger.flush(),
  }
}

/**
 * A logger of the surrounding program's own, of which only the level is ours to change: to the configured one, where that
 * is another one than `level`. A RootLogger is returned as it is.
 */
export function asRootLogger(logger: Logger | RootLogger, level: LogLevel): RootLogger {
  if ('configure' in logger) return logger
  let before = level
  return {
    log: logger,
    configure({ log_level, log_format, logfile }) {
      if (logfile !== undefined || log_format !== 'json') {
        const message =
          'logfile and log_format have no effect where the program brings its own logger; remove them'
        throw new PoolerError(SqlState.ConfigurationError, message)
      }
      if (log_level !== before) logger.level = log_level
      before = log_level
    },
    flush: () => Promise.resolve(),
  }
}

class ConfigurableLogger {
  readonly log: Logger
  readonly #options: LoggerOptions
  readonly #lines = new PgbouncerLine()
  #settings: LogSettings
  /** The least important level that is written, as pino numbers them. */
  #threshold: number
  /** Standard output or standard error; null where neither is written to. */
  #console: LogOutput | null
  #file: LogOutput | null = null

  constructor(options: LoggerOptions) {
    this.#options = options
    this.#settings = {
      log_format: 'json',
      log_level: options.level,
      verbose: 0,
      log_connections: true,
      log_disconnections: true,
      log_pooler_errors: true,
      logfile: undefined,
      listen_port: 0,
    }
    this.#threshold = this.#thresholdOf(this.#settings)
    this.#console = this.#consoleOf('json')
    const isWritten = (level: number, message: unknown): boolean => this.#isWritten(level, message)
    this.log = pino(
      {
        level: this.#levelOf(this.#settings),
        timestamp: pino.stdTimeFunctions.isoTime,
        // pino's own is quick for names without wildcards only, which take longer than the rest of the line.
        redact: { paths: [...SecretKeys], censor: Redacted },
        formatters: { log: (object) => withoutSecrets(object) },
        serializers: { err: withoutResponse },
        hooks: {
          // Before anything is put into words: what is not written costs no more than this.
          logMethod(parameters, method, level) {
            const [first, second] = parameters as unknown[]
            if (isWritten(level, typeof first === 'string' ? first : second)) method.apply(this, parameters)
          },
        },
      },
      { write: (line) => this.#write(line) },
    )
  }

  configure(settings: LogSettings): void {
    const { logfile } = settings
    const file = logfile === undefined ? null : openLogfile(logfile)
    const closed = [this.#file]
    this.#file = file
    if (settings.log_format !== this.#settings.log_format && this.#options.fd === undefined) {
      closed.push(this.#console)
      this.#console = this.#consoleOf(settings.log_format)
    }
    this.#settings = settings
    this.#threshold = this.#thresholdOf(settings)
    this.log.level = this.#levelOf(settings)
    for (const output of closed) void output?.close()
  }

  async flush(): Promise<void> {
    await Promise.all([this.#console?.flush(), this.#file?.flush()])
  }

  #consoleOf(format: LogSettings['log_format']): LogOutput | null {
    const { fd = format === 'json' ? StandardOutput : StandardError, quiet } = this.#options
    return quiet ? null : new LogOutput(fd)
  }

  #thresholdOf({ log_level, verbose }: LogSettings): number {
    const asked = Math.max(verbose, this.#options.verbose ?? 0)
    const level = log_level === 'silent' ? Number.POSITIVE_INFINITY : LevelNumber[log_level]
    if (asked === 0) return level
    return Math.min(level, asked === 1 ? LevelNumber.debug : LevelNumber.trace)
  }

  /** What pino lets pass: for PgBouncer some events are more important than for JSON, which #isWritten() knows. */
  #levelOf(settings: LogSettings): LevelWithSilent {
    const threshold = this.#thresholdOf(settings)
    if (threshold === Number.POSITIVE_INFINITY) return 'silent'
    if (settings.log_format === 'pgbouncer' && threshold > LevelNumber.debug) return 'debug'
    return pino.levels.labels[threshold] as LevelWithSilent
  }

  #isWritten(level: number, message: unknown): boolean {
    const event = logEvent(message)
    if (event === undefined) return level >= this.#threshold
    if (event.switch !== undefined && !this.#settings[event.switch]) return false
    if (this.#settings.log_format === 'json') return level >= this.#threshold
    return event.text !== undefined && (event.level ?? level) >= this.#threshold
  }

  #write(json: string): void {
    const { log_format, listen_port } = this.#settings
    const line = log_format === 'json' ? json : this.#lines.format(JSON.parse(json), listen_port)
    if (line === '') return
    this.#console?.write(line)
    this.#file?.write(line)
  }
}

function openLogfile(path: string): LogOutput {
  try {
    return new LogOutput(openSync(path, 'a', LogfileMode))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const message = `logfile: cannot write to ${path} (${code ?? String(error)})`
    throw new PoolerError(SqlState.ConfigurationError, message, { cause: error })
  }
}

/** A PoolerError may carry a whole ErrorResponse of the server; its bytes are noise in a log. */
function withoutResponse(error: Error): object {
  return withoutSecrets({ ...pino.stdSerializers.err(error), response: undefined })
}

/** The same object, or a copy where something had to be replaced. Errors are their serializer's business. */
function withoutSecrets(object: object, depth = RedactedDepth): Record<string, unknown> {
  const entries = object as Record<string, unknown>
  let copy: Record<string, unknown> | undefined
  for (const key in entries) {
    const value = entries[key]
    let shown = value
    if (SecretKeys.has(key)) shown = Redacted
    else if (depth > 1 && typeof value === 'object' && value !== null && !(value instanceof Error)) {
      shown = withoutSecrets(value, depth - 1)
    }
    if (shown === value) continue
    copy ??= { ...entries }
    copy[key] = shown
  }
  return copy ?? entries
}
