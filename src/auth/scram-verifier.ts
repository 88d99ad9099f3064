import { createHmac, randomBytes } from 'node:crypto'
import { decodeBase64 } from './scram-attributes.ts'
import { deriveScramKeys, SCRAM_KEY_BYTES } from './scram-keys.ts'

/**
 * ScramVerifier: what a SCRAM server must know of a user, and its text form in pg_authid and userlist files,
 * SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>. Used by user secrets and by the client exchange.
 * Source: PostgreSQL documentation, catalog pg_authid; the parts in base64.
 */
export interface ScramVerifier {
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

/** Iterations for secrets made here. PgBouncer setting scram_iterations, PostgreSQL's default. */
const DEFAULT_SCRAM_ITERATIONS = 4096

const SALT_BYTES = 16
const MAX_ITERATIONS = 2_147_483_647
const MAX_SALT_BYTES = 1024
const TEXT_FORM = /^SCRAM-SHA-256\$(\d{1,10}):([^$:]+)\$([^$:]+):([^$:]+)$/

/** Random per process: an outsider cannot tell the salt of an unknown user from a stored one. */
const MOCK_KEY = randomBytes(32)

/** The verifier in `text`, undefined when it is not well-formed. */
export function parseScramVerifier(text: string): ScramVerifier | undefined {
  const parts = TEXT_FORM.exec(text)
  if (parts === null) return undefined
  const iterations = Number(parts[1])
  const salt = decodeBase64(parts[2] as string)
  const storedKey = decodeBase64(parts[3] as string)
  const serverKey = decodeBase64(parts[4] as string)
  if (iterations < 1 || iterations > MAX_ITERATIONS) return undefined
  if (salt === undefined || salt.length > MAX_SALT_BYTES) return undefined
  if (storedKey?.length !== SCRAM_KEY_BYTES || serverKey?.length !== SCRAM_KEY_BYTES) return undefined
  return { iterations, salt, storedKey, serverKey }
}

/** The text form that PostgreSQL stores. It is a secret: never log it. */
export function formatScramVerifier({ iterations, salt, storedKey, serverKey }: ScramVerifier): string {
  const [salt64, stored64, server64] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${salt64}$${stored64}:${server64}`
}

/** A verifier for a plain password, with a salt of its own. */
export async function makeScramVerifier(
  password: string,
  salt = randomBytes(SALT_BYTES),
): Promise<ScramVerifier> {
  const { storedKey, serverKey } = await deriveScramKeys(password, salt, DEFAULT_SCRAM_ITERATIONS)
  return { iterations: DEFAULT_SCRAM_ITERATIONS, salt, storedKey, serverKey }
}

/**
 * A verifier for a user that has none. It is the same whenever it is asked for, so that asking twice tells
 * nothing. No password leads to it, yet the exchange must not rely on that and fail in any case.
 */
export function mockScramVerifier(user: string): ScramVerifier {
  return {
    iterations: DEFAULT_SCRAM_ITERATIONS,
    salt: mockBytes('salt', user).subarray(0, SALT_BYTES),
    storedKey: mockBytes('stored key', user),
    serverKey: mockBytes('server key', user),
  }
}

function mockBytes(purpose: string, user: string): Buffer {
  return createHmac('sha256', MOCK_KEY).update(`${purpose}:${user}`).digest()
}
