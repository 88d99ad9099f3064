import { PoolerError, SqlState } from '../errors.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, backendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import { commandTag } from '../protocol/responses.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, endsBatch, Reply } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { abandonCopy, cleanUpServer, closeIfAnswered, failClient } from './departure.ts'
import { isDone, releaseServer } from './leasing.ts'
import { noteTag } from './note-tag.ts'
import { repeatBatch } from './repeat-batch.ts'
import { errorResponse } from './server-errors.ts'
import { type Session, SessionPhase } from './session.ts'
import { noteParameter, parametersApplied, restoreStartupValues } from './session-parameters.ts'
import { emitSynthesised, settle } from './settle.ts'
import { continueWelcome } from './welcome.ts'

const MICROS_PER_MS = 1000

/**
 * What becomes of one message of a leased server: forwarded, or swallowed because the pooler had asked for
 * it; and what it says about the session: replies no longer owed, transaction status, parameters.
 */
export function fromServer(
  session: Session,
  server: ServerConnection,
  type: number,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  if (server.tracker.nextIsSynthesised && type !== BackendType.ErrorResponse) {
    // ParseComplete of a promoted statement (promoted-messages.ts).
    server.framer.flushRun(start)
    emitSynthesised(session, server)
  }
  switch (type) {
    case BackendType.ParseComplete:
      return reply(session, server, Reply.Parse, type, start, end)
    case BackendType.BindComplete:
      return reply(session, server, Reply.Bind, type, start, end)
    case BackendType.CloseComplete:
      return reply(session, server, Reply.Close, type, start, end)
    case BackendType.NoData:
      return reply(session, server, Reply.Describe, type, start, end)
    case BackendType.RowDescription:
      // In the result of a simple query it answers nothing in particular.
      if (server.tracker.head?.reply === Reply.Describe) {
        return reply(session, server, Reply.Describe, type, start, end)
      }
      return pass(session, server)
    case BackendType.CommandComplete:
      return commandComplete(session, server, buffer, start, end)
    case BackendType.EmptyQueryResponse:
    case BackendType.PortalSuspended:
      if (server.tracker.head?.reply === Reply.Execute) {
        return reply(session, server, Reply.Execute, type, start, end)
      }
      return pass(session, server)
    case BackendType.ReadyForQuery:
      return readyForQuery(session, server, buffer, start, end)
    case BackendType.ErrorResponse:
      return errorResponse(session, server, total, buffer, start, end)
    case BackendType.ParameterStatus:
      server.framer.flushRun(start)
      if (noteParameter(session, server, buffer, start, end)) session.client.send(buffer, start, end)
      return Verdict.Drop
    case BackendType.CopyInResponse:
      server.tracker.copyIn = true
      if (session.phase === SessionPhase.Leaving) {
        if (!server.tracker.copyEndSent) abandonCopy(server)
      } else {
        closeIfAnswered(session)
      }
      return pass(session, server)
    case BackendType.CopyOutResponse:
    case BackendType.ParameterDescription:
    case BackendType.FunctionCallResponse:
    case BackendType.NoticeResponse:
      return pass(session, server)
    case BackendType.NotificationResponse:
      return hasListened(session, server) ? Verdict.Forward : Verdict.Drop
    default:
      throw unexpected(type, server)
  }
}

function pass(session: Session, server: ServerConnection): Verdict {
  if (server.tracker.head?.isInjected) return Verdict.Drop
  session.recorder.replied = true
  return Verdict.Forward
}

/** A reply that answers exactly one message: the oldest that was sent. */
function reply(
  session: Session,
  server: ServerConnection,
  kind: Reply,
  type: number,
  start: number,
  end: number,
): Verdict {
  const { tracker } = server
  if (tracker.head?.reply !== kind) throw unexpected(type, server)
  const entry = tracker.shift()
  const injected = entry.isInjected
  if (entry.effect !== Effect.None) settle(session, server, entry)
  if (!injected) session.recorder.replied = true
  if (tracker.nextIsSynthesised) {
    server.framer.flushRun(injected ? start : end)
    emitSynthesised(session, server)
  }
  return injected ? Verdict.Drop : Verdict.Forward
}

function commandComplete(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { tracker } = server
  if (tracker.copyIn) {
    const { syncs } = tracker.endCopy()
    // The batch was open when that query was sent: see query() in from-client.ts.
    if (syncs > 0 && tracker.length > 1 && tracker.at(1).reply === Reply.Query) server.usable = false
  }
  // The first half of the query that stands for a DEALLOCATE.
  if (tracker.head?.effect === Effect.Deallocate && commandTag(buffer, start, end) === 'PREPARE')
    return Verdict.Drop
  noteTag(session, server, buffer, start, end)
  if (tracker.head?.reply === Reply.Execute) {
    return reply(session, server, Reply.Execute, BackendType.CommandComplete, start, end)
  }
  return pass(session, server)
}

