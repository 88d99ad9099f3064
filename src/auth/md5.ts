import { createHash } from 'node:crypto'

/**
 * PostgreSQL's md5 password authentication, used by both exchanges and by the password check. Stateless.
 * Source: PostgreSQL documentation, "Message Flow", AuthenticationMD5Password.
 */

/** What PostgreSQL stores for an md5 user: "md5" and the hash of password and user name in lower-case hex. */
export function md5Secret(password: string | Buffer, user: string): string {
  return `md5${createHash('md5').update(password).update(user).digest('hex')}`
}

/** What a client sends for a stored md5 secret and the server's four random bytes. */
export function md5Response(secret: string, salt: Buffer): string {
  return `md5${createHash('md5').update(secret.slice(3)).update(salt).digest('hex')}`
}
