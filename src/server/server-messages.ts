import { MessageTable } from '../protocol/framer.ts'
import { BackendType as B } from '../protocol/message-type.ts'

/** MaxAllocSize of PostgreSQL: no message is longer. */
const MAX_MESSAGE_BYTES = 0x3fffffff
const HEADER_ONLY_BYTES = 5
/** SQLSTATE, severity and, except in monstrous errors, everything else are within this. */
const ERROR_HEAD_BYTES = 8192
const COMMAND_TAG_BYTES = 1024
const READY_FOR_QUERY_BYTES = 6
/** Control messages: 1,600 columns with names of 63 bytes are 130 KB. */
const MAX_CONTROL_BYTES = 1024 * 1024

/**
 * Which messages of a server the pooler looks at, and how much of them. Rows and COPY data pass without a
 * call; messages that decide where the next synthesised reply goes are wanted whole.
 */
export const SERVER_MESSAGES = new MessageTable()
  .pass([B.DataRow, B.CopyData], MAX_MESSAGE_BYTES)
  .pass([B.CopyDone], HEADER_ONLY_BYTES)
  .header(
    [B.ParseComplete, B.BindComplete, B.CloseComplete, B.NoData, B.PortalSuspended, B.EmptyQueryResponse],
    HEADER_ONLY_BYTES,
  )
  .header([B.CopyInResponse, B.CopyOutResponse, B.CopyBothResponse], MAX_CONTROL_BYTES)
  .header([B.FunctionCallResponse, B.NoticeResponse, B.NotificationResponse], MAX_MESSAGE_BYTES)
  .whole([B.RowDescription, B.ParameterDescription, B.ParameterStatus], MAX_CONTROL_BYTES)
  .whole([B.Authentication, B.BackendKeyData, B.NegotiateProtocolVersion], 64 * 1024)
  .whole([B.CommandComplete], COMMAND_TAG_BYTES)
  .whole([B.ReadyForQuery], READY_FOR_QUERY_BYTES)
  .head([B.ErrorResponse], ERROR_HEAD_BYTES, MAX_MESSAGE_BYTES)
