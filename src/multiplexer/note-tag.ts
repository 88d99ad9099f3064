import { HEADER_BYTES } from '../protocol/message-type.ts'
import { commandTag } from '../protocol/responses.ts'
import { Effect, Reply } from '../server/request-tracker.ts'
import { Residue, type ServerConnection } from '../server/server-connection.ts'
import type { Session } from './session.ts'

/** Some commands leave more behind than rows; their tags tell, whichever way they were sent. */
export function noteTag(
  session: Session,
  server: ServerConnection,
  buffer: Buffer,
  start: number,
  end: number,
): void {
  const first = buffer[start + HEADER_BYTES]
  const third = buffer[start + HEADER_BYTES + 2]
  // Others see the changes from here on, however long the rest of the query takes.
  if (session.schemaChanged && first === 0x43 && third === 0x4d)
    session.context.registry.promoted.generation += 1
  // SET but not SELECT, DEALLOCATE, DECLARE or DISCARD but not DELETE, PREPARE, LISTEN, RESET; ALTER, GRANT, CREATE or CALL
  // but not COPY or COMMIT, except COMMIT PREPARED, IMPORT but not INSERT.
  const suspicious =
    (first === 0x53 && third === 0x54) ||
    (first === 0x44 && third !== 0x4c) ||
    first === 0x50 ||
    first === 0x4c ||
    first === 0x52 ||
    first === 0x41 ||
    first === 0x47 ||
    (first === 0x43 && third !== 0x50 && (third !== 0x4d || buffer[start + HEADER_BYTES + 6] !== 0)) ||
    (first === 0x49 && third !== 0x53)
  if (!suspicious) return
  const { head } = server.tracker
  if (head?.isInjected) return
  const tag = commandTag(buffer, start, end)
  switch (tag) {
    case 'SET':
      if (head?.effect === Effect.Reset) session.resets.note(head.resets)
      // Which statement an Execute means is not certain: its portal may be another than that of the last Bind.
      if (head?.reply !== Reply.Query || (head.effect !== Effect.Reset && head.effect !== Effect.SetLocal))
        server.residue |= Residue.Settings
      break
    case 'RESET':
      session.resets.note(head?.effect === Effect.Reset ? head.resets : 'all')
      break
    case 'PREPARE':
      server.residue |= Residue.Prepared
      break
    case 'LISTEN':
      server.residue |= Residue.Listening
      break
    case 'DECLARE CURSOR':
      server.residue |= Residue.Cursors
      break
    case 'DISCARD ALL':
      session.resets.note('all')
      server.residue = 0
      discardStatements(session, server)
      break
    case 'DEALLOCATE ALL':
      server.residue &= ~Residue.Prepared
      discardStatements(session, server)
      break
    case 'DEALLOCATE':
      deallocated(session, server)
      break
    default:
      if (CHANGES_SCHEMA.test(tag)) session.schemaChanged = true
  }
}

/** What may change what a text means; DO and CALL can do anything. */
const CHANGES_SCHEMA =
  /^(CREATE|ALTER|DROP|GRANT|REVOKE|REASSIGN|IMPORT|DO|CALL|COMMIT PREPARED|DISCARD TEMP)\b/

function discardStatements(session: Session, server: ServerConnection): void {
  server.statements?.clearSettled()
  session.statements?.clearSettled()
}

/** DEALLOCATE of one name succeeded: on a decoy, on what SQL has prepared, or on a name that is ours. */
function deallocated(session: Session, server: ServerConnection): void {
  const { head } = server.tracker
  const name = head?.name ?? null
  if (name !== null) {
    if (!name.closed) session.statements?.remove(name)
  } else if ((server.residue & Residue.Prepared) === 0) {
    // Somebody has read the names of the registry: nothing is certain about this server any more.
    server.statements?.clearSettled()
    server.usable = false
  }
}
