import { PoolerError, SqlState } from '../errors.ts'
import { encodeNotice } from '../protocol/error-response.ts'
import { failClient } from './departure.ts'
import { type Session, SessionPhase } from './session.ts'

/** PgBouncer's words, which people look for in logs. */
const QUEUED = encodeNotice({
  severity: 'NOTICE',
  sqlState: SqlState.SuccessfulCompletion,
  message: 'No server connection available in postgres backend, client being queued',
})

/**
 * The timeouts of one client, kept by the janitor's tick: query_timeout, transaction_timeout,
 * idle_transaction_timeout, client_idle_timeout, and the notice of query_wait_notify. Whoever is closed gets
 * PostgreSQL's SQLSTATE for it under PgBouncer's text.
 */
export function checkTimeouts(session: Session, nowMs: number): void {
  if (session.phase !== SessionPhase.Active || session.leavingSinceMs > 0) return
  const { limits, requestSinceMs, transactionSinceMs, answeredAtMs, waiting } = session
  const isOver = (timeoutMs: number, sinceMs: number): boolean =>
    timeoutMs > 0 && sinceMs > 0 && nowMs - sinceMs > timeoutMs
  const fail = (sqlState: SqlState, message: string, setting: string): void =>
    failClient(session, new PoolerError(sqlState, message, { detail: `The limit is set by ${setting}.` }))

  if (waiting && !session.notified && isOver(limits.waitNotifyMs, requestSinceMs)) {
    session.notified = true
    session.client.send(QUEUED)
  }
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
