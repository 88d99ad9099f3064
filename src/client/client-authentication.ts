import { ClientExchange, type ClientStep } from '../auth/client-exchange.ts'
import type { LoginDecision } from '../auth/login-policy.ts'
import type { PendingLogin } from '../auth/login-throttle.ts'
import type { UserSecret } from '../auth/user-secret.ts'
import { findDatabase, isConsole } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { encodeAuthenticationOk } from '../protocol/authentication.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import type { ClientConnection } from './client-connection.ts'
import type { ClientLoginContext } from './client-login-context.ts'

/** To be kept by a Framer that shall deliver nothing until it is resumed. */
const NOTHING = Buffer.alloc(0)

/**
 * ClientAuthentication: who is this client, and may it come in? The policy decides how that is shown, the
 * credentials know the secret, a ClientExchange talks to the client. Made by ClientLogin once the
 * StartupMessage has been read; it owns how far the proof got.
 * Which databases exist is said after AuthenticationOk only, as PostgreSQL does.
 */
export class ClientAuthentication {
  readonly #context: ClientLoginContext
  readonly #client: ClientConnection
  readonly #pending: PendingLogin
  readonly #refuse: (error: PoolerError) => void
  #exchange: ClientExchange | null = null
  /** The password was wrong, and the answer is on its way. */
  #failed = false

  /** `refuse` logs the error and ends the connection with it. */
  constructor(
    context: ClientLoginContext,
    client: ClientConnection,
    pending: PendingLogin,
    refuse: (error: PoolerError) => void,
  ) {
    this.#context = context
    this.#client = client
    this.#pending = pending
    this.#refuse = refuse
  }

  /** The policy decides; the user's secret, where it takes one, may have to be asked for. */
  start(): void {
    const client = this.#client
    const { policy, credentials } = this.#context
    const { user, database, encrypted, peerCertificate, replication } = client
    const decision = policy.decide({
      address: client.wire.remoteAddress,
      encrypted,
      certificateName: peerCertificate?.commonName,
      database,
      user,
      replication: replication === 'physical',
    })
    if (decision.kind === 'refused') throw decision.error
    if (decision.kind === 'accepted' && decision.by !== 'trust') {
      this.#take({ kind: 'ok' })
      return
    }
    const secret = credentials.lookup(user, database, () => !client.wire.closed)
    if (!(secret instanceof Promise)) {
      this.#begin(decision, secret)
      return
    }
    client.framer.keep(NOTHING)
    secret.then(
      (found) => this.#afterWait(() => this.#begin(decision, found)),
      (error: unknown) => this.#refuse(error instanceof PoolerError ? error : loginFailed(error)),
    )
  }

  #begin(decision: Exclude<LoginDecision, { kind: 'refused' }>, secret: UserSecret | undefined): void {
    const { credentials } = this.#context
    const { user, channelBinding } = this.#client
    if (decision.kind === 'accepted') {
      if (secret === undefined && !credentials.isEmpty && !credentials.knowsByName(user)) {
        throw new PoolerError(SqlState.InvalidAuthorization, `role "${user}" is not known to the pooler`)
      }
      this.#take({ kind: 'ok' })
      return
    }
    this.#exchange = new ClientExchange({
      authType: decision.authType,
      user,
      secret,
      lookalike: credentials.lookalike(user),
      channelBinding: channelBinding ?? undefined,
    })
    this.#take(this.#exchange.start())
  }

  #take(step: ClientStep): void {
    const client = this.#client
    // Who needs no password is not hindered by those who guess one.
    if (this.#exchange !== null && isVerdict(step)) this.#pending.checkFailures()
    switch (step.kind) {
      case 'send':
        client.send(step.message)
        break
      case 'failed':
        if (step.error.sqlState === SqlState.InvalidPassword) this.#wrongPassword(step.error)
        else this.#refuse(step.error)
        break
      case 'ok': {
        if (step.message !== undefined) client.send(step.message)
        client.send(encodeAuthenticationOk())
        if (isConsole(client.database)) {
          this.#pending.leave()
          this.#context.console(client)
          break
        }
        const database = findDatabase(this.#context.config, client.database)
        if (database === undefined) {
          throw new PoolerError(SqlState.InvalidCatalogName, `database "${client.database}" does not exist`)
        }
        this.#pending.leave()
        this.#context.authenticated(client, database)
        break
      }
    }
  }

  /** The operator reads it at once, the client after auth_failure_delay; what it sends meanwhile is not read. */
  #wrongPassword(error: PoolerError): void {
    const client = this.#client
    const { credentials } = this.#context
    // The password may have been changed since auth_query was asked: the next attempt shall know it.
    void credentials.refresh(client.user, client.database)
    this.#context.refused(client, error)
    client.framer.keep(NOTHING)
    this.#failed = true
    this.#pending.failed(() => client.fail(error))
  }

  /** A 'p' message, `buffer[start, end)`. Throws 08P01 when none is due. */
  onMessage(buffer: Buffer, start: number, end: number): void {
    if (this.#exchange === null)
      throw new PoolerError(SqlState.ProtocolViolation, 'unexpected password message')
    const step = this.#exchange.onMessage(buffer, start + HEADER_BYTES, end)
    this.#client.framer.hold()
    step.then(
      (done) => this.#afterWait(() => this.#take(done)),
      (error: unknown) => this.#refuse(loginFailed(error)),
    )
  }

  /** What took its time, in another thread or at a server, is done; the client may be gone by now. */
  #afterWait(goOn: () => void): void {
    if (this.#client.wire.closed) return
    const { framer } = this.#client
    try {
      goOn()
    } catch (error) {
      if (!(error instanceof PoolerError)) throw error
      this.#refuse(error)
    }
    if (this.#client.framer === framer && !this.#failed) this.#client.resumeHeld()
  }
}

/** The password has turned out to be right or wrong. */
function isVerdict(step: ClientStep): boolean {
  return step.kind === 'ok' || (step.kind === 'failed' && step.error.sqlState === SqlState.InvalidPassword)
}

function loginFailed(error: unknown): PoolerError {
  return new PoolerError(SqlState.ConnectionFailure, 'login failed because of an internal error', {
    cause: error,
  })
}
