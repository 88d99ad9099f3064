import { createHash, createHmac, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { preparePassword } from './saslprep.ts'

/**
 * The cryptography of SCRAM-SHA-256, shared by its server and client side: keys from a password, proof and
 * signature from keys. Stateless; whoever owns a secret caches its keys: a derivation costs milliseconds.
 * Source: RFC 5802 section 3, RFC 7677.
 */

/** Bytes of every key, proof and signature. */
export const SCRAM_KEY_BYTES = 32

/** Clients prove that they know the client key; servers store its hash and the server key. */
export interface ScramKeys {
  readonly clientKey: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

const derive = promisify(pbkdf2)

/** Derives the keys on the thread pool, so that the event loop goes on. The password is prepared here. */
export async function deriveScramKeys(
  password: string | Buffer,
  salt: Buffer,
  iterations: number,
): Promise<ScramKeys> {
  const salted = await derive(preparePassword(password), salt, iterations, SCRAM_KEY_BYTES, 'sha256')
  const clientKey = hmac(salted, 'Client Key')
  return { clientKey, storedKey: hash(clientKey), serverKey: hmac(salted, 'Server Key') }
}

/** The proof of a client that holds the client key. */
export function clientProof(keys: ScramKeys, authMessage: string): Buffer {
  return xor(keys.clientKey, hmac(keys.storedKey, authMessage))
}

/** The client key of whoever made this proof; the login is right if its stored key is the one on file. */
export function clientKeyOfProof(proof: Buffer, storedKey: Buffer, authMessage: string): Buffer {
  return xor(proof, hmac(storedKey, authMessage))
}

/** What a server stores for a client key. */
export function storedKeyOf(clientKey: Buffer): Buffer {
  return hash(clientKey)
}

/** By this the server shows that it knows the secret too. */
export function serverSignature(serverKey: Buffer, authMessage: string): Buffer {
  return hmac(serverKey, authMessage)
}

function hash(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

function xor(left: Buffer, right: Buffer): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ (right[index] as number)))
}
