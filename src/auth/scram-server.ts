import { randomBytes, timingSafeEqual } from 'node:crypto'
import { PoolerError, SqlState } from '../errors.ts'
import {
  attributeAt,
  checkedNonce,
  decodeBase64,
  malformedScram,
  parseScramAttributes,
  type ScramAttribute,
} from './scram-attributes.ts'
import { SCRAM_KEY_BYTES, serverSignature, storedKeyOfProof } from './scram-keys.ts'
import type { ScramVerifier } from './scram-verifier.ts'

/**
 * ScramServer: one SCRAM-SHA-256 dialogue with a client, the pooler being the server. The client exchange
 * calls firstMessage() and then finalMessage(). It owns both nonces and the messages that proofs are made
 * over. Source: RFC 5802 sections 3, 5 and 7. Everything throws PoolerError when the client breaks the
 * protocol.
 */

const FIRST = 'client-first'
const FINAL = 'client-final'
const NONCE_BYTES = 18

/** gs2-header: the channel binding flag and the optional authorization identity. */
const GS2_HEADER = /^(n|y|p=[^,]*),(a=[^,]*)?,/

interface FirstRound {
  /** base64 of the gs2 header, which the client must repeat: nobody changed it on the way. */
  readonly channelBinding: string
  readonly nonce: string
  /** client-first-bare and server-first, the first two parts of AuthMessage. */
  readonly messages: string
}

export class ScramServer {
  readonly #verifier: ScramVerifier
  readonly #serverNonce: string
  #firstRound: FirstRound | undefined

  /** `serverNonce` is given by tests only. */
  constructor(verifier: ScramVerifier, serverNonce = randomBytes(NONCE_BYTES).toString('base64')) {
    this.#verifier = verifier
    this.#serverNonce = serverNonce
  }

  /** Takes client-first, returns server-first. The user name in it counts for nothing, as in PostgreSQL. */
  firstMessage(clientFirst: Buffer): string {
    const text = clientFirst.toString()
    const header = readGs2Header(text)
    const bare = text.slice(header.length)
    const attributes = parseScramAttributes(bare, FIRST)
    attributeAt(attributes, 0, 'n', FIRST)
    const nonce = checkedNonce(attributeAt(attributes, 1, 'r', FIRST), FIRST) + this.#serverNonce
    const { salt, iterations } = this.#verifier
    const serverFirst = `r=${nonce},s=${salt.toString('base64')},i=${iterations}`
    this.#firstRound = {
      channelBinding: Buffer.from(header).toString('base64'),
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
    if (attributeAt(attributes, 0, 'c', FINAL) !== channelBinding) {
      throw malformedScram(FINAL, 'its channel binding is not the one announced')
    }
    if (attributeAt(attributes, 1, 'r', FINAL) !== nonce)
      throw malformedScram(FINAL, 'its nonce does not match')
    const proof = readProof(attributes)
    const authMessage = `${messages},${text.slice(0, text.lastIndexOf(',p='))}`
    const { storedKey, serverKey } = this.#verifier
    if (!timingSafeEqual(storedKeyOfProof(proof, storedKey, authMessage), storedKey)) return undefined
    return `v=${serverSignature(serverKey, authMessage).toString('base64')}`
  }
}

function readGs2Header(text: string): string {
  const match = GS2_HEADER.exec(text)
  if (match === null) throw malformedScram(FIRST, 'it does not begin with a gs2 header')
  const [header, flag, identity] = match
  if (flag?.startsWith('p') === true) {
    throw new PoolerError(
      SqlState.ProtocolViolation,
      'the client asks for SCRAM channel binding, which was not offered',
      { hint: 'Set channel_binding=prefer or disable on the client.' },
    )
  }
  if (identity !== undefined) {
    throw new PoolerError(
      SqlState.FeatureNotSupported,
      'the client asks for a SCRAM authorization identity, which is not supported',
      { hint: 'Log in as the user that shall be used.' },
    )
  }
  return header
}

/** The proof comes last, after any extensions. */
function readProof(attributes: readonly ScramAttribute[]): Buffer {
  const proof = decodeBase64(attributeAt(attributes, -1, 'p', FINAL))
  if (proof?.length !== SCRAM_KEY_BYTES) {
    throw malformedScram(FINAL, `its proof is not base64 of ${SCRAM_KEY_BYTES} bytes`)
  }
  return proof
}
