import { randomBytes, timingSafeEqual } from 'node:crypto'
import { PoolerError, SqlState } from '../errors.ts'
import { SCRAM_SHA_256 } from '../protocol/authentication.ts'
import {
  attributeAt,
  checkedNonce,
  decodeBase64,
  malformedScram,
  parseScramAttributes,
} from './scram-attributes.ts'
import { BINDING_FLAG, channelBindingInput, SCRAM_SHA_256_PLUS } from './scram-channel-binding.ts'
import { clientProof, SCRAM_KEY_BYTES, type ScramKeys, serverSignature } from './scram-keys.ts'

/**
 * ScramClient: one SCRAM-SHA-256(-PLUS) dialogue with PostgreSQL, the pooler being the client. The server
 * exchange calls firstMessage(), finalMessage() and verify() in this order. It owns the nonce and the expected
 * signature. Source: RFC 5802 sections 3, 5, 6 and 7. Everything throws PoolerError when the server breaks the
 * protocol; what the server may demand is bounded, so that a hostile one costs neither memory nor minutes of
 * CPU.
 */

const FIRST = 'server-first'
const FINAL = 'server-final'
const NONCE_BYTES = 18
const MAX_SALT_BYTES = 1024
const MAX_ITERATIONS = 1_000_000
const MAX_ERROR_CHARACTERS = 200

/** Where the keys come from: a secret, which keeps them. It may throw a PoolerError, or reject with one. */
export interface ScramKeySource {
  scramKeys(salt: Buffer, iterations: number): Promise<ScramKeys>
}

export interface ScramClientOptions {
  /** The binding of the TLS connection to the server, where there is one. */
  readonly channelBinding?: Buffer | undefined
  /** The server offers SCRAM-SHA-256-PLUS. Without a channel binding that changes nothing. */
  readonly plusOffered?: boolean
  /** Given by tests only. */
  readonly nonce?: string
  /** The user name to put into the message; PostgreSQL uses the one of the startup packet instead. */
  readonly user?: string
}

export class ScramClient {
  readonly #secret: ScramKeySource
  readonly #nonce: string
  readonly #firstBare: string
  readonly #gs2Header: string
  readonly #channelBinding: Buffer | undefined
  #expectedSignature: Buffer | undefined

  constructor(secret: ScramKeySource, options: ScramClientOptions = {}) {
    this.#secret = secret
    this.#nonce = options.nonce ?? randomBytes(NONCE_BYTES).toString('base64')
    const user = (options.user ?? '').replaceAll('=', '=3D').replaceAll(',', '=2C')
    this.#firstBare = `n=${user},r=${this.#nonce}`
    const { channelBinding, plusOffered = false } = options
    this.#channelBinding = plusOffered ? channelBinding : undefined
    // y tells a server that did offer it that somebody in between took the offer away.
    if (this.#channelBinding !== undefined) this.#gs2Header = `${BINDING_FLAG},,`
    else this.#gs2Header = channelBinding === undefined ? 'n,,' : 'y,,'
  }

  /** The mechanism to choose: SCRAM-SHA-256-PLUS where both sides can bind the channel. */
  get mechanism(): string {
    return this.#channelBinding === undefined ? SCRAM_SHA_256 : SCRAM_SHA_256_PLUS
  }

  /** client-first. */
  firstMessage(): string {
    return this.#gs2Header + this.#firstBare
  }

  /** Takes server-first, returns client-final. `serverFirst` is read before this returns its promise. */
  finalMessage(serverFirst: Buffer): Promise<string> {
    const text = serverFirst.toString()
    const attributes = parseScramAttributes(text, FIRST)
    const nonce = checkedNonce(attributeAt(attributes, 0, 'r', FIRST), FIRST)
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw malformedScram(FIRST, 'its nonce does not continue ours')
    }
    const salt = readSalt(attributeAt(attributes, 1, 's', FIRST))
    const iterations = readIterations(attributeAt(attributes, 2, 'i', FIRST))
    return this.#prove(salt, iterations, nonce, text)
  }

  /** Takes server-final; throws unless its signature shows that the server knows the secret too. */
  verify(serverFinal: Buffer): void {
    const attributes = parseScramAttributes(serverFinal.toString(), FINAL)
    if (attributes[0]?.[0] === 'e') {
      const reason = attributes[0][1].slice(0, MAX_ERROR_CHARACTERS)
      throw new PoolerError(SqlState.InvalidAuthorization, `PostgreSQL ended the SCRAM login: ${reason}`)
    }
    const signature = decodeBase64(attributeAt(attributes, 0, 'v', FINAL))
    if (signature?.length !== SCRAM_KEY_BYTES) {
      throw malformedScram(FINAL, `its signature is not base64 of ${SCRAM_KEY_BYTES} bytes`)
    }
    if (this.#expectedSignature === undefined)
      throw malformedScram(FINAL, 'it came before the client-final message')
    if (!timingSafeEqual(signature, this.#expectedSignature)) {
      throw new PoolerError(
        SqlState.InvalidAuthorization,
        'the server could not prove by its SCRAM signature that it knows the password',
        { hint: 'Make sure that host and port of this database lead to the right PostgreSQL server.' },
      )
    }
  }

  async #prove(salt: Buffer, iterations: number, nonce: string, serverFirst: string): Promise<string> {
    const keys = await this.#secret.scramKeys(salt, iterations)
    const withoutProof = `c=${channelBindingInput(this.#gs2Header, this.#channelBinding)},r=${nonce}`
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`
    this.#expectedSignature = serverSignature(keys.serverKey, authMessage)
    return `${withoutProof},p=${clientProof(keys, authMessage).toString('base64')}`
  }
}

function readSalt(text: string): Buffer {
  const salt = decodeBase64(text)
  if (salt === undefined || salt.length === 0 || salt.length > MAX_SALT_BYTES) {
    throw malformedScram(FIRST, `its salt is not base64 of 1 to ${MAX_SALT_BYTES} bytes`)
  }
  return salt
}

function readIterations(text: string): number {
  const iterations = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (iterations >= 1 && iterations <= MAX_ITERATIONS) return iterations
  throw malformedScram(FIRST, `its iteration count is not a number from 1 to ${MAX_ITERATIONS}`)
}
