import { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import { encodeCloseStatement, endOfName } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { changeUnnamed } from './change-unnamed.ts'
import { parseOfDecoy, sendDecoy } from './deallocate-decoy.ts'
import { parsePromoted, promotes } from './promoted-messages.ts'
import { hold, mustWait } from './server-preparation.ts'
import type { Session } from './session.ts'
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
 * The unnamed statement. It lives on one server; when a later batch meets another, it is parsed there again.
 */

const CLOSE_UNNAMED = encodeCloseStatement('')

/** A Parse without a name: forwarded, and kept for a Bind in a later batch. */
export function parseUnnamed(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { statements } = session
  const textStart = start + HEADER_BYTES + 1
  const looksUp = promotes(session, server)
  const known = looksUp ? knownUnnamed(session, buffer, start, textStart, end) : null
  session.unnamedDescribed = false
  if (known !== null && parsePromoted(session, server, known, end - start)) return Verdict.Drop
  const kind = statementKind(buffer, textStart, end)
  const name =
    kind === StatementKind.DeallocateName ? deallocatedName(head(buffer, textStart, end)) : undefined
  if (name !== undefined && statements !== null) {
    if (mustWait(session, server, statements.get(name))) return hold(session, server)
    sendUnnamed(
      session,
      server,
      new UnnamedStatement(buffer.subarray(start, end), true, name),
      ReplyAction.Forward,
    )
    return Verdict.Drop
  }
  const discards = kind === StatementKind.Discard || kind === StatementKind.DeallocateName
  if (setsParameters(buffer, textStart, end)) server.residue |= Residue.Settings
  let unnamed = known
  if (unnamed === null) {
    unnamed = new UnnamedStatement(buffer.subarray(start, end), discards)
    unnamed.resets = resetBy(kind, buffer, textStart, end)
    if (looksUp && kind === StatementKind.Other) {
      lookUp(session, unnamed, buffer, textStart, end)
      if (parsePromoted(session, server, unnamed, end - start)) return Verdict.Drop
    }
  }
  if (
    unnamed.promoted === null &&
    session.context.registry.promoted.inUse &&
    createsSomething(buffer, textStart, end)
  )
    session.schemaChanged = true
  // In a batch that is repeated the client may have the answer already.
  const answered = session.parsesAnswered > 0
  const entry = server.tracker.push(Reply.Parse, answered ? ReplyAction.Skip : ReplyAction.Forward)
  if (answered) {
    session.parsesAnswered -= 1
    entry.effect = Effect.ParseAgain
  }
  changeUnnamed(session, server, entry, unnamed)
  return Verdict.Forward
}

/** The client's unnamed statement if this Parse repeats it; null for any other. Its second sight promotes it. */
function knownUnnamed(
  session: Session,
  buffer: Buffer,
  start: number,
  textStart: number,
  end: number,
): UnnamedStatement | null {
  const { unnamed } = session
  if (unnamed === null || !unnamed.isSame(buffer, start, end, session.client.parameters.meaning)) return null
  if (unnamed.promoted === null || unnamed.promoted.retired) {
    if (unnamed.refused) return null
    lookUp(session, unnamed, buffer, textStart, end)
    unnamed.refused = unnamed.promoted === null
  }
  return unnamed.promoted === null ? null : unnamed
}

function lookUp(
  session: Session,
  unnamed: UnnamedStatement,
  buffer: Buffer,
  textStart: number,
  end: number,
): void {
  if (endOfName(buffer, textStart, end) === -1) return
  const { meaning } = session.client.parameters
  unnamed.meaning = meaning
  const { promoted } = session.context.registry
  unnamed.promoted = promoted.find(buffer, textStart, end, meaning, session.requestSinceMs)
}

/**
 * Before a Bind or Describe of the unnamed statement: the server must have this client's. Without one the
 * server must not have anybody's, and says so itself. False: whether there is one is being decided in an
 * earlier batch.
 */
export function ensureUnnamed(session: Session, server: ServerConnection): boolean {
  const { unnamed } = session
  const { tracker } = server
  if (unnamed !== null) {
    // Its Parse was sent in an earlier batch, which may skip it.
    const { head } = tracker
    if (
      tracker.hasEarlierBatch &&
      session.unnamedBatch !== tracker.batch &&
      session.unnamedBatch >= (head?.batch ?? 0)
    )
      return false
    const { deallocatedName } = unnamed
    if (deallocatedName !== null && mustWait(session, server, session.statements?.get(deallocatedName)))
      return false
    if (server.unnamed === unnamed && resolved(session, unnamed) === unnamed) return true
    if (unnamed.parse !== null) {
      sendUnnamed(session, server, unnamed, ReplyAction.Skip)
      return true
    }
  } else if (tracker.hasEarlierBatch && session.unnamedBatch !== tracker.batch) {
    return false
  }
  server.unnamed = null
  server.send(CLOSE_UNNAMED)
  tracker.push(Reply.Close, ReplyAction.Skip)
  return true
}

function sendUnnamed(
  session: Session,
  server: ServerConnection,
  unnamed: UnnamedStatement,
  action: typeof ReplyAction.Forward | typeof ReplyAction.Skip,
): void {
  const sent = resolved(session, unnamed)
  const { parse, deallocates } = sent
  if (deallocates !== null) sendDecoy(server)
  if (parse !== null) server.send(deallocates === null ? parse : parseOfDecoy(parse))
  changeUnnamed(session, server, server.tracker.push(Reply.Parse, action), sent)
}

/** As it is now: the client may have deallocated the name since it was sent, or given it to another statement. */
function resolved(session: Session, unnamed: UnnamedStatement): UnnamedStatement {
  const { parse, deallocatedName, deallocates } = unnamed
  if (deallocatedName === null || parse === null) return unnamed
  const found = session.statements?.get(deallocatedName)
  const meant = found === undefined || found.closed ? null : found
  return meant === deallocates ? unnamed : new UnnamedStatement(parse, true, deallocatedName, meant)
}
