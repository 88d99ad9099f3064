import { createHash, timingSafeEqual } from 'node:crypto'
import { md5Response, md5Secret } from './md5.ts'
import { deriveScramKeys } from './scram-keys.ts'
import type { Md5Secret, PlainSecret, UserSecret } from './user-secret.ts'

/**
 * Does what a client sent match the stored secret? For the two methods without a dialogue, plain and md5;
 * used by the client exchange. Every comparison takes the same time wherever the values differ. Stateless.
 */

/** Compares a password that came in the clear with a secret of any kind. */
export async function passwordMatches(secret: UserSecret, user: string, password: Buffer): Promise<boolean> {
  switch (secret.kind) {
    case 'plain':
      return equal(password, Buffer.from(secret.reveal()))
    case 'md5':
      return equal(Buffer.from(md5Secret(password, user)), Buffer.from(secret.md5Secret(user)))
    case 'scram': {
      const verifier = await secret.scramVerifier()
      const keys = await deriveScramKeys(password, verifier.salt, verifier.iterations)
      return equal(keys.storedKey, verifier.storedKey)
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
