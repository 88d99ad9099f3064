import { encodeQuery } from '../protocol/extended-query.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { READY_FAILED, READY_IDLE, READY_IN_TRANSACTION } from '../protocol/responses.ts'
import { encodeCommandComplete } from '../protocol/result-set.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { Begun, type Session } from './session.ts'
import { transactionTag } from './statement-text.ts'

/**
 * lazy_begin: a plain BEGIN of a client without a server is answered here, and sent to a server in the same write as
 * the statement behind it. A COMMIT or ROLLBACK right behind it is answered here, too.
 *
 *   client    BEGIN        SELECT ...            COMMIT
 *   pooler    | BEGIN, T   | lease               |
 *   server                 | BEGIN, SELECT ...   | COMMIT
 */

const BEGIN = encodeQuery('BEGIN')
/** There is no such savepoint, which is an error, which is what makes a transaction fail. */
const BEGIN_FAILED = encodeQuery('BEGIN;ROLLBACK TO SAVEPOINT canceled_while_waiting')

const READY = [READY_IDLE, READY_IN_TRANSACTION, READY_FAILED] as const

/** Answers the Query of a session that has no server, if that needs none; false = it does. */
export function answerWithoutServer(session: Session, buffer: Buffer, start: number, end: number): boolean {
  const { context, client, pool, begun } = session
  if (begun === Begun.No && (!pool.policy.lazyBegin || session.mode !== 'transaction')) return false
  const tag = transactionTag(buffer, start + HEADER_BYTES, end)
  if (tag === undefined) return false
  const begins = tag === 'BEGIN' || tag === 'START TRANSACTION'
  // A second BEGIN has a warning of PostgreSQL's own, and a COMMIT without a BEGIN another.
  if (begins !== (begun === Begun.No)) return false
  const nowMs = context.clock.nowMs()
  if (begins) {
    context.lazyBegins.begins += 1
    session.begun = Begun.Yes
    session.transactionSinceMs = nowMs
  } else {
    context.lazyBegins.empty += 1
    session.begun = Begun.No
    session.transactionSinceMs = 0
    pool.stats.transactions += 1
  }
  pool.stats.queries += 1
  session.answeredAtMs = nowMs
  // As any simple query does.
  session.unnamed = null
  client.send(encodeCommandComplete(begun === Begun.Failed ? 'ROLLBACK' : tag))
  client.send(readyWithoutServer(session))
  return true
}

/** ReadyForQuery of a session that has no server. */
export function readyWithoutServer(session: Session): Buffer {
  return READY[session.begun]
}

/** A session that has begun a transaction gets a server: brings it to where the client believes to be. */
export function beginOnServer(session: Session, server: ServerConnection): void {
  const failed = session.begun === Begun.Failed
  session.begun = Begun.No
  server.unnamed = null
  server.send(failed ? BEGIN_FAILED : BEGIN)
  server.tracker.push(Reply.Query, ReplyAction.Skip).effect = failed ? Effect.BeginFailed : Effect.Begin
  // What comes behind it is in the transaction, also while its reply is on the way.
  server.transactionStatus = failed ? TransactionStatus.Failed : TransactionStatus.InTransaction
}
