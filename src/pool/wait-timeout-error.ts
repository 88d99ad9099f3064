import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { WaitQueue } from './wait-queue.ts'

/** The numbers of a pool that clients wait for. */
export interface WaitingPool {
  readonly database: string
  readonly user: string
  readonly size: number
  readonly activeCount: number
  readonly waiting: number
  readonly paused: boolean
  readonly policy: { readonly size: number; readonly waitTimeoutMs: number }
}

/** Refuses those that have waited for longer than query_wait_timeout. `failure`: why the pool has no servers. */
export function refuseLate(
  pool: WaitingPool,
  waiters: WaitQueue,
  failure: PoolerError | null,
  nowMs: number,
  log: Logger,
): void {
  const { database, user, policy } = pool
  const late = policy.waitTimeoutMs === 0 ? [] : waiters.shiftOlderThan(nowMs - policy.waitTimeoutMs)
  if (late.length === 0) return
  const error = waitTimeoutError(pool, failure, late.length)
  log.warn({ pool: `${database}/${user}`, reason: error.message, refused: late.length }, error.detail)
  for (const lessee of late) lessee.onLeaseRefused(error)
}

/**
 * What clients are told that have waited for longer than query_wait_timeout, with the numbers: 53300 where all
 * servers were in use, 57P03 where there were none to use. `refused` have left the queue already.
 */
function waitTimeoutError(pool: WaitingPool, failure: PoolerError | null, refused: number): PoolerError {
  const { database, user, size, activeCount, waiting, policy } = pool
  const error = (sqlState: SqlState, detail: string): PoolerError =>
    new PoolerError(sqlState, 'query_wait_timeout', { detail, cause: failure })
  if (pool.paused) return error(SqlState.CannotConnectNow, `The pool ${database}/${user} is paused.`)
  if (failure !== null && size === 0)
    return error(SqlState.CannotConnectNow, `There is no connection to the server: ${failure.message}`)
  return error(
    SqlState.TooManyConnections,
    `${activeCount} of ${size} server connections of the pool ${database}/${user} are in use ` +
      `(pool_size ${policy.size}), and ${waiting + refused} clients have been waiting.`,
  )
}
