/**
 * PoolPolicy: everything that is configured about the pool of one database and user, with the precedence of
 * sections applied. A reload replaces it in a living pool.
 */
import type { Config, DatabaseConfig, PoolerSettings, PoolMode } from './config.ts'

/** Times in milliseconds; a number of connections may be Infinity. */
export interface PoolPolicy {
  readonly mode: PoolMode
  /** pool_size; with "auto" default_pool_size. */
  readonly size: number
  /** "auto": how many of them are used at once is found by measuring. */
  readonly autoSize: boolean
  /** min_pool_size, never above `size`. */
  readonly minSize: number
  readonly reserveSize: number
  readonly reserveTimeoutMs: number
  /** max_db_connections and max_user_connections, which other pools share. */
  readonly maxDatabaseConnections: number
  readonly maxUserConnections: number
  readonly maxConnecting: number
  readonly roundRobin: boolean
  readonly prepareUnnamed: boolean
  readonly lazyBegin: boolean
  /** query_wait_timeout; 0 = for ever. */
  readonly waitTimeoutMs: number
  /** server_lifetime; 0 = one lease. */
  readonly lifetimeMs: number
  /** server_idle_timeout; 0 = never. */
  readonly idleTimeoutMs: number
  /** server_login_retry: the longest pause after a failed connect or login. */
  readonly retryMs: number
  readonly checkDelayMs: number
  /** server_check_query as it is sent; undefined = no check. */
  readonly checkQuery: string | undefined
  /** server_connect_timeout, which bounds a check as well; 0 = none. */
  readonly connectTimeoutMs: number
}

const EMPTY_QUERY = '<empty>'

/** `user` is the pool's: the one that the pooler logs in as at the server. */
export function poolPolicy(config: Config, database: DatabaseConfig, user: string): PoolPolicy {
  const { pooler } = config
  const own = config.users.get(user)
  const mode = own?.pool_mode ?? database.pool_mode ?? pooler.pool_mode
  const wanted = own?.pool_size ?? database.pool_size ?? pooler.default_pool_size
  const size = unlimited(poolSize(wanted, pooler))
  const checkQuery = pooler.server_check_query === EMPTY_QUERY ? '' : pooler.server_check_query
  return Object.freeze({
    mode,
    size,
    autoSize: wanted === 'auto' && mode !== 'session' && Number.isFinite(size),
    minSize: Math.min(size, database.min_pool_size ?? pooler.min_pool_size),
    reserveSize: own?.reserve_pool_size ?? database.reserve_pool_size ?? pooler.reserve_pool_size,
    reserveTimeoutMs: pooler.reserve_pool_timeout,
    maxDatabaseConnections: unlimited(database.max_db_connections ?? pooler.max_db_connections),
    maxUserConnections: unlimited(own?.max_user_connections ?? pooler.max_user_connections),
    maxConnecting: pooler.max_connecting,
    roundRobin: pooler.server_round_robin,
    prepareUnnamed: own?.prepare_unnamed ?? database.prepare_unnamed ?? pooler.prepare_unnamed,
    lazyBegin: own?.lazy_begin ?? database.lazy_begin ?? pooler.lazy_begin,
    waitTimeoutMs: own?.query_wait_timeout ?? database.query_wait_timeout ?? pooler.query_wait_timeout,
    lifetimeMs: database.server_lifetime ?? pooler.server_lifetime,
    idleTimeoutMs: pooler.server_idle_timeout,
    retryMs: pooler.server_login_retry,
    checkDelayMs: pooler.server_check_delay,
    checkQuery: pooler.server_check_query === '' ? undefined : checkQuery,
    connectTimeoutMs: pooler.server_connect_timeout,
  })
}

/** The limit that a pool_size means; 0 = none. */
export function poolSize(
  written: number | 'auto' | undefined,
  { default_pool_size }: PoolerSettings,
): number {
  return written === undefined || written === 'auto' ? default_pool_size : written
}

/** A configured 0 means that there is no limit. */
export function unlimited(limit: number): number {
  return limit === 0 ? Number.POSITIVE_INFINITY : limit
}
