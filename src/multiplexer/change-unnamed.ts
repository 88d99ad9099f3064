import type { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import type { OwedReply } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import type { Session } from './session.ts'

/** Notes that the message of `entry` makes `after` the client's unnamed statement, if the server gets to it. */
export function changeUnnamed(
  session: Session,
  server: ServerConnection,
  entry: OwedReply,
  after: UnnamedStatement | null,
): void {
  entry.changesUnnamed = true
  entry.unnamedBefore = session.unnamed
  entry.unnamedWasThere = server.unnamed === session.unnamed
  session.unnamed = after
  session.unnamedBatch = entry.batch
  server.unnamed = after
}
