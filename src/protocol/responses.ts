import { BodyWriter } from './body-writer.ts'
import { BackendType, HEADER_BYTES } from './message-type.ts'
import { TransactionStatus } from './transaction-status.ts'

/**
 * Replies of a server that the pooler sends itself or reads.
 * Source: PostgreSQL documentation, "Message Formats".
 */

export const PARSE_COMPLETE = Buffer.from([BackendType.ParseComplete, 0, 0, 0, 4])
export const CLOSE_COMPLETE = Buffer.from([BackendType.CloseComplete, 0, 0, 0, 4])
export const READY_IDLE = encodeReady(TransactionStatus.Idle)
export const READY_IN_TRANSACTION = encodeReady(TransactionStatus.InTransaction)
export const READY_FAILED = encodeReady(TransactionStatus.Failed)

function encodeReady(status: TransactionStatus): Buffer {
  return Buffer.from([BackendType.ReadyForQuery, 0, 0, 0, 5, status])
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return new BodyWriter().begin(BackendType.ParameterStatus).cstring(name).cstring(value).end().take()
}

export function encodeBackendKeyData(processId: number, secret: Uint8Array): Buffer {
  return new BodyWriter().begin(BackendType.BackendKeyData).int32(processId).bytes(secret).end().take()
}

/** The tag of the CommandComplete at `start`, for example `INSERT 0 1`. */
export function commandTag(buffer: Buffer, start: number, end: number): string {
  return buffer.toString('latin1', start + HEADER_BYTES, end - 1)
}
