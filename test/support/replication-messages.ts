import type { BackendMessage } from './backend-message.ts'
import { copyData } from './frontend-messages.ts'

/**
 * The messages inside CopyData of a replication stream, and WAL positions as text.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol".
 */

export interface WalData {
  /** Where the data begins in the WAL. */
  readonly start: bigint
  readonly data: Buffer
}

const WAL_DATA = 'w'.charCodeAt(0)
const KEEPALIVE = 'k'.charCodeAt(0)
const WAL_DATA_HEADER_BYTES = 25
const STATUS_BYTES = 34

/** Standby status update: everything up to `position` is written, flushed and applied. */
export function standbyStatus(position: bigint): Buffer {
  const body = Buffer.alloc(STATUS_BYTES)
  body.write('r', 'latin1')
  for (const at of [1, 9, 17]) body.writeBigUInt64BE(position, at)
  return copyData(body)
}

/** The WAL in a CopyData message; undefined for a keepalive and for all other messages. */
export function walData({ type, body }: BackendMessage): WalData | undefined {
  if (type !== 'd' || body[0] !== WAL_DATA) return undefined
  return { start: body.readBigUInt64BE(1), data: body.subarray(WAL_DATA_HEADER_BYTES) }
}

/** The end of the server's WAL in a keepalive; undefined for all other messages. */
export function keepalive({ type, body }: BackendMessage): bigint | undefined {
  return type === 'd' && body[0] === KEEPALIVE ? body.readBigUInt64BE(1) : undefined
}

/** `16/B374D848` as a number. */
export function walPosition(text: string): bigint {
  const [high = '', low = ''] = text.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
