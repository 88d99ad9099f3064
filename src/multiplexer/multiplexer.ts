import type { Credentials } from '../auth/credentials.ts'
import type { LoginPolicy } from '../auth/login-policy.ts'
import type { LoginThrottle } from '../auth/login-throttle.ts'
import { ClientConnection } from '../client/client-connection.ts'
import { ClientLogin } from '../client/client-login.ts'
import type { ClientLoginContext } from '../client/client-login-context.ts'
import { type Config, type DatabaseConfig, poolMode } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { TlsDirectory } from '../net/tls-directory.ts'
import type { Connection, Transport } from '../net/transport.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import { NameRewriter } from '../prepared/rewrite.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import { cancelRequest } from '../server/cancel-request.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { CancelKeys } from './cancel-keys.ts'
import { KnownParameters } from './known-parameters.ts'
import { Session, type SessionContext } from './session.ts'
import { SessionHandler } from './session-handler.ts'

/** What the Multiplexer is made of. */
export interface MultiplexerParts {
  readonly config: Config
  readonly credentials: Credentials
  readonly policy: LoginPolicy
  readonly throttle: LoginThrottle
  readonly tls?: TlsDirectory
  readonly pools: PoolDirectory
  readonly registry: StatementRegistry
  readonly transport: Transport
  readonly queue: FlushQueue
  readonly log: Logger
}

/** More CancelRequests than this for one server at a time are ignored: they all mean the same query. */
const MAX_CANCELS_IN_FLIGHT = 3

/**
 * Multiplexer: all clients of the process, from accept to their end. It owns the set of logins and sessions
 * and the cancel keys; each session does the rest.
 */
export class Multiplexer implements SessionContext {
  readonly registry: StatementRegistry
  readonly knownParameters = new KnownParameters()
  readonly rewriter = new NameRewriter()
  readonly log: Logger
  readonly resetQuery: string
  readonly #parts: MultiplexerParts
  readonly #cancelKeys = new CancelKeys<Session>()
  readonly #loginContext: ClientLoginContext
  readonly #logins = new Set<ClientConnection>()
  readonly #sessions = new Map<Session, SessionHandler>()

  constructor(parts: MultiplexerParts) {
    this.#parts = parts
    this.registry = parts.registry
    this.log = parts.log
    this.#loginContext = this.#createLoginContext()
    this.resetQuery = parts.config.pooler.server_reset_query
  }

  /** Connections of clients, logged in or not. */
  get clientCount(): number {
    return this.#logins.size + this.#sessions.size
  }

  /** A client has connected. */
  accept(connection: Connection): void {
    const { config, queue, throttle } = this.#parts
    if (this.#logins.size - throttle.waitingClients > config.pooler.max_client_conn) {
      // Whoever has not logged in yet is more than all that may: no answer is owed to a flood.
      connection.destroy()
      return
    }
    const login = new ClientLogin(this.#loginContext)
    const client = new ClientConnection(connection, queue, login)
    this.#logins.add(client)
    login.start(client)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    const { client_login_timeout: timeoutMs } = this.#parts.config.pooler
    const isLate = (client: ClientConnection): boolean =>
      timeoutMs > 0 && nowMs - client.acceptedMs > timeoutMs
    for (const client of this.#logins) if (isLate(client)) client.handler.onClientError(loginTimeout())
    for (const handler of this.#sessions.values()) {
      if (!handler.patient && isLate(handler.session.client)) handler.session.client.fail(loginTimeout())
      handler.tick(nowMs)
    }
  }

  /** Closes every client. */
  stop(error: PoolerError): void {
    for (const client of [...this.#logins]) client.fail(error)
    for (const { client } of [...this.#sessions.keys()]) client.fail(error)
    this.#parts.throttle.stop()
  }

  addCancelKey(session: Session): { readonly processId: number; readonly secret: Buffer } {
    return this.#cancelKeys.add(session, session.client.protocolMinor)
  }

  async cancelServer(session: Session, server: ServerConnection): Promise<void> {
    const { transport, queue } = this.#parts
    const { pool } = session
    if (server.cancelsInFlight >= MAX_CANCELS_IN_FLIGHT) return
    const stillWanted = (): boolean =>
      session.server === server && server.tracker.length > 0 && !server.tracker.head?.isInjected
    await cancelRequest(server, pool.endpoint, transport, queue, stillWanted)
    pool.cancelDone(server)
  }

  ended(session: Session, reason: string): void {
    const { client, pool } = session
    this.#sessions.delete(session)
    this.#cancelKeys.remove(session)
    this.log.info(
      { client: client.wire.peer, database: pool.database, user: client.user, reason },
      'client disconnected',
    )
  }

  #startSession(client: ClientConnection, database: DatabaseConfig): void {
    const { config, pools, log } = this.#parts
    this.#logins.delete(client)
    const user = poolUser(config, database, client.user)
    const pool = pools.get(database.name, user)
    const mode = poolMode(config, database, user)
    const tracksStatements = mode !== 'session' && config.pooler.max_prepared_statements > 0
    const handler = new SessionHandler(new Session(client, pool, mode, tracksStatements, this))
    this.#sessions.set(handler.session, handler)
    log.info({ client: client.wire.peer, database: database.name, user: client.user }, 'client connected')
    handler.start()
  }

  async #cancel(processId: number, secret: Buffer): Promise<void> {
    const session = this.#cancelKeys.find(processId, secret)
    if (session === undefined) this.log.debug({ processId }, 'cancel request with an unknown key ignored')
    else await this.#sessions.get(session)?.cancel()
  }

  #createLoginContext(): ClientLoginContext {
    const { config, credentials, policy, throttle, tls } = this.#parts
    // Who only waits to hear that the password was wrong takes no place from anybody.
    const isFull = (): boolean => this.clientCount - throttle.waitingClients > config.pooler.max_client_conn
    return {
      config,
      credentials,
      policy,
      throttle,
      ...(tls === undefined ? {} : { tls }),
      isFull,
      cancel: (processId, secret) => this.#cancel(processId, secret),
      refused: ({ wire, user, database }, { message, cause }) => {
        const why = cause instanceof Error ? cause.message : cause
        this.log.warn({ client: wire.peer, user, database, reason: message, why }, 'login refused')
      },
      authenticated: (client, database) => this.#startSession(client, database),
      closed: (client, reason) => {
        this.#logins.delete(client)
        this.log.debug({ client: client.wire.peer, user: client.user, reason }, 'login ended')
      },
    }
  }
}

/** With auth_type any a name counts for nothing: each that is made up must not open a pool of its own. */
function poolUser(config: Config, database: DatabaseConfig, user: string): string {
  return config.pooler.auth_type === 'any' ? (database.user ?? user) : user
}

function loginTimeout(): PoolerError {
  return new PoolerError(SqlState.InvalidAuthorization, 'client_login_timeout')
}
