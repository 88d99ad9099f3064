import assert from 'node:assert/strict'
import { PoolerError, SqlState } from '../errors.ts'
import {
  type AuthenticationRequest,
  encodePasswordMessage,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  readAuthentication,
  SCRAM_SHA_256,
} from '../protocol/authentication.ts'
import { md5Response } from './md5.ts'
import { SCRAM_SHA_256_PLUS } from './scram-channel-binding.ts'
import { ScramClient } from './scram-client.ts'
import type { PlainSecret, ScramSecret, UserSecret } from './user-secret.ts'

/**
 * ServerExchange: the login dialogue with PostgreSQL, the pooler being the client. The server login calls
 * onAuthentication() for each 'R' message until a step is 'ok' or 'failed'. It owns how far the dialogue got.
 * Source: PostgreSQL documentation, "Message Flow", start-up, and "SASL Authentication".
 */

/** What the caller does next; with 'continue' it waits for the server. */
export type ServerStep =
  | { readonly kind: 'send'; readonly message: Buffer }
  | { readonly kind: 'continue' }
  | { readonly kind: 'ok' }
  | { readonly kind: 'failed'; readonly error: PoolerError }

export interface ServerExchangeOptions {
  readonly user: string
  /** Undefined where no password is configured, which suffices for trust. */
  readonly secret: UserSecret | undefined
  /** The tls-server-end-point binding of the TLS connection to the server; undefined without TLS. */
  readonly channelBinding?: Buffer | undefined
}

/** What the dialogue waits for. */
const State = {
  /** the server's request for a method, or AuthenticationOk of trust */
  Request: 'request',
  /** AuthenticationOk: all that the method wants was sent, and for SCRAM the server's signature verified */
  Ok: 'ok',
  /** AuthenticationSASLContinue with server-first */
  ServerFirst: 'server-first',
  /** AuthenticationSASLFinal */
  ServerFinal: 'server-final',
  /** the thread pool: no message is due, and one that comes breaks the protocol */
  Busy: 'busy',
  /** nothing any more */
  Done: 'done',
} as const
type State = (typeof State)[keyof typeof State]

const CONTINUE: ServerStep = { kind: 'continue' }

export class ServerExchange {
  readonly #user: string
  readonly #secret: UserSecret | undefined
  readonly #channelBinding: Buffer | undefined
  #state: State = State.Request
  #scram: ScramClient | undefined
  #failure: PoolerError | undefined

  constructor({ user, secret, channelBinding }: ServerExchangeOptions) {
    this.#user = user
    this.#channelBinding = channelBinding
    this.#secret = secret?.kind === 'plain' && secret.reveal() === '' ? undefined : secret
  }

  /**
   * Takes the body `bodyStart..end` of an 'R' message, which is read before this returns its promise. What
   * the server does wrong, and a secret that does not fit its method, is a 'failed' step; a rejection means
   * that the crypto library failed. The server has nothing to send while the promise is pending.
   */
  async onAuthentication(buffer: Buffer, bodyStart: number, end: number): Promise<ServerStep> {
    const state = this.#state
    this.#state = State.Busy
    try {
      const step = await this.#answer(state, readAuthentication(buffer, bodyStart, end))
      if (this.#failure === undefined) return step
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      this.#failure ??= this.#inContext(error)
    }
    // Once failed it stays failed, also for the step that was pending when a message came out of turn.
    this.#state = State.Done
    return { kind: 'failed', error: this.#failure }
  }

  #answer(state: State, request: AuthenticationRequest): ServerStep | Promise<ServerStep> {
    switch (state) {
      case State.Request:
        return this.#begin(request)
      case State.ServerFirst:
        if (request.kind === 'sasl-continue') return this.#prove(request.data)
        break
      case State.ServerFinal:
        if (request.kind === 'sasl-final') return this.#verify(request.data)
        break
      case State.Ok:
        if (request.kind === 'ok') return this.#finish()
        break
      case State.Busy:
      case State.Done:
        break
    }
    // AuthenticationOk before the signature is verified ends here too: that server may be an impostor.
    throw violation(`it sent ${describe(request)} where ${EXPECTED[state]} was due`)
  }

  #begin(request: AuthenticationRequest): ServerStep {
    switch (request.kind) {
      case 'ok':
        return this.#finish()
      case 'cleartext':
        return this.#send(State.Ok, encodePasswordMessage(this.#plainSecret('a plain password').reveal()))
      case 'md5':
        return this.#send(State.Ok, encodePasswordMessage(md5Response(this.#md5Secret(), request.salt)))
      case 'sasl':
        return this.#beginScram(request.mechanisms)
      case 'unsupported':
        throw this.#unsupported(request.method)
      case 'sasl-continue':
      case 'sasl-final':
        throw violation(`it sent ${describe(request)} where ${EXPECTED.request} was due`)
    }
  }

