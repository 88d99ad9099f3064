import { PoolerError, SqlState } from '../errors.ts'
import { BodyReader } from './body-reader.ts'
import { BodyWriter } from './body-writer.ts'
import { BackendType } from './message-type.ts'

/**
 * The packets of the startup phase, which have a length word but no type byte.
 * Source: PostgreSQL documentation, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest,
 * CancelRequest, NegotiateProtocolVersion; "Message Flow", "Start-up".
 */

/** Longest startup packet: MAX_STARTUP_PACKET_LENGTH of PostgreSQL, length word included. */
const MAX_STARTUP_BYTES = 10_000
const MIN_STARTUP_BYTES = 8

const SSL_REQUEST = 80877103
const GSSENC_REQUEST = 80877104
const CANCEL_REQUEST = 80877102

/** The highest minor version of protocol 3 that is spoken here. */
export const PROTOCOL_MINOR = 2

export type StartupPacket =
  | { readonly kind: 'ssl-request' }
  | { readonly kind: 'gssenc-request' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | StartupMessage

export interface StartupMessage {
  readonly kind: 'startup'
  /** The minor version that the client asked for. */
  readonly minor: number
  /** Every parameter but the `_pq_.` options, as it came. */
  readonly parameters: ReadonlyMap<string, string>
  /** Names of `_pq_.` protocol options; none is known here. */
  readonly protocolOptions: readonly string[]
}

/**
 * How many bytes the packet at `start` has, or undefined while its length word is incomplete.
 * Throws 08P01 for a length that no startup packet has, before anything is allocated for it.
 */
export function startupPacketBytes(buffer: Buffer, start: number, end: number): number | undefined {
  if (end - start < 4) return undefined
  const length = buffer.readInt32BE(start)
  if (length < MIN_STARTUP_BYTES || length > MAX_STARTUP_BYTES) {
    throw new PoolerError(SqlState.ProtocolViolation, 'invalid length of startup packet')
  }
  return length
}

/** Reads one whole startup packet. Throws 08P01 (malformed) or 0A000 (unsupported protocol). */
export function readStartupPacket(packet: Buffer): StartupPacket {
  const reader = new BodyReader(packet, 4, packet.length, 'startup')
  const code = reader.int32()
  if (code === SSL_REQUEST) return { kind: 'ssl-request' }
  if (code === GSSENC_REQUEST) return { kind: 'gssenc-request' }
  if (code === CANCEL_REQUEST) {
    const processId = reader.int32()
    return { kind: 'cancel', processId, secret: Buffer.from(reader.bytes(reader.remaining)) }
  }
  const major = code >>> 16
  const minor = code & 0xffff
  if (major !== 3) {
    throw new PoolerError(
      SqlState.FeatureNotSupported,
      `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.${PROTOCOL_MINOR}`,
    )
  }
  const parameters = new Map<string, string>()
  const protocolOptions: string[] = []
  if (packet[packet.length - 1] !== 0) throw layoutError()
  for (;;) {
    if (reader.remaining === 0) throw layoutError()
    const name = reader.cstring()
    if (name === '') break
    if (reader.remaining === 0) throw layoutError()
    const value = reader.cstring()
    if (name.startsWith('_pq_.')) protocolOptions.push(name)
    else parameters.set(name, value)
  }
  if (reader.remaining !== 0) throw layoutError()
  return { kind: 'startup', minor, parameters, protocolOptions }
}

function layoutError(): PoolerError {
  return new PoolerError(
    SqlState.ProtocolViolation,
    'invalid startup packet layout: expected terminator as last byte',
  )
}

/** The answer to a newer minor version or unknown `_pq_.` options: what is spoken here, what was not understood. */
export function encodeNegotiateProtocolVersion(minor: number, unknownOptions: readonly string[]): Buffer {
  const writer = new BodyWriter().begin(BackendType.NegotiateProtocolVersion)
  writer.int32((3 << 16) | minor).int32(unknownOptions.length)
  for (const option of unknownOptions) writer.cstring(option)
  return writer.end().take()
}

/** A StartupMessage of protocol 3.0, for connections to PostgreSQL. */
export function encodeStartupMessage(parameters: Iterable<readonly [string, string]>): Buffer {
  const writer = new BodyWriter().beginUntyped().int32(3 << 16)
  for (const [name, value] of parameters) writer.cstring(name).cstring(value)
  return writer.byte(0).end().take()
}

/** A CancelRequest for the session with this key data. */
export function encodeCancelRequest(processId: number, secret: Uint8Array): Buffer {
  return new BodyWriter().beginUntyped().int32(CANCEL_REQUEST).int32(processId).bytes(secret).end().take()
}
