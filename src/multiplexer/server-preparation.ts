import { strict as assert } from 'node:assert'
import type { ClientStatement } from '../prepared/client-statements.ts'
import type { ServerStatement } from '../prepared/server-statements.ts'
import type { Statement } from '../prepared/statement.ts'
import { encodeCloseStatement, FLUSH } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, type OwedReply, Reply, ReplyAction } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { Session } from './session.ts'
import { emitSynthesised } from './settle.ts'

/**
 * Getting a registry statement onto a server ahead of the message that needs it, and waiting where an
 * earlier batch still decides what a name means.
 */

/** Keeps the message until the server has answered what it depends on. */
export function hold(session: Session, server: ServerConnection): Verdict {
  const { tracker } = server
  // In place of COPY data it is an error that ends the connection; the server answers nothing before it has one or the
  // other. Behind such a message the data has ended the COPY already, or that message will: there is an answer to wait for.
  if (tracker.copyIn && !tracker.copyEndSent && !tracker.sentInsteadOfCopyData) {
    server.usable = false
    return Verdict.Forward
  }
  session.heldForReply = true
  // In front of a reply of the server's they wait for that: an error there may belong to them.
  if (tracker.firstOfServer === null) emitSynthesised(session, server)
  // Inside a batch PostgreSQL keeps its replies back until it is asked for them; a Sync in front of a COPY's end ends none.
  if (tracker.batchOpen || tracker.copyEndSent) server.send(FLUSH)
  return Verdict.Hold
}

/** A message that needs `name` cannot be handled before an earlier batch has decided about that name. */
export function mustWait(
  session: Session,
  server: ServerConnection,
  name: ClientStatement | undefined,
): boolean {
  if (session.discards > 0) return true
  return name !== undefined && name.outstanding > 0 && name.batch !== server.tracker.batch
}

/** Makes sure that the server has the statement; false = that is being decided in an earlier batch. */
export function ensureOnServer(server: ServerConnection, statement: Statement): boolean {
  const { statements, tracker } = server
  if (statements === null) return true
  if (statements.isUnsettled(statement, tracker.batch)) return false
  if (statements.find(statement)?.epoch !== statement.epoch)
    sendParse(server, statement, ReplyAction.Skip, null)
  return true
}

/** Prepares the statement on the server, closing an outdated one and those that no longer fit. */
export function sendParse(
  server: ServerConnection,
  statement: Statement,
  action: typeof ReplyAction.Forward | typeof ReplyAction.Skip,
  name: ClientStatement | null,
): OwedReply {
  const { statements, tracker } = server
  assert(statements !== null)
  const outdated = statements.find(statement)
  if (outdated !== undefined) {
    statements.evict(outdated, tracker.batch)
    closeEvicted(server, outdated)
  }
  const added = statements.add(statement, tracker.batch)
  // The Close goes first, so that undoing both, newest first, finds room for the old one again.
  for (const one of statements.takeEvicted(tracker.batch)) closeEvicted(server, one)
  server.send(statement.parse)
  const entry = tracker.push(Reply.Parse, action)
  entry.effect = Effect.Prepare
  entry.onServer = added
  entry.name = name
  return entry
}

function closeEvicted(server: ServerConnection, evicted: ServerStatement): void {
  server.send(encodeCloseStatement(evicted.statement.name))
  const entry = server.tracker.push(Reply.Close, ReplyAction.Skip)
  entry.effect = Effect.Evict
  entry.onServer = evicted
}

/** A batch that begins here, outside a transaction, may have to be repeated. */
export function startRecording(session: Session, server: ServerConnection): void {
  const { tracker } = server
  const { head } = tracker
  const first = head === null || (tracker.length === 1 && head.effect === Effect.ApplyParameters)
  if (first && !tracker.batchOpen && server.transactionStatus === TransactionStatus.Idle)
    session.recorder.start()
}
