import type { Statement } from '../prepared/statement.ts'
import type { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import { Verdict } from '../protocol/framer.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { changeUnnamed } from './change-unnamed.ts'
import { ensureOnServer, sendParse, startRecording } from './server-preparation.ts'
import type { Session } from './session.ts'

/**
 * prepare_unnamed: unnamed statements whose text has been seen before, carried out by one that is prepared on
 * the server. Its plan may be outdated, which the client must not see: it is used only in a batch that can
 * still be repeated with the client's own Parse, and from then on to the end of that batch. Everywhere else (in a
 * transaction block, behind an Execute, behind another batch) the client's unnamed statement is what the server has, as
 * without this.
 */

/** True where messages of this client may be carried out by prepared statements at all. */
export function promotes(session: Session, server: ServerConnection): boolean {
  return session.pool.policy.prepareUnnamed && session.statements !== null && server.statements !== null
}

/** The Parse of `unnamed`, if it can be done by its promoted statement; false = it has to be sent. */
export function parsePromoted(
  session: Session,
  server: ServerConnection,
  unnamed: UnnamedStatement,
  total: number,
): boolean {
  const { promoted } = unnamed
  if (promoted === null || !isRepeatable(session, server, total)) return false
  const book = session.context.registry.promoted
  if (!book.isUsable(promoted, session.requestSinceMs)) return false
  const { statement } = promoted
  const { tracker, statements } = server
  if (statements === null || statements.isUnsettled(statement, tracker.batch)) return false
  const had = statements.find(statement)
  if (had?.epoch === statement.epoch) {
    book.reuses += 1
    // Answered with the first reply behind it: an error there belongs to this Parse, maybe.
    changeUnnamed(session, server, tracker.push(Reply.Parse, ReplyAction.Synthesise), unnamed)
  } else {
    if (had !== undefined) book.replans += 1
    changeUnnamed(session, server, sendParse(server, statement, ReplyAction.Forward, null), unnamed)
  }
  // What the server has without a name is another one.
  server.unnamed = null
  return true
}

/**
 * Bind or Describe of the unnamed statement, under the name of the promoted one; null = by the unnamed
 * statement itself.
 */
export function usePromoted(
  session: Session,
  server: ServerConnection,
  reply: typeof Reply.Bind | typeof Reply.Describe,
  total: number,
  buffer: Buffer,
  start: number,
  nameStart: number,
  end: number,
): Verdict | null {
  const again = usedInThisBatch(session, server)
  const statement = again ?? promotedStatement(session, server, total)
  if (statement === null || end - start !== total) return null
  if (again === null && !ensureOnServer(server, statement)) return null
  const { recorder } = session
  recorder.atRisk = true
  session.promotedUsed = statement
  session.promotedBatch = server.tracker.batch
  const entry = server.tracker.push(reply, ReplyAction.Forward)
  entry.effect = Effect.Use
  entry.statement = statement
  server.send(
    session.context.rewriter.rename(statement.nameBytes, total, buffer, start, nameStart, nameStart, end),
  )
  return Verdict.Replace
}

/**
 * The promoted statement, if this batch has used it and the server still has it: it holds to the end of the batch. A
 * Parse in the middle would let what comes behind it see what a suspended portal before it has changed.
 */
function usedInThisBatch(session: Session, server: ServerConnection): Statement | null {
  const { unnamed, promotedUsed } = session
  if (promotedUsed === null || unnamed === null || unnamed.promoted?.statement !== promotedUsed) return null
  if (session.promotedBatch !== server.tracker.batch || session.discards > 0 || server.unnamed === unnamed)
    return null
  return server.statements?.find(promotedUsed) === undefined ? null : promotedUsed
}

function promotedStatement(session: Session, server: ServerConnection, total: number): Statement | null {
  const { unnamed, recorder } = session
  if (unnamed === null || !promotes(session, server)) return null
  const { promoted } = unnamed
  // With the client's own on the server there is nothing to gain.
  if (promoted === null || server.unnamed === unnamed) return null
  if (!isRepeatable(session, server, total)) return null
  if (!session.context.registry.promoted.isUsable(promoted, session.requestSinceMs)) return null
  // Told the columns in an earlier batch, the client would not hear of others.
  return session.unnamedDescribed && !recorder.describes ? null : promoted.statement
}

/** The batch began outside a transaction and none of it has been executed or answered. */
function isRepeatable(session: Session, server: ServerConnection, total: number): boolean {
  const { recorder } = session
  const { tracker } = server
  if (session.source !== session.client.framer || session.discards > 0) return false
  if (server.transactionStatus !== TransactionStatus.Idle || (server.residue & Residue.Settings) !== 0)
    return false
  if (session.executedBatch === tracker.batch && tracker.batchOpen) return false
  startRecording(session, server)
  return recorder.recording && !recorder.complete && !recorder.replied && recorder.fits(total)
}
