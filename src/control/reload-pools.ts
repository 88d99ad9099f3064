import { type Config, findDatabase } from '../config/config.ts'
import { poolPolicy } from '../config/pool-policy.ts'
import { needsOtherServers } from '../config/reload.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import type { ServerPool } from '../pool/server-pool.ts'

/**
 * Puts a new configuration into effect in the pools that exist. Limits and times change at once; another server or
 * database is for connections from now on, and the old ones go as they are released; where a client cannot go on
 * with its pool it is disconnected once it is in no transaction. Pools of databases that did not change notice nothing.
 */
export function reloadPools(pools: PoolDirectory, before: Config, after: Config): void {
  for (const pool of pools.of(undefined)) reloadPool(pools, pool, before, after)
}

function reloadPool(pools: PoolDirectory, pool: ServerPool, before: Config, after: Config): void {
  const was = findDatabase(before, pool.database)
  const is = findDatabase(after, pool.database)
  if (is === undefined) {
    end(pools, pool, 'database removed')
    return
  }
  // Whose server it is decides which pool a client belongs to.
  if (was?.user !== is.user) {
    end(pools, pool, 'database configuration changed')
    return
  }
  const policy = poolPolicy(after, is, pool.user)
  const tracking = (config: Config): boolean => config.pooler.max_prepared_statements > 0
  if (policy.mode !== pool.policy.mode || tracking(before) !== tracking(after)) {
    // Clients that are there keep what they began with.
    pools.retire(pool)
    return
  }
  pool.configure(policy)
  if (was === undefined || needsOtherServers(was, is) || tlsOf(before, was) !== tlsOf(after, is))
    pool.renew('database configuration changed')
}

function end(pools: PoolDirectory, pool: ServerPool, message: string): void {
  pools.retire(pool)
  pool.clients.ending = new PoolerError(SqlState.AdminShutdown, message, {
    detail: `The configuration of database "${pool.database}" has changed.`,
    hint: 'Connect again.',
  })
}

/** The TLS settings of a database's servers, as a text to be compared. */
function tlsOf(config: Config, database: object): string {
  const names = Object.keys(config.pooler).filter((name) => name.startsWith('server_tls_'))
  const own = database as Record<string, unknown>
  const general = config.pooler as unknown as Record<string, unknown>
  return JSON.stringify(names.map((name) => own[name] ?? general[name] ?? null))
}