function readyForQuery(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { tracker, framer } = server
  const { head } = tracker
  const injected = head?.isInjected ?? false
  // The BEGIN of lazy_begin is on its way behind the session's parameters: what else is, is in its transaction.
  if (!tracker.beginsTransaction) server.transactionStatus = buffer[start + HEADER_BYTES] as TransactionStatus
  framer.flushRun(start)
  if (head === null || !endsBatch(head.reply)) {
    // A COPY that failed with a Sync already under way may be answered for that Sync, too.
    if (head !== null || server.usable) throw unexpected(BackendType.ReadyForQuery, server)
    session.skipToSync = false
    tracker.batchOpen = false
  } else {
    tracker.shift()
    settle(session, server, head)
    if (head.effect === Effect.ApplyParameters && session.phase <= SessionPhase.Active)
      parametersApplied(session, server)
  }
  if (session.schemaChanged && server.transactionStatus === TransactionStatus.Idle) {
    session.schemaChanged = false
    session.context.registry.promoted.generation += 1
  }
  // Before the pooler asks for something itself.
  if (!injected) noteAnswered(session, server)
  if (session.resets.some && tracker.length === 0) restoreStartupValues(session, server)
  if (!injected) session.client.send(buffer, start, end)
  emitSynthesised(session, server)
  if (head?.effect === Effect.Repeat) repeatBatch(session)
  if (tracker.length === 0 && saysMore(framer.typeAt(end))) server.usable = false
  if (session.cancelWanted && !tracker.head?.isInjected) {
    session.cancelWanted = false
    void session.context.cancelServer(session, server)
  }
  afterReady(session, server)
  return Verdict.Drop
}

/**
 * Behind the last ReadyForQuery only messages that nobody asked for may come. Anything else, an error too,
 * must not meet the next client: the server is not used again.
 */
function saysMore(nextType: number): boolean {
  return (
    nextType !== -1 &&
    nextType !== BackendType.ParameterStatus &&
    nextType !== BackendType.NoticeResponse &&
    nextType !== BackendType.NotificationResponse
  )
}

/** A batch has been answered: the transaction may be over, and with it the lease. */
function afterReady(session: Session, server: ServerConnection): void {
  if (session.phase === SessionPhase.Leaving) {
    cleanUpServer(session, server)
    return
  }
  if (server.tracker.length > 0) return
  if (session.phase === SessionPhase.Welcome) {
    continueWelcome(session, server)
    return
  }
  if (session.mode === 'statement' && server.transactionStatus !== TransactionStatus.Idle) {
    session.client.fail(
      new PoolerError(
        SqlState.FeatureNotSupported,
        'transaction blocks not allowed in statement pooling mode',
      ),
    )
    return
  }
  // The client waits for this answer to say more; the end of its chunk decides.
  if (session.heldForReply) return
  if (session.leavingSinceMs > 0) {
    closeIfAnswered(session)
    return
  }
  if (!isDone(session, server)) return
  const draining = session.context.draining ?? session.pool.clients.ending
  if (session.mode !== 'session') releaseServer(session, server)
  if (draining !== null) failClient(session, draining)
}

/**
 * A batch is answered, and the next one, if it has been sent, begins now: sets the clocks of the timeouts and counts.
 * As with PgBouncer, a pipeline counts as one query and one transaction.
 */
function noteAnswered(session: Session, server: ServerConnection): void {
  const nowMs = session.context.clock.nowMs()
  const isLast = server.tracker.length === 0
  const nextSinceMs = isLast ? 0 : nowMs
  const { stats, metrics } = session.pool
  // The wait for a server is counted by itself.
  const startedMs = Math.max(session.requestSinceMs, session.leasedAtMs)
  const queryMicros = Math.round((nowMs - startedMs) * MICROS_PER_MS)
  stats.queryMicros += queryMicros
  if (metrics !== null) metrics.queries.observe(queryMicros)
  if (isLast) stats.queries += 1
  session.answeredAtMs = nowMs
  session.requestSinceMs = nextSinceMs
  if (server.transactionStatus !== TransactionStatus.Idle) return
  const transactionMicros = Math.round((nowMs - session.transactionSinceMs) * MICROS_PER_MS)
  stats.transactionMicros += transactionMicros
  if (metrics !== null) metrics.transactions.observe(transactionMicros)
  if (isLast) stats.transactions += 1
  session.transactionSinceMs = nextSinceMs
}

/** Notifications are for the client that listens, not for whoever has its server now. */
function hasListened(session: Session, server: ServerConnection): boolean {
  return session.mode === 'session' || (server.residue & Residue.Listening) !== 0
}

function unexpected(type: number, server: ServerConnection): PoolerError {
  const owed = server.tracker.head?.reply ?? 0
  return new PoolerError(
    SqlState.ProtocolViolation,
    `unexpected ${backendTypeName(type)} message (the reply owed is of kind ${owed})`,
  )
}
