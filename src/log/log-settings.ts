/** The settings that say what is logged, how, and where to: a part of [pooler], by the same names. */
export interface LogSettings {
  readonly log_format: 'json' | 'pgbouncer'
  readonly log_level: LogLevel
  /** As PgBouncer's -v counts: 1 also DEBUG, 2 and more also NOISE. */
  readonly verbose: number
  readonly log_connections: boolean
  readonly log_disconnections: boolean
  readonly log_pooler_errors: boolean
  /** Absolute path of a file that lines are appended to, beside standard output or standard error. */
  readonly logfile: string | undefined
  /** What stands for the port of a client on the unix socket. */
  readonly listen_port: number
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
