import type { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import { CLOSE_COMPLETE, PARSE_COMPLETE } from '../protocol/responses.ts'
import { Effect, type OwedReply, Reply } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { Session } from './session.ts'

/**
 * What an owed reply changes in the books of client and server: made final when it arrives, taken back when
 * the server never got to the message.
 */

/** The reply has arrived, or is being synthesised at its place. */
export function settle(session: Session, server: ServerConnection, entry: OwedReply): void {
  const { effect, name, onServer } = entry
  if (effect === Effect.None || effect === Effect.Use) return
  if (effect === Effect.Prepare) {
    if (onServer !== null) {
      onServer.outstanding = false
      session.pool.generation.knownStatements.add(onServer.statement)
    }
    if (name !== null) name.outstanding -= 1
  } else if (effect === Effect.Unname && name !== null) {
    name.outstanding -= 1
    if (name.closed) session.statements?.remove(name)
  } else if (effect === Effect.Evict && onServer !== null) {
    server.statements?.forget(onServer)
  } else if (effect === Effect.Discard || effect === Effect.Deallocate) {
    session.discards -= 1
  } else if (effect === Effect.Duplicate) {
    // The server did not have the statement after all, and now has another text under its name.
    server.usable = false
  }
}

/** The server skipped or refused the message. */
export function undo(session: Session, server: ServerConnection, entry: OwedReply): void {
  const { effect, name, onServer } = entry
  if (entry.changesUnnamed) changeBack(session, server, entry, entry.unnamedBefore, entry.unnamedWasThere)
  if (effect === Effect.ApplyParameters) {
    server.parameters = entry.parameters ?? server.parameters
    server.residue |= entry.residue
  } else if (effect === Effect.Discard || effect === Effect.Deallocate) {
    session.discards -= 1
  } else if (effect === Effect.Prepare) {
    if (onServer !== null) server.statements?.undo(onServer)
    if (name !== null) {
      name.outstanding -= 1
      session.statements?.remove(name)
    }
  } else if (effect === Effect.Unname && name !== null) {
    name.outstanding -= 1
    session.statements?.restore(name)
  } else if (effect === Effect.Evict && onServer !== null) {
    server.statements?.restore(onServer)
  }
}

/**
 * After `entry` is undone or has failed the client's unnamed statement is `unnamed`, and `isThere` says whether the server
 * has it. One of a later batch stands, but that is what it has replaced.
 */
export function changeBack(
  session: Session,
  server: ServerConnection,
  entry: OwedReply,
  unnamed: UnnamedStatement | null,
  isThere: boolean,
): void {
  const { tracker } = server
  const later = tracker.nextChange(entry.batch)
  if (later !== null) {
    later.unnamedBefore = unnamed
    later.unnamedWasThere = isThere
    return
  }
  session.unnamed = unnamed
  server.unnamed = isThere ? unnamed : null
}

/** Answers the client for the server wherever it is the pooler's turn. */
export function emitSynthesised(session: Session, server: ServerConnection): void {
  const { tracker } = server
  while (tracker.nextIsSynthesised) {
    const entry = tracker.shift()
    settle(session, server, entry)
    session.client.send(entry.reply === Reply.Parse ? PARSE_COMPLETE : CLOSE_COMPLETE)
    if (entry.changesUnnamed) session.recorder.parsesAnswered += 1
    else session.recorder.replied = true
  }
}
