import { createHash, timingSafeEqual } from 'node:crypto'
import { md5Response, md5Secret } from './md5.ts'
import { deriveScramKeys } from './scram-keys.ts'
import type { Md5Secret, PlainSecret, UserSecret } from './user-secret.ts'

/**
 * Does what a client sent match the stored secret? For the two methods without a dialogue, plain and md5;
 * used by the client exchange. Every comparison takes the same time wherever the values differ. Stateless.
 */

export interface PasswordCheck {
  readonly matches: boolean
  /** Where the secret is a SCRAM one: the key of whoever knows this password. */
  readonly clientKey?: Buffer
}

/**
 * About a second of one thread. Whoever may change a password may store a secret with as many as 2^31, which a few
 * logins in clear text would make the whole thread pool compute for an hour; with SCRAM it is the client's time.
 */
const MAX_ITERATIONS = 1_000_000

/** Compares a password that came in the clear with a secret of any kind. */
export async function checkPassword(
  secret: UserSecret,
  user: string,
  password: Buffer,
): Promise<PasswordCheck> {
  switch (secret.kind) {
    case 'plain':
      return { matches: equal(password, Buffer.from(secret.reveal())) }
    case 'md5':
      return { matches: equal(Buffer.from(md5Secret(password, user)), Buffer.from(secret.md5Secret(user))) }
    case 'scram': {
      const { salt, iterations, storedKey } = await secret.scramVerifier()
      if (iterations > MAX_ITERATIONS) return { matches: false }
      const keys = await deriveScramKeys(password, salt, iterations)
      return { matches: equal(keys.storedKey, storedKey), clientKey: keys.clientKey }
    }
  }
}

/** Compares a client's answer to an md5 request with the answer that the secret gives. */
export function md5ResponseMatches(
  secret: PlainSecret | Md5Secret,
  user: string,
  salt: Buffer,
  response: Buffer,
): boolean {
  return equal(response, Buffer.from(md5Response(secret.md5Secret(user), salt)))
}

function equal(left: Buffer, right: Buffer): boolean {
  // timingSafeEqual wants equal lengths, and hashes have them whatever the lengths of the values.
  return timingSafeEqual(sha256(left), sha256(right))
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest()
}
