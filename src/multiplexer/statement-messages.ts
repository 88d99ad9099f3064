import { PoolerError, SqlState } from '../errors.ts'
import type { ClientStatement } from '../prepared/client-statements.ts'
import { renameParse } from '../prepared/rewrite.ts'
import { SERVER_NAME_PREFIX, type Statement } from '../prepared/statement.ts'
import { encodeCloseStatement, endOfName, STATEMENT } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { CLOSE_COMPLETE, PARSE_COMPLETE } from '../protocol/responses.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { changeUnnamed } from './change-unnamed.ts'
import { usePromoted } from './promoted-messages.ts'
import { ensureOnServer, hold, mustWait, sendParse, startRecording } from './server-preparation.ts'
import type { Session } from './session.ts'
import { emitSynthesised } from './settle.ts'
import { createsSomething, resetBy, StatementKind, setsParameters, statementKind } from './statement-text.ts'
import { ensureUnnamed, parseUnnamed } from './unnamed-messages.ts'

/**
 * Parse, Bind, Describe and Close of named statements: a client's names become the registry's, and a server
 * that lacks a statement is given it first. A name that the client does not have goes to the server as it
 * is, so that PostgreSQL itself raises the error, at its place and with its effect on the transaction; so
 * does a malformed message.
 */

/** Close of a statement that never exists, which is no error. */
const CLOSE_NOTHING = encodeCloseStatement('pooler_none')

export function parse(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const nameStart = start + HEADER_BYTES
  const nameEnd = endOfName(buffer, nameStart, end)
  const { statements, context } = session
  const { tracker } = server
  if (nameStart === nameEnd) return parseUnnamed(session, server, buffer, start, end)
  if (statements !== null && nameEnd - nameStart > MAX_NAME_BYTES) throw nameTooLong()
  const tracked = statements !== null && server.statements !== null && isName(nameStart, nameEnd)
  if (!tracked || endOfName(buffer, nameEnd + 1, end) === -1) {
    tracker.push(Reply.Parse, ReplyAction.Forward)
    return Verdict.Forward
  }
  const existing = statements.find(buffer, nameStart, nameEnd)
  if (mustWait(session, server, existing)) return hold(session, server)
  if (existing !== undefined && !existing.closed) {
    return parseDuplicate(session, server, existing, buffer, nameEnd, end)
  }
  const statement = acquire(session, buffer, nameEnd, end)
  if (server.statements.isUnsettled(statement, tracker.batch)) {
    context.registry.releaseName(statement)
    return hold(session, server)
  }
  startRecording(session, server)
  const name = statements.add(Buffer.from(buffer.subarray(nameStart, nameEnd)), statement)
  name.outstanding = 1
  name.batch = tracker.batch
  // In a failed transaction PostgreSQL refuses most Parse messages: only it knows which, and whether it has failed.
  const skips =
    server.statements.find(statement)?.epoch === statement.epoch &&
    server.transactionStatus !== TransactionStatus.Failed &&
    !tracker.hasEarlierBatch
  if (skips) {
    const entry = tracker.push(Reply.Parse, ReplyAction.Synthesise)
    entry.effect = Effect.Prepare
    entry.name = name
    emitSynthesised(session, server)
  } else {
    sendParse(server, statement, ReplyAction.Forward, name)
  }
  return Verdict.Drop
}

/**
 * A Parse while the client has no server: answered at once if the name is free and a server of the pool has
 * accepted the statement before. A driver that waits for this answer while its other connections hold all
 * the servers (pgbench -M prepared) would otherwise wait for ever. False: a server has to be asked.
 */
export function parseKnown(session: Session, buffer: Buffer, start: number, end: number): boolean {
  const { statements, context, pool, client } = session
  const nameStart = start + HEADER_BYTES
  const nameEnd = endOfName(buffer, nameStart, end)
  if (statements === null || !isName(nameStart, nameEnd)) return false
  if (endOfName(buffer, nameEnd + 1, end) === -1 || statements.find(buffer, nameStart, nameEnd)) return false
  const statement = acquire(session, buffer, nameEnd, end)
  if (!pool.generation.knownStatements.has(statement)) {
    context.registry.releaseName(statement)
    return false
  }
  statements.add(Buffer.from(buffer.subarray(nameStart, nameEnd)), statement)
  client.send(PARSE_COMPLETE)
  return true
}

