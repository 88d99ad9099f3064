import { PoolerError, SqlState } from '../errors.ts'
import { type ErrorFields, readErrorFields } from '../protocol/error-response.ts'
import { SYNC } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, HEADER_BYTES } from '../protocol/message-type.ts'
import { Effect, endsBatch, type OwedReply, Reply, ReplyAction } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { DECOY_NAME } from './deallocate-decoy.ts'
import { sendSync } from './departure.ts'
import { type Session, SessionPhase } from './session.ts'
import { changeBack, emitSynthesised, undo } from './settle.ts'

/**
 * ErrorResponse of a leased server. In the extended protocol the server now skips everything up to the
 * Sync: the replies owed until there will not come, and what they would have changed is undone.
 * Source: PostgreSQL documentation, "Message Flow", "Extended Query".
 */
export function errorResponse(
  session: Session,
  server: ServerConnection,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { tracker } = server
  const fields = readErrorFields(buffer, start + HEADER_BYTES, end)
  session.pool.metrics?.errors.note(fields.sqlState ?? '')
  const fatal = fields.severity === 'FATAL' || fields.severity === 'PANIC'
  const repeatsPromoted = !fatal && canRepeatPromoted(session, server, fields)
  if (!repeatsPromoted && tracker.nextIsSynthesised) {
    server.framer.flushRun(start)
    emitSynthesised(session, server)
  }
  if (fatal) {
    // Nothing more will come, whatever is owed.
    server.usable = false
    tracker.clear((entry) => undo(session, server, entry))
    return forward(session, true)
  }
  const { head } = tracker
  if (head === null) return forward(session, false)
  if (repeatsPromoted) return repeatPromoted(session, server, fields)
  if (tracker.copyIn) endCopy(server)
  if (isInjectedQuery(head)) return injectedFailed(session, server, head, fields)
  if (endsBatch(head.reply)) return forward(session, false)

  // What the oldest entry says is needed after the entries are gone.
  const { effect, statement, name, isInjected } = head
  if (effect === Effect.Use && statement !== null) noteOutdated(session, server, statement, fields)
  const syncSent = tracker.discardToSync((entry) => undo(session, server, entry))
  // A Parse that fails destroys the unnamed statement all the same.
  if (head.changesUnnamed && (!isInjected || effect === Effect.ParseAgain))
    changeBack(session, server, head, null, false)
  if (!syncSent) {
    // Whatever was sent behind the failed message, a Query too, is skipped: the batch is still open.
    tracker.batchOpen = true
    if (session.phase === SessionPhase.Leaving) sendSync(server)
    else session.skipToSync = true
  }
  if (effect === Effect.Use && canRepeat(session, server, fields)) {
    const sync = tracker.at(0)
    sync.action = ReplyAction.Skip
    sync.effect = Effect.Repeat
    session.repeating = true
    return Verdict.Drop
  }
  const serverName = effect === Effect.Discard ? DECOY_NAME : (name?.statement ?? statement)?.name
  if (serverName !== undefined && end - start === total && fields.message?.includes(serverName)) {
    session.recorder.stop()
    server.framer.flushRun(start)
    session.client.send(withClientName(buffer.subarray(start, end), serverName, name?.name ?? ''))
    return Verdict.Drop
  }
  // An injected Parse fails in place of the Bind or Describe that needed it.
  return isInjected || session.phase !== SessionPhase.Welcome ? forward(session, false) : Verdict.Drop
}

function forward(session: Session, fatal: boolean): Verdict {
  session.recorder.stop()
  session.fatalSeen = fatal
  return Verdict.Forward
}

/**
 * The COPY has failed. Syncs that were sent during it were read as part of it, or not yet: which, cannot be
 * known, so the server is not used again after this batch. Any other message in a COPY makes PostgreSQL end
 * the connection, with a second error.
 */
function endCopy(server: ServerConnection): void {
  const { syncs, others } = server.tracker.endCopy()
  if (syncs > 0 || others > 0) server.usable = false
}

function isInjectedQuery(head: OwedReply): boolean {
  return head.isInjected && head.reply === Reply.Query
}

