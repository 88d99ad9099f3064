import { encodeCloseStatement, encodeParse, endOfName } from '../protocol/extended-query.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { Reply, ReplyAction } from '../server/request-tracker.ts'
import type { ServerConnection } from '../server/server-connection.ts'

/** Stands in on the server for a statement that a client deallocates: the client's may be in use by others. */
export const DECOY_NAME = 'pooler_deallocated'

/** What is behind the name in a Parse: the query with its NUL, no parameter types. */
const DECOY_TEXT = Buffer.from('SELECT 1\0\0\0', 'latin1')
const CLOSE_DECOY = encodeCloseStatement(DECOY_NAME)
const PARSE_DECOY = encodeParse(DECOY_NAME, DECOY_TEXT)
const DEALLOCATE_DECOY = Buffer.from(`DEALLOCATE ${DECOY_NAME}\0`, 'latin1')

/** Puts the decoy on the server. */
export function sendDecoy(server: ServerConnection): void {
  server.send(CLOSE_DECOY)
  server.tracker.push(Reply.Close, ReplyAction.Skip)
  server.send(PARSE_DECOY)
  server.tracker.push(Reply.Parse, ReplyAction.Skip)
}

/** The Parse of an unnamed DEALLOCATE of the decoy, in place of `parse`: PostgreSQL has something to say to its types. */
export function parseOfDecoy(parse: Buffer): Buffer {
  const types = endOfName(parse, HEADER_BYTES + 1, parse.length) + 1
  return encodeParse('', Buffer.concat([DEALLOCATE_DECOY, parse.subarray(types)]))
}