/** The registry's statement for a Parse whose name ends at `nameEnd`. */
function acquire(session: Session, buffer: Buffer, nameEnd: number, end: number): Statement {
  const text = Buffer.from(buffer.subarray(nameEnd + 1, end))
  const statement = session.context.registry.acquire(text, session.client.parameters.meaning)
  if (statement.setsParameters === null) {
    statement.setsParameters = setsParameters(text, 0, text.length)
    const kind = statementKind(text, 0, text.length)
    statement.discards = kind === StatementKind.Discard
    statement.resets = resetBy(kind, text, 0, text.length)
    statement.creates = createsSomething(text, 0, text.length)
  }
  return statement
}

export function bind(
  session: Session,
  server: ServerConnection,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const portalEnd = endOfName(buffer, start + HEADER_BYTES, end)
  const nameStart = portalEnd + 1
  const nameEnd = portalEnd === -1 ? -1 : endOfName(buffer, nameStart, end)
  if (nameEnd === -1 || nameStart === nameEnd) {
    session.boundName = null
    session.boundUnnamed = true
    if (nameEnd !== -1) {
      const used = usePromoted(session, server, Reply.Bind, total, buffer, start, nameStart, end)
      if (used !== null) return used
      if (!ensureUnnamed(session, server)) return hold(session, server)
    }
    server.tracker.push(Reply.Bind, ReplyAction.Forward)
    return Verdict.Forward
  }
  return useNamed(session, server, Reply.Bind, total, buffer, start, nameStart, nameEnd, end)
}

export function describe(
  session: Session,
  server: ServerConnection,
  total: number,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const nameStart = start + HEADER_BYTES + 1
  const nameEnd = endOfName(buffer, nameStart, end)
  const ofStatement = buffer[start + HEADER_BYTES] === STATEMENT
  if (ofStatement && nameStart !== nameEnd) {
    return useNamed(session, server, Reply.Describe, total, buffer, start, nameStart, nameEnd, end)
  }
  if (ofStatement && nameEnd !== -1) {
    const used = usePromoted(session, server, Reply.Describe, total, buffer, start, nameStart, end)
    session.recorder.describes = true
    session.unnamedDescribed = true
    if (used !== null) return used
  }
  session.recorder.describes = true
  if (!ofStatement && session.boundName !== null) session.boundName.described = true
  if (ofStatement && nameEnd !== -1 && !ensureUnnamed(session, server)) return hold(session, server)
  server.tracker.push(Reply.Describe, ReplyAction.Forward)
  return Verdict.Forward
}

/** Close is the pooler's business as far as statements go: other clients may use the server's. */
export function close(
  session: Session,
  server: ServerConnection | null,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { statements } = session
  const nameStart = start + HEADER_BYTES + 1
  const nameEnd = endOfName(buffer, nameStart, end)
  const ofStatement = buffer[start + HEADER_BYTES] === STATEMENT
  const ofUnnamed = ofStatement && nameStart === nameEnd
  if (server === null) {
    if (ofUnnamed) session.unnamed = null
    const entry = ofStatement ? statements?.find(buffer, nameStart, nameEnd) : undefined
    if (entry !== undefined) statements?.remove(entry)
    session.client.send(CLOSE_COMPLETE)
    return Verdict.Drop
  }
  const { tracker } = server
  if (!ofStatement || statements === null || !isName(nameStart, nameEnd)) {
    const owed = tracker.push(Reply.Close, ReplyAction.Forward)
    if (ofUnnamed) changeUnnamed(session, server, owed, null)
    return Verdict.Forward
  }
  const entry = statements.find(buffer, nameStart, nameEnd)
  if (mustWait(session, server, entry)) return hold(session, server)
  // In place of COPY data it is an error: behind messages that are not answered PostgreSQL is asked to close nothing.
  const isAsked = tracker.hasEarlierBatch
  if (isAsked) {
    session.source.flushRun(start)
    server.send(CLOSE_NOTHING)
  }
  const owed = tracker.push(Reply.Close, isAsked ? ReplyAction.Forward : ReplyAction.Synthesise)
  if (entry !== undefined && !entry.closed) {
    entry.closed = true
    entry.outstanding += 1
    entry.batch = tracker.batch
    owed.effect = Effect.Unname
    owed.name = entry
  }
  emitSynthesised(session, server)
  return Verdict.Drop
}

