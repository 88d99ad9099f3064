import { PoolerError, SqlState } from '../errors.ts'

/** The numbers of a pool that clients wait for. */
export interface WaitingPool {
  readonly database: string
  readonly user: string
  readonly size: number
  readonly activeCount: number
  readonly waiting: number
  readonly paused: boolean
  readonly policy: { readonly size: number }
}

/**
 * What clients are told that have waited for longer than query_wait_timeout, with the numbers: 53300 where all
 * servers were in use, 57P03 where there were none to use. `refused` have left the queue already.
 */
export function waitTimeoutError(
  pool: WaitingPool,
  failure: PoolerError | null,
  refused: number,
): PoolerError {
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
