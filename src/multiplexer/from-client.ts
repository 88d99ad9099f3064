import { randomUUID } from 'node:crypto'
import { PoolerError, SqlState } from '../errors.ts'
import { encodeErrorResponse } from '../protocol/error-response.ts'
import { encodeQuery, STATEMENT } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { FrontendType, frontendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, type OwedReply, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { changeUnnamed } from './change-unnamed.ts'
import { leave } from './departure.ts'
import { answerWithoutServer, readyWithoutServer } from './lazy-begin.ts'
import { leaseServer } from './leasing.ts'
import { hold, mustWait } from './server-preparation.ts'
import { Begun, type Session, SessionPhase } from './session.ts'
import { emitSynthesised } from './settle.ts'
import { bind, close, describe, parse, parseKnown } from './statement-messages.ts'
import {
  createsSomething,
  deallocatedName,
  head,
  resetBy,
  StatementKind,
  setsParameters,
  statementKind,
} from './statement-text.ts'

/**
 * What becomes of one message of a client: forwarded, rewritten, held until there is a server, answered
 * here, or discarded. Every message that the server will answer is noted in its RequestTracker.
 */
export function fromClient(
  session: Session,
  type: number,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  if (session.terminated) return Verdict.Drop
  if (session.repeating) {
    session.heldForReply = true
    return Verdict.Hold
  }
  if (type === FrontendType.Terminate) {
    session.source.flushRun(start)
    session.terminated = true
    leave(session)
    return Verdict.Drop
  }
  // Before the welcome a client has nothing to say; impatient ones are kept until then.
  if (session.phase === SessionPhase.Welcome) return Verdict.Hold
  if (session.canceled) return answerCanceled(session, type)
  if (session.skipToSync && type !== FrontendType.Sync) return Verdict.Drop
  if (session.recorder.guards && endsRecording(session, type, total, start, end)) {
    const { server } = session
    if (server !== null) return hold(session, server)
  }
  const verdict = handle(session, type, total, buffer, start, end)
  if (verdict !== Verdict.Hold) {
    if (type === FrontendType.Parse) session.pool.stats.clientParses += 1
    else if (type === FrontendType.Bind) session.pool.stats.binds += 1
  }
  const { recorder } = session
  if (recorder.recording && verdict !== Verdict.Hold) record(session, type, total, buffer, start, end)
  return verdict
}

function handle(
  session: Session,
  type: number,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  switch (type) {
    case FrontendType.Query:
      if (
        session.server === null &&
        end - start === total &&
        answerWithoutServer(session, buffer, start, end)
      )
        return Verdict.Drop
      break
    case FrontendType.Sync:
      return sync(session)
    case FrontendType.Flush:
      if (session.server === null) return Verdict.Drop
      emitSynthesised(session, session.server)
      return Verdict.Forward
    case FrontendType.CopyDone:
    case FrontendType.CopyFail:
      return endCopy(session)
    case FrontendType.Parse:
      if (session.server === null && parseKnown(session, buffer, start, end)) return Verdict.Drop
      break
    case FrontendType.Close:
      session.source.flushRun(start)
      if (session.server === null && closesStatement(buffer, start, end))
        return close(session, null, buffer, start, end)
      break
  }
  if (session.requestSinceMs === 0) session.requestSinceMs = session.context.clock.nowMs()
  const server = leaseServer(session)
  if (server === null) return Verdict.Hold
  if (session.transactionSinceMs === 0) session.transactionSinceMs = session.context.clock.nowMs()
  // What comes behind a RESET needs this client's startup values, which are applied when that is answered.
  if (session.resets.expected && server.tracker.length > 0 && !server.tracker.batchOpen)
    return hold(session, server)
  switch (type) {
    case FrontendType.Query:
      return query(session, server, buffer, start, end)
    case FrontendType.Parse:
      session.source.flushRun(start)
      return parse(session, server, buffer, start, end)
    case FrontendType.Bind:
      session.source.flushRun(start)
      return bind(session, server, total, buffer, start, end)
    case FrontendType.Describe:
      session.source.flushRun(start)
      return describe(session, server, total, buffer, start, end)
    case FrontendType.Execute:
      return execute(session, server)
    case FrontendType.Close:
      return close(session, server, buffer, start, end)
    case FrontendType.FunctionCall:
      noteMixture(server)
      server.tracker.push(Reply.FunctionCall, ReplyAction.Forward)
      return Verdict.Forward
    default:
      throw new PoolerError(SqlState.ProtocolViolation, `unexpected ${frontendTypeName(type)} message`)
  }
}

function execute(session: Session, server: ServerConnection): Verdict {
  const entry = server.tracker.push(Reply.Execute, ReplyAction.Forward)
  const { boundName, boundUnnamed, unnamed } = session
  session.executedBatch = entry.batch
  const executed = boundUnnamed ? unnamed : boundName?.statement
  if (executed?.resets) noteReset(session, entry, executed.resets)
  if (executed?.discards) {
    noteDiscard(session, entry, Effect.Discard)
    if (executed === unnamed) entry.name = unnamed.deallocates
  }
  return Verdict.Forward
}

/** Without a server nothing can be owed: the answer to a lone Sync is known. */
function sync(session: Session): Verdict {
  session.skipToSync = false
  const { server } = session
  if (server === null) {
    session.client.send(readyWithoutServer(session))
    session.answeredAtMs = Date.now()
    return Verdict.Drop
  }
  server.tracker.push(Reply.Sync, ReplyAction.Forward)
  return Verdict.Forward
}

/** The end of a COPY's data; late ones are ignored by PostgreSQL, and here if the server is gone already. */
function endCopy(session: Session): Verdict {
  const { server } = session
  if (server === null) return Verdict.Drop
  if (server.tracker.length > 0) server.tracker.push(Reply.CopyEnd, ReplyAction.Forward)
  return Verdict.Forward
}

function query(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const kind = statementKind(buffer, start + HEADER_BYTES, end)
  if (kind === StatementKind.DeallocateName && session.statements !== null) {
    const name = session.statements.get(deallocatedName(head(buffer, start + HEADER_BYTES, end)) ?? '')
    session.source.flushRun(start)
    if (mustWait(session, server, name)) return hold(session, server)
    if (name !== undefined && !name.closed) {
      server.send(encodeQuery(decoyQuery()))
      const entry = oweQuery(session, server)
      noteDiscard(session, entry, Effect.Deallocate)
      entry.name = name
      return Verdict.Drop
    }
  }
  if (setsParameters(buffer, start + HEADER_BYTES, end)) server.residue |= Residue.Settings
  if (session.context.registry.promoted.inUse && createsSomething(buffer, start + HEADER_BYTES, end))
    session.schemaChanged = true
  const entry = oweQuery(session, server)
  const resets = resetBy(kind, buffer, start + HEADER_BYTES, end)
  if (resets !== null) noteReset(session, entry, resets)
  // DISCARD ALL is both; its tag alone says what it has reset.
  if (kind === StatementKind.DeallocateName || kind === StatementKind.Discard)
    noteDiscard(session, entry, Effect.Discard)
  else if (kind === StatementKind.SetLocal) entry.effect = Effect.SetLocal
  return Verdict.Forward
}

/** Query or FunctionCall inside a batch: PostgreSQL's next answer is an internal error, which no other client is to get. */
function noteMixture(server: ServerConnection): void {
  if (server.tracker.batchOpen && server.transactionStatus === TransactionStatus.Idle) server.usable = false
}

/** A simple query destroys the unnamed statement, unless the server skips it. */
function oweQuery(session: Session, server: ServerConnection): OwedReply {
  noteMixture(server)
  const entry = server.tracker.push(Reply.Query, ReplyAction.Forward)
  changeUnnamed(session, server, entry, null)
  return entry
}

/** Until its reply is there it is not certain which names exist. */
function noteDiscard(
  session: Session,
  entry: OwedReply,
  effect: typeof Effect.Discard | typeof Effect.Deallocate,
): void {
  session.discards += 1
  entry.effect = effect
}

function noteReset(session: Session, entry: OwedReply, name: string): void {
  entry.effect = Effect.Reset
  entry.resets = name
  session.resets.expect(name, session.client.startupParameters)
}

/** A client that canceled while it waited for a server: its query is refused without one. */
function answerCanceled(session: Session, type: number): Verdict {
  const { client } = session
  session.canceled = false
  if (session.begun !== Begun.No) session.begun = Begun.Failed
  session.requestSinceMs = 0
  session.answeredAtMs = Date.now()
  client.send(
    encodeErrorResponse({
      severity: 'ERROR',
      sqlState: SqlState.QueryCanceled,
      message: 'canceling statement due to user request',
    }),
  )
  if (type === FrontendType.Query || type === FrontendType.FunctionCall || type === FrontendType.Sync) {
    client.send(readyWithoutServer(session))
  } else {
    session.skipToSync = true
  }
  return Verdict.Drop
}

/**
 * A batch that leans on a prepared statement in place of an unnamed one must stay repeatable until the server
 * has accepted that: what would end this waits.
 */
function endsRecording(session: Session, type: number, total: number, start: number, end: number): boolean {
  const { recorder } = session
  return recorder.complete || type === FrontendType.Query || end - start !== total || !recorder.fits(total)
}

/** Keeps the message in case its batch has to be repeated. */
function record(
  session: Session,
  type: number,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): void {
  const { recorder } = session
  if (
    recorder.complete ||
    end - start !== total ||
    type === FrontendType.Query ||
    (type === FrontendType.Flush && !recorder.atRisk)
  ) {
    recorder.stop()
    return
  }
  recorder.add(buffer, start, end)
  if (type === FrontendType.Sync) recorder.complete = true
}

/**
 * A statement that is deallocated in place of the client's, which others may use: the reply is PostgreSQL's
 * own, with its effect on the transaction. The reply to PREPARE is dropped (from-server.ts). The name is new
 * each time, in case a cancel hits between the two commands.
 */
function decoyQuery(): string {
  const name = `pooler_decoy_${randomUUID().replaceAll('-', '')}`
  return `PREPARE ${name} AS SELECT 1;DEALLOCATE ${name}`
}

function closesStatement(buffer: Buffer, start: number, end: number): boolean {
  return buffer[start + HEADER_BYTES] === STATEMENT && buffer[end - 1] === 0
}
