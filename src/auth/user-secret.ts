import assert from 'node:assert/strict'
import { timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'
import { PoolerError, SqlState } from '../errors.ts'
import { md5Secret } from './md5.ts'
import { deriveScramKeys, SCRAM_KEY_BYTES, type ScramKeys, storedKeyOf } from './scram-keys.ts'
import { makeScramVerifier, parseScramVerifier, type ScramVerifier } from './scram-verifier.ts'

/**
 * UserSecret: what is on file for a user: a plain password, an md5 hash or a SCRAM verifier. Made by
 * Credentials, the userlist parser and the cache of auth_query, used by both exchanges. A plain secret owns the
 * keys derived from it, so that a derivation happens once per secret, not once per login; a SCRAM secret owns
 * the key that a client proved to have. No secret prints itself.
 */
export type UserSecret = PlainSecret | Md5Secret | ScramSecret

const REDACTED = '[secret]'

/** One server and its replicas share a salt; a few more for pools to several servers. */
const MAX_CACHED_KEYS = 8

const MD5_FORM = /^md5[0-9a-f]{32}$/
const SCRAM_PREFIX = 'SCRAM-SHA-256$'

abstract class Redacted {
  toJSON(): string {
    return REDACTED
  }

  toString(): string {
    return REDACTED
  }

  [inspect.custom](): string {
    return REDACTED
  }
}

export class PlainSecret extends Redacted {
  readonly kind = 'plain'
  readonly #password: string
  readonly #keys = new Map<string, Promise<ScramKeys>>()
  #verifier: Promise<ScramVerifier> | undefined

  constructor(password: string) {
    super()
    this.#password = password
  }

  /** True if `other` stands for the same text. */
  equals(other: UserSecret): boolean {
    return other.kind === 'plain' && other.#password === this.#password
  }

  /** The password itself; an empty one logs nobody in. */
  reveal(): string {
    return this.#password
  }

  /** The stored form that the md5 method works with. */
  md5Secret(user: string): string {
    return md5Secret(this.#password, user)
  }

  /** The verifier for SCRAM logins of clients, with one random salt as long as this object lives. */
  scramVerifier(): Promise<ScramVerifier> {
    this.#verifier ??= makeScramVerifier(this.#password)
    return this.#verifier
  }

  /** The keys for a SCRAM login to a server with this salt and number of iterations. */
  scramKeys(salt: Buffer, iterations: number): Promise<ScramKeys> {
    const name = `${iterations}:${salt.toString('base64')}`
    const known = this.#keys.get(name)
    if (known !== undefined) return known
    const keys = deriveScramKeys(this.#password, salt, iterations)
    const oldest = this.#keys.keys().next()
    if (this.#keys.size >= MAX_CACHED_KEYS && !oldest.done) this.#keys.delete(oldest.value)
    this.#keys.set(name, keys)
    return keys
  }
}

export class Md5Secret extends Redacted {
  readonly kind = 'md5'
  readonly #secret: string

  constructor(secret: string) {
    super()
    this.#secret = secret
  }

  /** True if `other` stands for the same text. */
  equals(other: UserSecret): boolean {
    return other.kind === 'md5' && other.#secret === this.#secret
  }

  /**
   * The stored form, "md5" and 32 hexadecimal digits. It belongs to one user name, which it does not tell.
   */
  md5Secret(_user: string): string {
    return this.#secret
  }
}

export class ScramSecret extends Redacted {
  readonly kind = 'scram'
  readonly #verifier: ScramVerifier
  #keys: ScramKeys | undefined

  constructor(verifier: ScramVerifier) {
    super()
    this.#verifier = verifier
  }

  /** True if `other` stands for the same verifier. */
  equals(other: UserSecret): boolean {
    if (other.kind !== 'scram') return false
    const { iterations, salt, storedKey, serverKey } = this.#verifier
    const { iterations: i, salt: s, storedKey: stored, serverKey: key } = other.#verifier
    return i === iterations && s.equals(salt) && stored.equals(storedKey) && key.equals(serverKey)
  }

  scramVerifier(): Promise<ScramVerifier> {
    return Promise.resolve(this.#verifier)
  }

  /** True once a client of this user has logged in: from then on the secret can log in to PostgreSQL too. */
  get hasClientKey(): boolean {
    return this.#keys !== undefined
  }

  /**
   * Keeps the key that a client of this very user proved to have, in memory as long as this object lives.
   * Asserts that it belongs to the verifier: a key of somebody else is never taken.
   */
  learnClientKey(clientKey: Buffer): void {
    if (this.#keys !== undefined) return
    const { storedKey, serverKey } = this.#verifier
    assert.equal(clientKey.length, SCRAM_KEY_BYTES)
    assert(timingSafeEqual(storedKeyOf(clientKey), storedKey), 'the client key belongs to another verifier')
    this.#keys = { clientKey: Buffer.from(clientKey), storedKey, serverKey }
  }

  /**
   * The learnt keys, for a SCRAM login to a server that stores the same verifier. Throws PoolerError 28000 where
   * no key is known, or where salt or iterations show that the server stores another verifier: a proof made for
   * it would be wrong, and a server that only pretends would learn something about the key.
   */
  scramKeys(salt: Buffer, iterations: number): Promise<ScramKeys> {
    if (this.#keys === undefined) {
      throw new PoolerError(
        SqlState.InvalidAuthorization,
        'only a SCRAM secret is known, and no client of this user has logged in with SCRAM since it was read',
      )
    }
    if (iterations !== this.#verifier.iterations || !salt.equals(this.#verifier.salt)) {
      throw new PoolerError(
        SqlState.InvalidAuthorization,
        'the server stores another SCRAM secret for this user than the pooler',
      )
    }
    return Promise.resolve(this.#keys)
  }
}

/**
 * The secret that `text` means, told apart by its form as PostgreSQL does with pg_authid.rolpassword.
 * Throws PoolerError F0000, without the text, when it contains NUL or begins like a SCRAM secret and is none:
 * as a password it would only ever fail.
 */
export function parseSecret(text: string): UserSecret {
  if (MD5_FORM.test(text)) return new Md5Secret(text)
  if (text.startsWith(SCRAM_PREFIX)) {
    const verifier = parseScramVerifier(text)
    if (verifier !== undefined) return new ScramSecret(verifier)
    throw new PoolerError(
      SqlState.ConfigurationError,
      'the secret begins with SCRAM-SHA-256$ but is not <iterations>:<salt>$<StoredKey>:<ServerKey>; ' +
        'copy rolpassword from pg_authid as a whole',
    )
  }
  if (text.includes('\0')) {
    throw new PoolerError(SqlState.ConfigurationError, 'the password contains a NUL byte, remove it')
  }
  return new PlainSecret(text)
}
