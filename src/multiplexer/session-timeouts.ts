import { PoolerError, SqlState } from '../errors.ts'
import { failClient } from './departure.ts'
import { QUEUED_NOTICE } from './queued-notice.ts'
import { type Session, SessionPhase } from './session.ts'

/**
 * The timeouts of one client, kept by the janitor's tick: query_timeout, transaction_timeout,
 * idle_transaction_timeout, client_idle_timeout, and the notice of query_wait_notify. Whoever is closed gets
 * PostgreSQL's SQLSTATE for it under PgBouncer's text.
 */
export function checkTimeouts(session: Session, nowMs: number): void {
  const { limits, phase, requestSinceMs, transactionSinceMs, answeredAtMs, waiting } = session
  if (phase > SessionPhase.Active || session.leavingSinceMs > 0) return
  const isOver = (timeoutMs: number, sinceMs: number): boolean =>
    timeoutMs > 0 && sinceMs > 0 && nowMs - sinceMs > timeoutMs
  const fail = (sqlState: SqlState, message: string, setting: string): void =>
    failClient(session, new PoolerError(sqlState, message, { detail: `The limit is set by ${setting}.` }))

  // Who is not welcomed yet has asked for a server by logging in.
  const waitsSinceMs = phase === SessionPhase.Welcome ? answeredAtMs : requestSinceMs
  if (waiting && !session.notified && isOver(limits.waitNotifyMs, waitsSinceMs)) {
    session.notified = true
    session.client.send(QUEUED_NOTICE)
  }
  if (phase === SessionPhase.Welcome) return
  if (isOver(limits.queryTimeoutMs, requestSinceMs)) {
    fail(SqlState.QueryCanceled, waiting ? 'query_timeout' : 'query timeout', 'query_timeout')
  } else if (isOver(limits.transactionTimeoutMs, transactionSinceMs)) {
    fail(SqlState.TransactionTimeout, 'transaction timeout', 'transaction_timeout')
  } else if (requestSinceMs === 0 && transactionSinceMs > 0) {
    if (isOver(limits.idleTransactionTimeoutMs, answeredAtMs))
      fail(SqlState.IdleInTransactionTimeout, 'idle transaction timeout', 'idle_transaction_timeout')
  } else if (requestSinceMs === 0 && isOver(limits.clientIdleTimeoutMs, answeredAtMs)) {
    fail(SqlState.IdleSessionTimeout, 'client_idle_timeout', 'client_idle_timeout')
  }
}
