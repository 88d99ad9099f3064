/**
 * SessionLimits: how long the clients of one user may do something, or nothing. A reload replaces it in a
 * living session. Settings of the same names; precedence as in PgBouncer: the user's, else that of [pooler].
 */
import type { Config } from './config.ts'

/** In milliseconds; 0 = without limit. */
export interface SessionLimits {
  readonly queryTimeoutMs: number
  readonly idleTransactionTimeoutMs: number
  readonly transactionTimeoutMs: number
  readonly clientIdleTimeoutMs: number
  /** After so long in the queue a client is told that it is there. */
  readonly waitNotifyMs: number
}

/** `user` is who the client logged in as. */
export function sessionLimits({ pooler, users }: Config, user: string): SessionLimits {
  const own = users.get(user)
  return Object.freeze({
    queryTimeoutMs: own?.query_timeout ?? pooler.query_timeout,
    idleTransactionTimeoutMs: own?.idle_transaction_timeout ?? pooler.idle_transaction_timeout,
    transactionTimeoutMs: own?.transaction_timeout ?? pooler.transaction_timeout,
    clientIdleTimeoutMs: own?.client_idle_timeout ?? pooler.client_idle_timeout,
    waitNotifyMs: pooler.query_wait_notify,
  })
}
