import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { PoolerError, SqlState } from '../errors.ts'
import {
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationMd5Password,
  encodeAuthenticationSasl,
  encodeAuthenticationSaslContinue,
  encodeAuthenticationSaslFinal,
  readPasswordMessage,
  readSaslInitialResponse,
  readSaslResponse,
  SCRAM_SHA_256,
} from '../protocol/authentication.ts'
import { checkPassword, md5ResponseMatches } from './password-check.ts'
import { SCRAM_SHA_256_PLUS } from './scram-channel-binding.ts'
import { ScramServer } from './scram-server.ts'
import { mockScramVerifier, type ScramVerifier } from './scram-verifier.ts'
import { type PlainSecret, ScramSecret, type UserSecret } from './user-secret.ts'

/**
 * ClientExchange: the login dialogue with one client, the pooler being the server. The client login calls
 * start() and then onMessage() for each 'p' message until a step is not 'send'. It owns how far the dialogue
 * got. A user without a usable secret goes through the dialogue of another one, with the same work in each
 * step, and fails at its end.
 * Source: PostgreSQL documentation, "Message Flow", start-up; PgBouncer setting auth_type.
 */

/** How clients must prove who they are. `md5` does SCRAM with users whose secret is a SCRAM one. */
export type AuthType = 'trust' | 'plain' | 'md5' | 'scram-sha-256'

/** What the caller does next. After 'ok' it sends `message`, if there is one, and then AuthenticationOk. */
export type ClientStep =
  | { readonly kind: 'send'; readonly message: Buffer }
  | { readonly kind: 'ok'; readonly message?: Buffer }
  | { readonly kind: 'failed'; readonly error: PoolerError }

export interface ClientExchangeOptions {
  readonly authType: AuthType
  readonly user: string
  /** Undefined for an unknown user, who is let in by trust alone. */
  readonly secret: UserSecret | undefined
  /**
   * The secret of somebody else, see Lookalikes: without a usable one of its own a user gets a dialogue of this
   * kind. Undefined: that of a user whose password PostgreSQL stored by default, which is SCRAM.
   */
  readonly lookalike?: UserSecret | undefined
  /** tls-server-end-point of the client's TLS connection: SCRAM-SHA-256-PLUS is offered too (RFC 5929). */
  readonly channelBinding?: Buffer | undefined
}

/** What the dialogue waits for. */
const State = {
  /** start() */
  New: 'new',
  /** the PasswordMessage with the password itself */
  Password: 'password',
  /** the PasswordMessage with the answer to the md5 salt */
  Md5Response: 'md5-response',
  /** SASLInitialResponse, with or without client-first in it */
  SaslInitial: 'sasl-initial',
  /** SASLResponse with client-first, where SASLInitialResponse had none */
  ClientFirst: 'client-first',
  /** SASLResponse with client-final */
  ClientFinal: 'client-final',
  /** the thread pool: no message is due, and one that comes breaks the protocol */
  Busy: 'busy',
  /** nothing any more */
  Done: 'done',
} as const
type State = (typeof State)[keyof typeof State]

const MD5_SALT_BYTES = 4

export class ClientExchange {
  readonly #authType: AuthType
  readonly #user: string
  readonly #secret: UserSecret | undefined
  /** What decides over the dialogue and is checked against; it lets in only where it is #secret itself. */
  readonly #model: UserSecret
  readonly #channelBinding: Buffer | undefined
  /** Best first, as clients take the first that they know. */
  readonly #mechanisms: readonly string[]
  readonly #md5Salt = randomBytes(MD5_SALT_BYTES)
  #state: State = State.New
  #mechanism: string | undefined
  #scram: ScramServer | undefined
  #failure: PoolerError | undefined

  constructor({ authType, user, secret, lookalike, channelBinding }: ClientExchangeOptions) {
    this.#authType = authType
    this.#user = user
    // An empty password would let in whoever leaves the password away; PostgreSQL never accepts one either.
    this.#secret = isEmpty(secret) ? undefined : secret
    this.#model = this.#secret ?? lookalike ?? new ScramSecret(mockScramVerifier(user))
    this.#channelBinding = channelBinding
    this.#mechanisms = channelBinding === undefined ? [SCRAM_SHA_256] : [SCRAM_SHA_256_PLUS, SCRAM_SHA_256]
  }