  #beginScram(mechanisms: readonly string[]): ServerStep {
    const plusOffered = mechanisms.includes(SCRAM_SHA_256_PLUS)
    this.#scram = new ScramClient(this.#scramSecret(), { channelBinding: this.#channelBinding, plusOffered })
    const { mechanism } = this.#scram
    // A server that offers PLUS alone cannot be served where the channel cannot be bound.
    if (!mechanisms.includes(mechanism)) {
      throw this.#unsupported('a SASL mechanism other than SCRAM-SHA-256')
    }
    const message = encodeSaslInitialResponse(mechanism, this.#scram.firstMessage())
    return this.#send(State.ServerFirst, message)
  }

  async #prove(serverFirst: Buffer): Promise<ServerStep> {
    const clientFinal = await this.#startedScram().finalMessage(serverFirst)
    return this.#send(State.ServerFinal, encodeSaslResponse(clientFinal))
  }

  #verify(serverFinal: Buffer): ServerStep {
    this.#startedScram().verify(serverFinal)
    this.#state = State.Ok
    return CONTINUE
  }

  #finish(): ServerStep {
    this.#state = State.Done
    return { kind: 'ok' }
  }

  #send(state: State, message: Buffer): ServerStep {
    this.#state = state
    return { kind: 'send', message }
  }

  #startedScram(): ScramClient {
    assert(this.#scram !== undefined)
    return this.#scram
  }

  #plainSecret(method: string): PlainSecret {
    const secret = this.#knownSecret(method)
    if (secret.kind === 'plain') return secret
    const stored = secret.kind === 'md5' ? 'an md5 hash' : 'a SCRAM secret'
    throw this.#misconfigured(`the server asks for ${method}, but only ${stored} is configured`)
  }

  /** A plain secret, or a SCRAM secret whose key a client has proved. */
  #scramSecret(): PlainSecret | ScramSecret {
    const secret = this.#knownSecret(SCRAM_SHA_256)
    if (secret.kind === 'plain') return secret
    if (secret.kind === 'md5') {
      throw this.#misconfigured(`the server asks for ${SCRAM_SHA_256}, but only an md5 hash is configured`)
    }
    if (secret.hasClientKey) return secret
    throw this.#misconfigured(
      `the server asks for ${SCRAM_SHA_256}, but only a SCRAM secret is configured, and no client has logged in ` +
        'with it yet, whose keys could be used',
    )
  }

  #md5Secret(): string {
    const secret = this.#knownSecret('md5')
    if (secret.kind !== 'scram') return secret.md5Secret(this.#user)
    throw this.#misconfigured('the server asks for md5, but only a SCRAM secret is configured')
  }

  #knownSecret(method: string): UserSecret {
    if (this.#secret !== undefined) return this.#secret
    throw this.#misconfigured(`the server asks for ${method}, but no password is configured`)
  }

  #misconfigured(what: string): PoolerError {
    const hint = `Set the plain password of user "${this.#user}" in [users] or in the auth_file.`
    return new PoolerError(SqlState.InvalidAuthorization, what, { hint })
  }

  #unsupported(method: string): PoolerError {
    const hint = `Let pg_hba.conf ask user "${this.#user}" for scram-sha-256 or md5 when the pooler connects.`
    const message = `the server asks for ${method}, which is not supported`
    return new PoolerError(SqlState.FeatureNotSupported, message, { hint })
  }

  #inContext({ sqlState, message, detail, hint }: PoolerError): PoolerError {
    return new PoolerError(sqlState, `cannot log in to PostgreSQL as user "${this.#user}": ${message}`, {
      ...(detail === undefined ? {} : { detail }),
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

const EXPECTED: Readonly<Record<State, string>> = {
  [State.Request]: 'the request for an authentication method',
  [State.Ok]: 'AuthenticationOk',
  [State.ServerFirst]: 'AuthenticationSASLContinue',
  [State.ServerFinal]: 'AuthenticationSASLFinal',
  [State.Busy]: 'no message',
  [State.Done]: 'no message',
}

const MESSAGE_NAMES: Readonly<Record<Exclude<AuthenticationRequest['kind'], 'unsupported'>, string>> = {
  ok: 'AuthenticationOk',
  cleartext: 'AuthenticationCleartextPassword',
  md5: 'AuthenticationMD5Password',
  sasl: 'AuthenticationSASL',
  'sasl-continue': 'AuthenticationSASLContinue',
  'sasl-final': 'AuthenticationSASLFinal',
}

function describe(request: AuthenticationRequest): string {
  return request.kind === 'unsupported' ? `a request for ${request.method}` : MESSAGE_NAMES[request.kind]
}

function violation(what: string): PoolerError {
  return new PoolerError(SqlState.ProtocolViolation, `the server broke the protocol: ${what}`)
}
