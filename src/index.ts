import { buildConfig, type ConfigInput } from './config/config.ts'
import { ConfigError } from './config/config-error.ts'
import { asRootLogger, createLogger, type Logger } from './log.ts'
import { Pooler } from './pooler.ts'

export interface CreatePoolerOptions {
  /** Where log lines go; by default where the settings say: JSON lines on standard output at the configured log_level. */
  readonly log?: Logger
}

/** Settings that are carried out by the command `pooler`. */
const OF_THE_PROCESS = ['pidfile', 'user'] as const

/**
 * A pooler inside another Node program. `configuration` has the shape of pooler.toml: the sections `pooler`,
 * `databases` and `users` with the same names and values. Throws a ConfigError that lists every problem, or a PoolerError
 * F0000 if the logfile cannot be written to.
 *
 *     const pooler = createPooler({ databases: { app: { host: '127.0.0.1' } }, users: { app: { password: '...' } } })
 *     await pooler.start()
 *     await pooler.reload({ databases: { app: { host: '127.0.0.2' } } })
 *     await pooler.shutdown('wait_for_servers')
 */
export function createPooler(configuration: ConfigInput, options: CreatePoolerOptions = {}): Pooler {
  const config = buildConfig(configuration)
  const problems = OF_THE_PROCESS.filter((name) => config.pooler[name] !== undefined).map((name) => ({
    file: 'configuration',
    key: `pooler.${name}`,
    message: 'has no effect in a pooler inside another program, which has its own; remove it',
  }))
  if (problems.length > 0) throw new ConfigError(problems)
  const level = config.pooler.log_level
  const logger = options.log === undefined ? createLogger({ level }) : asRootLogger(options.log, level)
  logger.configure(config.pooler)
  return new Pooler(config, logger)
}

export type { ConfigInput } from './config/config.ts'
export type { ReloadReport } from './config/reload.ts'
export type { PoolerControl, ShutdownMode } from './control/pooler-control.ts'
export type { PoolerStats, PoolStats } from './metrics/pooler-stats.ts'
export type { Pooler } from './pooler.ts'
