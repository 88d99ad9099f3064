import { PoolerError, SqlState } from '../errors.ts'
import type { BudgetMember, ConnectionBudget } from './connection-budget.ts'

/** The numbers of a pool that clients wait for. */
export interface WaitingPool extends BudgetMember {
  readonly size: number
  readonly activeCount: number
  readonly waiting: number
  readonly paused: boolean
  readonly policy: BudgetMember['policy'] & { readonly size: number }
  /** Null without `pool_size = "auto"`. */
  readonly autoSize: { readonly limit: number; readonly level: number } | null
}

/**
 * What clients are told that have waited for longer than query_wait_timeout, with the limit that was in the way and
 * the numbers: 53300 where all servers were in use, 57P03 where there were none to use. `refused` have left the queue
 * already.
 */
export function waitTimeoutError(
  pool: WaitingPool,
  budget: ConnectionBudget,
  failure: PoolerError | null,
  refused: number,
): PoolerError {
  const { database, user, size, activeCount, waiting } = pool
  const error = (sqlState: SqlState, detail: string): PoolerError =>
    new PoolerError(sqlState, 'query_wait_timeout', { detail, cause: failure })
  if (pool.paused) return error(SqlState.CannotConnectNow, `The pool ${database}/${user} is paused.`)
  if (failure !== null && size === 0)
    return error(SqlState.CannotConnectNow, `There is no connection to the server: ${failure.message}`)
  return error(
    SqlState.TooManyConnections,
    `${activeCount} of ${size} server connections of the pool ${database}/${user} are in use ` +
      `(${limitOf(pool, budget)}), and ${waiting + refused} clients have been waiting.`,
  )
}

/** Which limit keeps the pool from having more connections. */
function limitOf(pool: WaitingPool, budget: ConnectionBudget): string {
  const { database, user, policy, autoSize, activeCount } = pool
  // A trial has more or fewer for moments.
  if (autoSize !== null && autoSize.level < policy.size && activeCount >= autoSize.limit)
    return `pool_size auto, at present ${autoSize.level} of ${policy.size}`
  const shared = pool.size < policy.size ? budget.exhausted(pool) : null
  if (shared === null) return `pool_size ${policy.size}`
  const taken = `of which ${budget.taken(pool, shared)} are taken`
  return shared === 'max_db_connections'
    ? `max_db_connections ${policy.maxDatabaseConnections} of database ${database}, ${taken}`
    : `max_user_connections ${policy.maxUserConnections} of user ${user}, ${taken}`
}
