import assert from 'node:assert/strict'
import { BodyReader } from './body-reader.ts'
import { BodyWriter } from './body-writer.ts'
import { BackendType, FrontendType } from './message-type.ts'

/**
 * The messages of the login dialogue: Authentication* of the server, and the client's 'p' messages, whose
 * meaning (password or SASL) depends on what the server asked last. Used by both exchanges in auth/.
 * Readers take a body `start..end` and throw PoolerError 08P01 when it is malformed; every Buffer that they
 * return is a view of the message. Source: PostgreSQL documentation, "Message Formats".
 */

/** The SASL mechanism of PostgreSQL without channel binding. Source: RFC 7677. */
export const SCRAM_SHA_256 = 'SCRAM-SHA-256'

const AuthenticationCode = {
  Ok: 0,
  CleartextPassword: 3,
  Md5Password: 5,
  Sasl: 10,
  SaslContinue: 11,
  SaslFinal: 12,
} as const

/** Methods that the pooler does not speak, by the name that an operator knows. */
const UNSUPPORTED_METHODS: Readonly<Record<number, string>> = {
  2: 'Kerberos V5',
  6: 'SCM credentials',
  7: 'GSSAPI',
  8: 'GSSAPI',
  9: 'SSPI',
}

const MD5_SALT_BYTES = 4

/** One Authentication* message. */
export type AuthenticationRequest =
  | { readonly kind: 'ok' }
  | { readonly kind: 'cleartext' }
  | { readonly kind: 'md5'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue'; readonly data: Buffer }
  | { readonly kind: 'sasl-final'; readonly data: Buffer }
  | { readonly kind: 'unsupported'; readonly method: string }

export interface SaslInitialResponse {
  readonly mechanism: string
  /** Undefined when the client sent none (length -1): it waits for an empty challenge first. */
  readonly response: Buffer | undefined
}

/** Reads any Authentication* message of a server. */
export function readAuthentication(buffer: Buffer, start: number, end: number): AuthenticationRequest {
  const reader = new BodyReader(buffer, start, end, 'Authentication')
  const code = reader.int32()
  switch (code) {
    case AuthenticationCode.Ok:
      reader.expectEnd()
      return { kind: 'ok' }
    case AuthenticationCode.CleartextPassword:
      reader.expectEnd()
      return { kind: 'cleartext' }
    case AuthenticationCode.Md5Password: {
      const salt = reader.bytes(MD5_SALT_BYTES)
      reader.expectEnd()
      return { kind: 'md5', salt }
    }
    case AuthenticationCode.Sasl:
      return { kind: 'sasl', mechanisms: readMechanisms(reader) }
    case AuthenticationCode.SaslContinue:
      return { kind: 'sasl-continue', data: reader.bytes(reader.remaining) }
    case AuthenticationCode.SaslFinal:
      return { kind: 'sasl-final', data: reader.bytes(reader.remaining) }
    default:
      return { kind: 'unsupported', method: UNSUPPORTED_METHODS[code] ?? `authentication method ${code}` }
  }
}

function readMechanisms(reader: BodyReader): string[] {
  const mechanisms: string[] = []
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) mechanisms.push(name)
  reader.expectEnd()
  return mechanisms
}

export function encodeAuthenticationOk(): Buffer {
  return beginAuthentication(AuthenticationCode.Ok).end().take()
}

export function encodeAuthenticationCleartextPassword(): Buffer {
  return beginAuthentication(AuthenticationCode.CleartextPassword).end().take()
}

/** `salt` has four bytes. */
export function encodeAuthenticationMd5Password(salt: Buffer): Buffer {
  assert.equal(salt.length, MD5_SALT_BYTES)
  return beginAuthentication(AuthenticationCode.Md5Password).bytes(salt).end().take()
}

/** Offers SASL mechanisms, the preferred one first. */
export function encodeAuthenticationSasl(mechanisms: readonly string[]): Buffer {
  const writer = beginAuthentication(AuthenticationCode.Sasl)
  for (const name of mechanisms) writer.cstring(name)
  return writer.byte(0).end().take()
}

export function encodeAuthenticationSaslContinue(data: string): Buffer {
  return beginAuthentication(AuthenticationCode.SaslContinue).string(data).end().take()
}

export function encodeAuthenticationSaslFinal(data: string): Buffer {
  return beginAuthentication(AuthenticationCode.SaslFinal).string(data).end().take()
}

function beginAuthentication(code: number): BodyWriter {
  return new BodyWriter().begin(BackendType.Authentication).int32(code)
}

/**
 * The password in a PasswordMessage, as bytes: nothing says which encoding a client used, and what is not
 * UTF-8 must neither be altered nor become equal to something else.
 */
export function readPasswordMessage(buffer: Buffer, start: number, end: number): Buffer {
  const reader = new BodyReader(buffer, start, end, 'PasswordMessage')
  const nul = buffer.indexOf(0, start)
  // Without a terminator all is taken, and byte() below reports that the body ends too early.
  const password = reader.bytes(nul === -1 || nul >= end ? reader.remaining : nul - start)
  reader.byte()
  reader.expectEnd()
  return password
}

/** A PasswordMessage; `password` (plain text or an md5 response) must not contain NUL. */
export function encodePasswordMessage(password: string): Buffer {
  return beginPassword().cstring(password).end().take()
}

/** Reads the client's answer to AuthenticationSASL. */
export function readSaslInitialResponse(buffer: Buffer, start: number, end: number): SaslInitialResponse {
  const reader = new BodyReader(buffer, start, end, 'SASLInitialResponse')
  const mechanism = reader.cstring()
  const length = reader.int32()
  const response = length === -1 ? undefined : reader.bytes(length)
  reader.expectEnd()
  return { mechanism, response }
}

export function encodeSaslInitialResponse(mechanism: string, response: string): Buffer {
  return beginPassword().cstring(mechanism).int32(Buffer.byteLength(response)).string(response).end().take()
}

/** Reads the client's answer to AuthenticationSASLContinue: the whole body is the mechanism's data. */
export function readSaslResponse(buffer: Buffer, start: number, end: number): Buffer {
  const reader = new BodyReader(buffer, start, end, 'SASLResponse')
  return reader.bytes(reader.remaining)
}

export function encodeSaslResponse(data: string): Buffer {
  return beginPassword().string(data).end().take()
}

function beginPassword(): BodyWriter {
  return new BodyWriter().begin(FrontendType.Password)
}
