import { randomBytes, timingSafeEqual } from 'node:crypto'
import { PoolerError, SqlState } from '../errors.ts'
import { SCRAM_SHA_256 } from '../protocol/authentication.ts'
import {
  attributeAt,
  checkedNonce,
  decodeBase64,
  malformedScram,
  parseScramAttributes,
  type ScramAttribute,
} from './scram-attributes.ts'
import {
  BINDING_FLAG,
  channelBindingInput,
  SCRAM_SHA_256_PLUS,
  sameChannelBinding,
} from './scram-channel-binding.ts'
import { clientKeyOfProof, SCRAM_KEY_BYTES, serverSignature, storedKeyOf } from './scram-keys.ts'
import type { ScramVerifier } from './scram-verifier.ts'

/**
 * ScramServer: one SCRAM-SHA-256(-PLUS) dialogue with a client, the pooler being the server. The client
 * exchange calls firstMessage() and then finalMessage(). It owns both nonces, the messages that proofs are made
 * over and, at the end, the client's key. Source: RFC 5802 sections 3, 5, 6 and 7; wording and SQLSTATE of
 * refusals are PostgreSQL's. Everything throws PoolerError when the client breaks the protocol.
 */

const FIRST = 'client-first'
const FINAL = 'client-final'
const NONCE_BYTES = 18

/** gs2-header: the channel binding flag and the optional authorization identity. */
const GS2_HEADER = /^(n|y|p=[^,]*),(a=[^,]*)?,/

export interface ScramServerOptions {
  /** The mechanism that the client chose; SCRAM-SHA-256 where it is not given. */
  readonly mechanism?: string
  /** The binding of the client's TLS connection; given if and only if SCRAM-SHA-256-PLUS was offered. */
  readonly channelBinding?: Buffer | undefined
  /** Given by tests only. */
  readonly serverNonce?: string
}

interface FirstRound {
  /** cbind-input in base64, which the client must send: nobody changed it on the way. */
  readonly channelBinding: string
  readonly nonce: string
  /** client-first-bare and server-first, the first two parts of AuthMessage. */
  readonly messages: string
}

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #mechanism: string
  readonly #channelBinding: Buffer | undefined
  readonly #serverNonce: string
  #firstRound: FirstRound | undefined
  #clientKey: Buffer | undefined

  constructor(verifier: ScramVerifier, options: ScramServerOptions = {}) {
    this.#verifier = verifier
    this.#mechanism = options.mechanism ?? SCRAM_SHA_256
    this.#channelBinding = options.channelBinding
    this.#serverNonce = options.serverNonce ?? randomBytes(NONCE_BYTES).toString('base64')
  }

  /** The key of a client whose proof was right: with it the pooler can log in to PostgreSQL as that client. */
  get clientKey(): Buffer | undefined {
    return this.#clientKey
  }

  /** Takes client-first, returns server-first. The user name in it counts for nothing, as in PostgreSQL. */
  firstMessage(clientFirst: Buffer): string {
    const text = clientFirst.toString()
    const { header, flag } = readGs2Header(text)
    const binding = this.#bindingFor(flag)
    const bare = text.slice(header.length)
    const attributes = parseScramAttributes(bare, FIRST)
    attributeAt(attributes, 0, 'n', FIRST)
    const nonce = checkedNonce(attributeAt(attributes, 1, 'r', FIRST), FIRST) + this.#serverNonce
    const { salt, iterations } = this.#verifier
    const serverFirst = `r=${nonce},s=${salt.toString('base64')},i=${iterations}`
    this.#firstRound = {
      channelBinding: channelBindingInput(header, binding),
      nonce,
      messages: `${bare},${serverFirst}`,
    }
    return serverFirst
  }

  /** Takes client-final, returns server-final, or undefined when the client does not know the password. */
  finalMessage(clientFinal: Buffer): string | undefined {
    if (this.#firstRound === undefined) throw malformedScram(FINAL, 'it came before the client-first message')
    const { channelBinding, nonce, messages } = this.#firstRound
    const text = clientFinal.toString()
    const attributes = parseScramAttributes(text, FINAL)
    if (!sameChannelBinding(attributeAt(attributes, 0, 'c', FINAL), channelBinding)) {
      if (this.#mechanism !== SCRAM_SHA_256_PLUS) {
        throw malformedScram(FINAL, 'its channel binding is not the one announced')
      }
      throw new PoolerError(SqlState.InvalidAuthorization, 'SCRAM channel binding check failed')
    }
    if (attributeAt(attributes, 1, 'r', FINAL) !== nonce)
      throw malformedScram(FINAL, 'its nonce does not match')
    const proof = readProof(attributes)
    const authMessage = `${messages},${text.slice(0, text.lastIndexOf(',p='))}`
    const { storedKey, serverKey } = this.#verifier
    const clientKey = clientKeyOfProof(proof, storedKey, authMessage)
    if (!timingSafeEqual(storedKeyOf(clientKey), storedKey)) return undefined
    this.#clientKey = clientKey
    return `v=${serverSignature(serverKey, authMessage).toString('base64')}`
  }

  /** The binding that client-final must have, after a check that flag, mechanism and offer fit together. */
  #bindingFor(flag: string): Buffer | undefined {
    const plus = this.#mechanism === SCRAM_SHA_256_PLUS
    if (!flag.startsWith('p')) {
      if (plus)
        throw malformedScram(FIRST, 'it has no channel binding, but the client chose a mechanism with it')
      // Somebody in between took SCRAM-SHA-256-PLUS out of the offer, or put the flag in.
      if (flag === 'y' && this.#channelBinding !== undefined) throw downgrade()
      return undefined
    }
    if (!plus)
      throw malformedScram(FIRST, 'it has channel binding, but the client chose SCRAM-SHA-256 without it')
    if (flag !== BINDING_FLAG) {
      throw malformedScram(FIRST, 'its type of channel binding is not supported, tls-server-end-point is')
    }
    if (this.#channelBinding === undefined) throw malformedScram(FIRST, 'channel binding was not offered')
    return this.#channelBinding
  }
}

function downgrade(): PoolerError {
  return new PoolerError(SqlState.InvalidAuthorization, 'SCRAM channel binding negotiation error', {
    detail:
      'The client supports SCRAM channel binding but thinks the server does not. ' +
      'However, this server does support channel binding.',
  })
}

function readGs2Header(text: string): { header: string; flag: string } {
  const match = GS2_HEADER.exec(text)
  if (match === null) throw malformedScram(FIRST, 'it does not begin with a gs2 header')
  const [header, flag = '', identity] = match
  if (identity !== undefined) {
    throw new PoolerError(
      SqlState.FeatureNotSupported,
      'the client asks for a SCRAM authorization identity, which is not supported',
      { hint: 'Log in as the user that shall be used.' },
    )
  }
  return { header, flag }
}

/** The proof comes last, after any extensions. */
function readProof(attributes: readonly ScramAttribute[]): Buffer {
  const proof = decodeBase64(attributeAt(attributes, -1, 'p', FINAL))
  if (proof?.length !== SCRAM_KEY_BYTES) {
    throw malformedScram(FINAL, `its proof is not base64 of ${SCRAM_KEY_BYTES} bytes`)
  }
  return proof
}