/** A Query of the pooler's own failed: the client's parameters, or the clean-up behind a client. */
function injectedFailed(
  session: Session,
  server: ServerConnection,
  head: OwedReply,
  fields: ErrorFields,
): Verdict {
  const message = fields.message ?? 'unknown error'
  if (head.effect === Effect.CleanUp) {
    server.close(new PoolerError(SqlState.ConnectionFailure, `the server could not be cleaned: ${message}`))
    return Verdict.Drop
  }
  if (head.effect === Effect.BeginFailed) return Verdict.Drop
  undo(session, server, head)
  if (session.phase !== SessionPhase.Welcome) server.usable = false
  session.client.close(
    head.effect === Effect.Begin ? 'the transaction could not be begun' : 'invalid server parameter',
    new PoolerError(fields.sqlState ?? SqlState.InvalidParameterValue, message, {
      ...(fields.detail === undefined ? {} : { detail: fields.detail }),
      ...(fields.hint === undefined ? {} : { hint: fields.hint }),
    }),
  )
  return Verdict.Drop
}

/** The server lost the statement, or its plan no longer fits the tables: it is parsed anew before its next use. */
function noteOutdated(
  session: Session,
  server: ServerConnection,
  statement: NonNullable<OwedReply['statement']>,
  fields: ErrorFields,
): void {
  if (isOutdatedPlan(fields)) {
    statement.epoch += 1
    session.pool.generation.knownStatements.delete(statement)
  } else if (fields.sqlState === SqlState.InvalidSqlStatementName) server.statements?.remove(statement)
}

/** "cached plan must not change result type", in whatever language. */
function isOutdatedPlan(fields: ErrorFields): boolean {
  return fields.sqlState === SqlState.FeatureNotSupported && fields.routine === 'RevalidateCachedQuery'
}

/**
 * The batch can be repeated if the client has seen nothing of its reply and all of it is recorded. Should the
 * columns have changed, the client must not believe that it knows them: either it asks for them in this very
 * batch, or it never did. Otherwise the error is its own, as it is without a pooler.
 */
function canRepeat(session: Session, server: ServerConnection, fields: ErrorFields): boolean {
  const { recorder } = session
  if (!recorder.repeatable || server.tracker.length !== 1 || session.phase !== SessionPhase.Active)
    return false
  if (isOutdatedPlan(fields)) return recorder.describes || !recorder.columnsKnown
  return fields.sqlState === SqlState.InvalidSqlStatementName
}

/** Cancels, timeouts, deadlocks, want of resources: not what a statement says, and not to be gone through twice. */
const NOT_OF_THE_STATEMENT = /^(25|40|53|55|57|58|XX)/

/**
 * The first reply to a batch whose unnamed statement is carried out by a prepared one is an error of Bind or
 * Describe: the plan does not fit the tables any more, or the text does not, or the error would come without
 * it, too. With the client's own Parse the batch has the very answer of PostgreSQL, at its place.
 */
function canRepeatPromoted(session: Session, server: ServerConnection, fields: ErrorFields): boolean {
  const { recorder, phase } = session
  const { tracker } = server
  if (!recorder.guards || phase !== SessionPhase.Active || tracker.length === 0) return false
  const entry = tracker.firstOfServer
  if (entry === null || entry.effect !== Effect.Use || entry.name !== null) return false
  return !NOT_OF_THE_STATEMENT.test(fields.sqlState ?? 'XX')
}

/** The client may still be sending the batch: what it has sent is repeated, and it goes on from there. */
function repeatPromoted(session: Session, server: ServerConnection, fields: ErrorFields): Verdict {
  const { tracker } = server
  const statement = tracker.firstOfServer?.statement ?? null
  if (statement !== null) noteOutdated(session, server, statement, fields)
  session.context.registry.promoted.repeats += 1
  if (!tracker.discardToSync((entry) => undo(session, server, entry))) {
    server.send(SYNC)
    tracker.push(Reply.Sync, ReplyAction.Skip)
  }
  const sync = tracker.at(0)
  sync.action = ReplyAction.Skip
  sync.effect = Effect.Repeat
  session.repeating = true
  return Verdict.Drop
}

/** The error text names the statement as the server knows it; the client knows it by another name. */
function withClientName(message: Buffer, serverName: string, clientName: string): Buffer {
  const text = message.toString('latin1', HEADER_BYTES)
  const renamed = Buffer.from(
    text.replace(`"${serverName}"`, () => `"${clientName}"`),
    'latin1',
  )
  const header = Buffer.alloc(HEADER_BYTES)
  header[0] = BackendType.ErrorResponse
  header.writeInt32BE(renamed.length + HEADER_BYTES - 1, 1)
  return Buffer.concat([header, renamed])
}