  /** The first step: what to ask the client for, or 'ok' with trust. */
  start(): ClientStep {
    assert.equal(this.#state, State.New)
    switch (this.#method()) {
      case 'trust':
        return this.#accept()
      case 'plain':
        return this.#ask(State.Password, encodeAuthenticationCleartextPassword())
      case 'md5':
        return this.#ask(State.Md5Response, encodeAuthenticationMd5Password(this.#md5Salt))
      case 'scram-sha-256':
        return this.#ask(State.SaslInitial, encodeAuthenticationSasl(this.#mechanisms))
    }
  }

  /**
   * Takes the body `bodyStart..end` of a 'p' message, which is read before this returns its promise. What the
   * client does wrong is a 'failed' step; a rejection means that the crypto library failed. The client has
   * nothing to send while the promise is pending: a message that comes all the same fails.
   */
  async onMessage(buffer: Buffer, bodyStart: number, end: number): Promise<ClientStep> {
    const state = this.#state
    this.#state = State.Busy
    try {
      const step = await this.#answer(state, buffer, bodyStart, end)
      if (this.#failure === undefined) return step
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      this.#failure ??= error
    }
    // Once failed it stays failed, also for the step that was pending when a message came out of turn.
    this.#state = State.Done
    return { kind: 'failed', error: this.#failure }
  }

  #answer(state: State, buffer: Buffer, start: number, end: number): ClientStep | Promise<ClientStep> {
    switch (state) {
      case State.Password:
        return this.#checkPassword(readPassword(buffer, start, end))
      case State.Md5Response:
        return this.#checkMd5Response(readPassword(buffer, start, end))
      case State.SaslInitial: {
        const { mechanism, response } = readSaslInitialResponse(buffer, start, end)
        if (!this.#mechanisms.includes(mechanism)) throw this.#wrongMechanism()
        this.#mechanism = mechanism
        if (response === undefined) return this.#ask(State.ClientFirst, encodeAuthenticationSaslContinue(''))
        return this.#challenge(Buffer.from(response))
      }
      case State.ClientFirst:
        return this.#challenge(Buffer.from(readSaslResponse(buffer, start, end)))
      case State.ClientFinal:
        return this.#checkProof(readSaslResponse(buffer, start, end))
      case State.New:
      case State.Busy:
      case State.Done:
        throw unexpectedMessage()
    }
  }

  #method(): AuthType {
    return this.#authType === 'md5' && this.#model.kind === 'scram' ? 'scram-sha-256' : this.#authType
  }

  async #checkPassword(password: Buffer): Promise<ClientStep> {
    const { matches, clientKey } = await checkPassword(this.#model, this.#user, password)
    return this.#decide(matches, clientKey)
  }

  #checkMd5Response(response: Buffer): ClientStep {
    const model = this.#model
    assert(model.kind !== 'scram', 'a SCRAM secret leads to SCRAM')
    return this.#decide(md5ResponseMatches(model, this.#user, this.#md5Salt, response))
  }

  async #challenge(clientFirst: Buffer): Promise<ClientStep> {
    const secret = this.#scramSecret()
    const verifier = await (secret?.scramVerifier() ?? this.#mockVerifier())
    const mechanism = this.#mechanism
    assert(mechanism !== undefined, 'a client chooses a mechanism before it sends client-first')
    this.#scram = new ScramServer(verifier, { mechanism, channelBinding: this.#channelBinding })
    const serverFirst = this.#scram.firstMessage(clientFirst)
    return this.#ask(State.ClientFinal, encodeAuthenticationSaslContinue(serverFirst))
  }

  #checkProof(clientFinal: Buffer): ClientStep {
    assert(this.#scram !== undefined)
    const serverFinal = this.#scram.finalMessage(clientFinal)
    if (this.#secret?.kind === 'md5') throw this.#refusal('an md5 secret cannot verify scram-sha-256')
    const message = serverFinal === undefined ? undefined : encodeAuthenticationSaslFinal(serverFinal)
    return this.#decide(serverFinal !== undefined, this.#scram.clientKey, message)
  }

  /**
   * The end of every dialogue. A match counts only where it is one with the user's own secret; then a SCRAM
   * secret learns the client's key, by which the pooler can log in to PostgreSQL as this user.
   */
  #decide(matches: boolean, clientKey?: Buffer, message?: Buffer): ClientStep {
    if (this.#secret === undefined) throw this.#refusal('there is no password for this user')
    if (!matches) throw this.#refusal('the password is wrong')
    if (this.#secret.kind === 'scram' && clientKey !== undefined) this.#secret.learnClientKey(clientKey)
    return this.#accept(message)
  }

  /**
   * The secret that can verify a SCRAM proof. An md5 secret cannot: its user gets the dialogue of an unknown
   * one.
   */
  #scramSecret(): PlainSecret | ScramSecret | undefined {
    return this.#secret?.kind === 'md5' ? undefined : this.#secret
  }

  /** With a salt of this user's own, which is the same each time, and as many iterations as the lookalike. */
  async #mockVerifier(): Promise<ScramVerifier> {
    const mock = mockScramVerifier(this.#user)
    if (this.#model.kind !== 'scram') return mock
    return { ...mock, iterations: (await this.#model.scramVerifier()).iterations }
  }

  #ask(state: State, message: Buffer): ClientStep {
    this.#state = state
    return { kind: 'send', message }
  }

  #accept(message?: Buffer): ClientStep {
    this.#state = State.Done
    return message === undefined ? { kind: 'ok' } : { kind: 'ok', message }
  }

  #wrongMechanism(): PoolerError {
    const offered = this.#mechanisms.join(' and ')
    const message = `the client chose a SASL mechanism that was not offered: offered is ${offered}`
    return new PoolerError(SqlState.ProtocolViolation, message)
  }

  /**
   * One wording for every reason, which is for the log alone: the client must not learn whether the user
   * exists.
   */
  #refusal(reason: string): PoolerError {
    const message = `password authentication failed for user "${this.#user}"`
    return new PoolerError(SqlState.InvalidPassword, message, { cause: new Error(reason) })
  }
}

function isEmpty(secret: UserSecret | undefined): boolean {
  return secret?.kind === 'plain' && secret.reveal() === ''
}

/** A copy of the password: the view that the reader returns ends with this call, the check may not. */
function readPassword(buffer: Buffer, start: number, end: number): Buffer {
  const password = Buffer.from(readPasswordMessage(buffer, start, end))
  if (password.length > 0) return password
  throw new PoolerError(SqlState.InvalidPassword, 'empty password returned by client')
}

function unexpectedMessage(): PoolerError {
  const message = 'the client sent a password message when none was asked for'
  return new PoolerError(SqlState.ProtocolViolation, message)
}
