import { PoolerError, SqlState } from '../errors.ts'

/**
 * The text syntax of SCRAM messages: comma-separated attributes, base64 and nonces, read strictly.
 * Used by the server side, the client side and stored verifiers. Source: RFC 5802 section 7.
 */

export type ScramAttribute = readonly [name: string, value: string]

const MAX_NONCE_BYTES = 1024
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
/** Printable ASCII without the comma. */
const NONCE = /^[!-+\--~]+$/

/** Splits a message into its attributes; throws PoolerError 08P01 where one is not `letter=value`. */
export function parseScramAttributes(text: string, messageName: string): ScramAttribute[] {
  return text.split(',').map((part) => {
    if (!/^[A-Za-z]=/.test(part))
      throw malformedScram(messageName, 'an attribute is not of the form name=value')
    return [part.charAt(0), part.slice(2)]
  })
}

/** The value at `index`, which must belong to `name`: the order of SCRAM's attributes is fixed. */
export function attributeAt(
  attributes: readonly ScramAttribute[],
  index: number,
  name: string,
  messageName: string,
): string {
  const attribute = attributes.at(index)
  if (attribute?.[0] === name) return attribute[1]
  // RFC 5802 section 5.1: m announces an extension without which the sender cannot go on.
  if (attribute?.[0] === 'm')
    throw malformedScram(messageName, 'it requires an extension, and none is supported')
  throw malformedScram(messageName, `attribute "${name}" is missing`)
}

/** The bytes of a base64 text, undefined when it is not exactly that. */
export function decodeBase64(text: string): Buffer | undefined {
  return BASE64.test(text) ? Buffer.from(text, 'base64') : undefined
}

/** Returns the nonce if it is well-formed and not too long. */
export function checkedNonce(nonce: string, messageName: string): string {
  if (nonce.length > MAX_NONCE_BYTES) {
    throw malformedScram(messageName, `its nonce has ${nonce.length} bytes, the limit is ${MAX_NONCE_BYTES}`)
  }
  if (!NONCE.test(nonce)) throw malformedScram(messageName, 'its nonce is empty or not printable ASCII')
  return nonce
}

/** A violation of RFC 5802 by the other side. */
export function malformedScram(messageName: string, what: string): PoolerError {
  return new PoolerError(SqlState.ProtocolViolation, `malformed SCRAM ${messageName} message: ${what}`)
}
