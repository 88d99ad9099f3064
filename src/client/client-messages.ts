import { PoolerError, SqlState } from '../errors.ts'
import { MessageTable } from '../protocol/framer.ts'
import { FrontendType as F, HEADER_BYTES } from '../protocol/message-type.ts'

/** MaxAllocSize of PostgreSQL: longer Query, Parse, Bind, FunctionCall and CopyData messages are refused. */
const MAX_LARGE_BYTES = 0x3fffffff
/** PQ_SMALL_MESSAGE_LIMIT of PostgreSQL, for everything else. */
const MAX_SMALL_BYTES = 10_000
/** Before authentication nothing is longer than a password. */
const MAX_LOGIN_BYTES = 64 * 1024
/** The text of a statement is kept to prepare it elsewhere; longer ones are refused. */
const MAX_PARSE_BYTES = 16 * 1024 * 1024
/** Within this the two names of a Bind must end. */
const BIND_HEAD_BYTES = 4096
/** Within this a DEALLOCATE or SET LOCAL is recognised. */
const QUERY_HEAD_BYTES = 256

/** No command of the console is longer. */
export const CONSOLE_HEAD_BYTES = 4096

/** What a client may send before it is authenticated. */
export const LOGIN_MESSAGES = new MessageTable().whole([F.Password], MAX_LOGIN_BYTES)

/** What a client may send afterwards. Only COPY data passes without a call. */
export const CLIENT_MESSAGES = new MessageTable()
  .pass([F.CopyData], MAX_LARGE_BYTES)
  .head([F.Query], QUERY_HEAD_BYTES, MAX_LARGE_BYTES)
  .head([F.Bind], BIND_HEAD_BYTES, MAX_LARGE_BYTES)
  .header([F.FunctionCall], MAX_LARGE_BYTES)
  .header([F.Sync, F.Flush, F.CopyDone, F.CopyFail, F.Terminate], MAX_SMALL_BYTES)
  .whole([F.Describe, F.Execute, F.Close], MAX_SMALL_BYTES)
  .whole([F.Parse], MAX_PARSE_BYTES)

/** What a client of the admin console may send: short commands, whole. */
export const CONSOLE_MESSAGES = new MessageTable()
  .head([F.Query, F.Parse], CONSOLE_HEAD_BYTES, MAX_LARGE_BYTES)
  .whole([F.Bind, F.Describe, F.Execute, F.Close], MAX_SMALL_BYTES)
  .header([F.Sync, F.Flush, F.Terminate], MAX_SMALL_BYTES)

/** PostgreSQL's own words for a message that may not be; all of them end the connection. */
export function rejectClientMessage(type: number, total: number): PoolerError {
  const length = total - 1
  if (type === F.Parse && total > MAX_PARSE_BYTES && total <= MAX_LARGE_BYTES) {
    return new PoolerError(
      SqlState.ProgramLimitExceeded,
      `a statement of ${length} bytes is too long to be prepared through a pooler (at most ${MAX_PARSE_BYTES})`,
      { hint: 'Send it as a simple query.' },
    )
  }
  if (CLIENT_MESSAGES.needs[type] === -1) {
    return new PoolerError(SqlState.ProtocolViolation, `invalid frontend message type ${type}`)
  }
  return new PoolerError(SqlState.ProtocolViolation, 'invalid message length', {
    detail: `Message type ${String.fromCharCode(type)}, length ${length}, at least ${HEADER_BYTES - 1} is needed.`,
  })
}
