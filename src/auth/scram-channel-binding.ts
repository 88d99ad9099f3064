import { timingSafeEqual } from 'node:crypto'

/**
 * The words of SCRAM channel binding: the mechanism, the one binding type, and cbind-input, which ties a proof
 * to the TLS connection it travels on. Used by both sides of SCRAM. A binding is the hash of the certificate of
 * the TLS server; whoever owns the TLS socket computes it. Stateless.
 * Source: RFC 5802 sections 6 and 7, RFC 5929 section 4, RFC 7677.
 */

/** The SASL mechanism of PostgreSQL with channel binding. */
export const SCRAM_SHA_256_PLUS = 'SCRAM-SHA-256-PLUS'

const BINDING_TYPE = 'tls-server-end-point'

/** The gs2 flag of a client that binds the channel. */
export const BINDING_FLAG = `p=${BINDING_TYPE}`

/** cbind-input: the gs2 header and, where the channel is bound, the binding; in base64 as client-final has it. */
export function channelBindingInput(gs2Header: string, binding?: Buffer): string {
  const header = Buffer.from(gs2Header)
  return (binding === undefined ? header : Buffer.concat([header, binding])).toString('base64')
}

/** Compares two inputs; the time it takes tells their lengths at most, and those are no secret. */
export function sameChannelBinding(left: string, right: string): boolean {
  const [leftBytes, rightBytes] = [Buffer.from(left), Buffer.from(right)]
  return leftBytes.length === rightBytes.length && timingSafeEqual(leftBytes, rightBytes)
}