/** Bind and Describe of a named statement. */
function useNamed(
  session: Session,
  server: ServerConnection,
  reply: typeof Reply.Bind | typeof Reply.Describe,
  total: number,
  buffer: Buffer,
  start: number,
  nameStart: number,
  nameEnd: number,
  end: number,
): Verdict {
  const { statements } = session
  const { tracker } = server
  if (reply === Reply.Bind) session.boundUnnamed = false
  if (statements === null || server.statements === null || !isName(nameStart, nameEnd)) {
    tracker.push(reply, ReplyAction.Forward)
    return Verdict.Forward
  }
  const name = statements.find(buffer, nameStart, nameEnd)
  if (mustWait(session, server, name)) return hold(session, server)
  if (name === undefined || name.closed) {
    tracker.push(reply, ReplyAction.Forward)
    if (!looksLikeOurs(buffer, nameStart, nameEnd)) return Verdict.Forward
    // The registry's own names are not for clients: ask for one that no server has.
    const unknown = Buffer.from(`${buffer.toString('latin1', nameStart, nameEnd)}?`, 'latin1')
    server.send(session.context.rewriter.rename(unknown, total, buffer, start, nameStart, nameEnd, end))
    return Verdict.Replace
  }
  startRecording(session, server)
  if (!ensureOnServer(server, name.statement)) return hold(session, server)
  const entry = tracker.push(reply, ReplyAction.Forward)
  entry.effect = Effect.Use
  entry.statement = name.statement
  entry.name = name
  if (name.described) session.recorder.columnsKnown = true
  if (reply === Reply.Bind) {
    session.boundName = name
    if (name.statement.setsParameters) server.residue |= Residue.Settings
    if (name.statement.creates) session.schemaChanged = true
  } else {
    name.described = true
    session.recorder.describes = true
  }
  server.send(
    session.context.rewriter.rename(name.statement.nameBytes, total, buffer, start, nameStart, nameEnd, end),
  )
  return Verdict.Replace
}

/** A name in use: PostgreSQL says so, after it has looked for other errors in the statement. */
function parseDuplicate(
  session: Session,
  server: ServerConnection,
  existing: ClientStatement,
  buffer: Buffer,
  nameEnd: number,
  end: number,
): Verdict {
  if (!ensureOnServer(server, existing.statement)) return hold(session, server)
  server.send(renameParse(existing.statement, buffer, nameEnd, end))
  const entry = server.tracker.push(Reply.Parse, ReplyAction.Forward)
  entry.effect = Effect.Duplicate
  entry.name = existing
  return Verdict.Drop
}

/** Longer names are refused by Parse; elsewhere they name nothing. */
const MAX_NAME_BYTES = 1024

function nameTooLong(): PoolerError {
  return new PoolerError(
    SqlState.ProgramLimitExceeded,
    `the name of a prepared statement cannot have more than ${MAX_NAME_BYTES} bytes`,
  )
}

/** False also for a name without its end: such a message goes to PostgreSQL, which knows what to say. */
function isName(start: number, end: number): boolean {
  return end > start && end - start <= MAX_NAME_BYTES
}

function looksLikeOurs(buffer: Buffer, start: number, end: number): boolean {
  return (
    buffer.toString('latin1', start, Math.min(end, start + SERVER_NAME_PREFIX.length)) === SERVER_NAME_PREFIX
  )
}
