import { encodeCloseStatement, encodeParse } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { Effect, Reply, ReplyAction } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import { hold, mustWait } from './server-preparation.ts'
import type { Session } from './session.ts'
import { deallocatedName, head, StatementKind, setsParameters, statementKind } from './statement-text.ts'

/**
 * The unnamed statement. It lives on one server; when a later batch meets another, it is parsed there again.
 */

/** Stands in on the server for a statement that a client deallocates: the client's may be in use by others. */
const DECOY_NAME = 'pooler_deallocated'
/** What is behind the name in a Parse: the query with its NUL, no parameter types. */
const DECOY_TEXT = Buffer.from('SELECT 1\0\0\0', 'latin1')
const CLOSE_UNNAMED = encodeCloseStatement('')
const CLOSE_DECOY = encodeCloseStatement(DECOY_NAME)
const PARSE_DECOY = encodeParse(DECOY_NAME, DECOY_TEXT)
/** The text of a DEALLOCATE of the decoy. */
const DEALLOCATE_DECOY = `DEALLOCATE ${DECOY_NAME}`
const PARSE_DEALLOCATE = encodeParse('', Buffer.from(`${DEALLOCATE_DECOY}\0\0\0`, 'latin1'))

/** A Parse without a name: forwarded, and kept for a Bind in a later batch. */
export function parseUnnamed(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): Verdict {
  const { unnamed, statements } = session
  const textStart = start + HEADER_BYTES + 1
  const kind = statementKind(buffer, textStart, end)
  if (kind === StatementKind.DeallocateName && statements !== null) {
    const name = statements.get(deallocatedName(head(buffer, textStart, end)) ?? '')
    if (mustWait(session, server, name)) return hold(session, server)
    if (name !== undefined && !name.closed) {
      unnamed.set(PARSE_DEALLOCATE, 0, PARSE_DEALLOCATE.length)
      unnamed.deallocates = name
      unnamed.discards = true
      sendUnnamed(session, server, ReplyAction.Forward)
      return Verdict.Drop
    }
  }
  if (setsParameters(buffer, textStart, end)) server.residue |= Residue.Settings
  unnamed.set(buffer, start, end)
  unnamed.discards = kind === StatementKind.Discard || kind === StatementKind.DeallocateName
  oweUnnamed(session, server, ReplyAction.Forward)
  return Verdict.Forward
}

/**
 * Before a Bind or Describe of the unnamed statement: the server must have this client's. Without one the
 * server must not have anybody's, and says so itself.
 */
export function ensureUnnamed(session: Session, server: ServerConnection): void {
  if (server.unnamedOwner === session) return
  if (session.unnamed.exists) {
    sendUnnamed(session, server, ReplyAction.Skip)
    return
  }
  server.unnamedOwner = null
  server.send(CLOSE_UNNAMED)
  server.tracker.push(Reply.Close, ReplyAction.Skip)
}

/** Gives the server a statement that may be deallocated in place of a client's. */
function sendDecoy(server: ServerConnection): void {
  server.send(CLOSE_DECOY)
  server.tracker.push(Reply.Close, ReplyAction.Skip)
  server.send(PARSE_DECOY)
}

function sendUnnamed(
  session: Session,
  server: ServerConnection,
  action: typeof ReplyAction.Forward | typeof ReplyAction.Skip,
): void {
  const { unnamed } = session
  if (unnamed.deallocates !== null) {
    sendDecoy(server)
    server.tracker.push(Reply.Parse, ReplyAction.Skip)
  }
  server.send(unnamed.parse)
  oweUnnamed(session, server, action)
}

function oweUnnamed(
  session: Session,
  server: ServerConnection,
  action: typeof ReplyAction.Forward | typeof ReplyAction.Skip,
): void {
  const entry = server.tracker.push(Reply.Parse, action)
  entry.effect = Effect.PrepareUnnamed
  entry.unnamedOwner = server.unnamedOwner
  entry.unnamedVersion = session.unnamed.version
  server.unnamedOwner = session
}
