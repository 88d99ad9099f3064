import type { Credentials } from '../auth/credentials.ts'
import type { LoginPolicy } from '../auth/login-policy.ts'
import type { LoginThrottle } from '../auth/login-throttle.ts'
import { ClientConnection } from '../client/client-connection.ts'
import { ClientLogin } from '../client/client-login.ts'
import type { ClientLoginContext } from '../client/client-login-context.ts'
import type { Config, DatabaseConfig } from '../config/config.ts'
import { sessionLimits } from '../config/session-limits.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { ConnectionIds } from '../net/connection-ids.ts'
import type { FlushQueue } from '../net/flush-queue.ts'
import type { TlsDirectory } from '../net/tls-directory.ts'
import type { Connection, Transport } from '../net/transport.ts'
import { PauseReason } from '../net/wire.ts'
import { Conditions } from '../pool/conditions.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'
import { NameRewriter } from '../prepared/rewrite.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import { cancelRequest } from '../server/cancel-request.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { type Cancelable, type CancelKey, CancelKeys } from './cancel-keys.ts'
import { ClientLimits } from './client-limits.ts'
import { failClient } from './departure.ts'
import { ErrorCounts } from './error-counts.ts'
import { FineClock } from './fine-clock.ts'
import { KnownParameters } from './known-parameters.ts'
import { LazyBeginCounts } from './lazy-begin-counts.ts'
import { isBetweenTransactions } from './leasing.ts'
import type { LoggedInClient } from './logged-in-client.ts'
import { type ReplicationContext, ReplicationSession } from './replication-session.ts'
import { Session, type SessionContext } from './session.ts'
import { SessionHandler } from './session-handler.ts'

/** What a reload replaces. */
export interface MultiplexerSettings {
  readonly config: Config
  readonly credentials: Credentials
  readonly policy: LoginPolicy
}

/** What the Multiplexer is made of. */
export interface MultiplexerParts extends MultiplexerSettings {
  readonly throttle: LoginThrottle
  readonly tls?: TlsDirectory
  readonly pools: PoolDirectory
  readonly registry: StatementRegistry
  readonly transport: Transport
  readonly queue: FlushQueue
  readonly ids: ConnectionIds
  readonly log: Logger
  readonly counts?: ConnectionCounts | null
  /** Opens the admin console for a client that has shown who it is. Throws PoolerError if it may not use it. */
  readonly console?: (client: ClientConnection) => void
}

/** More CancelRequests than this for one server at a time are ignored: they all mean the same query. */
const MAX_CANCELS_IN_FLIGHT = 3
/** The startup parameter, as PgBouncer logs it. */
const REPLICATION = { none: 'no', physical: 'yes', logical: 'database' } as const

/**
 * Multiplexer: all clients of the process, from accept to their end. It owns the set of logins and sessions
 * and the cancel keys; each session does the rest.
 */
export class Multiplexer implements SessionContext, ReplicationContext {
  readonly registry: StatementRegistry
  readonly knownParameters = new KnownParameters()
  readonly rewriter = new NameRewriter()
  readonly clock = new FineClock()
  readonly lazyBegins = new LazyBeginCounts()
  readonly counts: ConnectionCounts | null
  readonly log: Logger
  /** What clients were told at their end. */
  readonly errors = new ErrorCounts()
  readonly #noteError = (error: PoolerError, client: ClientConnection): void => {
    this.errors.note(error)
    // Of a login this is told as 'login refused', with the reason that only the operator may know.
    const level = this.#logins.has(client) ? 'debug' : 'warn'
    const { sqlState, message: reason } = error
    this.log[level]({ ...client.identity, sqlState, reason }, 'error sent to client')
  }
  /** Why clients are disconnected once they are in no transaction, and nobody logs in any more; null = served. */
  draining: PoolerError | null = null
  /** Connections that were closed without a word: too many had not logged in. */
  flooded = 0
  /** SUSPEND: clients are not read, also those that log in now. */
  suspended = false
  readonly #parts: MultiplexerParts
  #settings: MultiplexerSettings
  readonly #cancelKeys = new CancelKeys<Session | Cancelable>()
  readonly #limits = new ClientLimits()
  readonly #loginContext: ClientLoginContext
  readonly #logins = new Set<ClientConnection>()
  readonly #sessions = new Map<Session, SessionHandler>()
  readonly #replications = new Set<ReplicationSession>()
  readonly #conditions = new Conditions()
  /** Why nobody logs in any more; null = clients are welcome. */
  #closed: PoolerError | null = null

  constructor(parts: MultiplexerParts) {
    this.#parts = parts
    this.#settings = parts
    this.registry = parts.registry
    this.log = parts.log
    this.counts = parts.counts ?? null
    this.#loginContext = this.#createLoginContext()
  }

  /** Nobody logs in any more: the pooler is coming to its end. */
  get closing(): boolean {
    return this.#closed !== null
  }

  /** Connections of clients, logged in or not. */
  get clientCount(): number {
    return this.#logins.size + this.#sessions.size + this.#replications.size
  }

  /** All logged-in clients that share servers. */
  get sessions(): IterableIterator<Session> {
    return this.#sessions.keys()
  }

  /** All logged-in clients with a server connection of their own. */
  get replications(): IterableIterator<ReplicationSession> {
    return this.#replications.keys()
  }

  /** All logged-in clients. */
  get clients(): LoggedInClient[] {
    return [...this.#sessions.keys(), ...this.#replications]
  }

  get resetQuery(): string {
    return this.#settings.config.pooler.server_reset_query
  }

  /** A reload: logins from now on follow other settings, sessions get other timeouts. */
  configure(settings: MultiplexerSettings): void {
    this.#settings = settings
    for (const session of this.#sessions.keys())
      session.limits = sessionLimits(settings.config, session.client.user)
  }

  /** A client has connected. */
  accept(connection: Connection): void {
    const { queue, throttle } = this.#parts
    const { max_client_conn, error_codes } = this.#settings.config.pooler
    if (this.#logins.size - throttle.waitingClients > max_client_conn) {
      // Whoever has not logged in yet is more than all that may: no answer is owed to a flood.
      this.flooded += 1
      connection.destroy()
      return
    }
    const login = new ClientLogin(this.#loginContext)
    const client = new ClientConnection(connection, queue, login, this.counts)
    client.id = this.#parts.ids.next()
    client.noteError = this.#noteError
    if (error_codes === 'pgbouncer') client.errorCode = SqlState.ProtocolViolation
    this.#logins.add(client)
    login.start(client)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    this.clock.tick(nowMs)
    const { client_login_timeout: timeoutMs } = this.#settings.config.pooler
    const isLate = (client: ClientConnection): boolean =>
      timeoutMs > 0 && nowMs - client.acceptedMs > timeoutMs
    for (const client of this.#logins) if (isLate(client)) client.handler.onClientError(loginTimeout())
    for (const handler of this.#sessions.values()) {
      if (!handler.patient && isLate(handler.session.client)) handler.session.client.fail(loginTimeout())
      handler.tick(nowMs)
    }
    for (const session of [...this.#replications]) {
      if (session.server === null && isLate(session.client)) session.fail(loginTimeout())
      session.tick(nowMs)
    }
  }

  /** Nobody logs in any more, nor do those who have begun to. */
  close(error: PoolerError): void {
    this.#closed = error
    for (const client of [...this.#logins]) client.fail(error)
    this.#parts.throttle.stop()
  }

  /** Disconnects clients as soon as they are in no transaction. */
  drain(error: PoolerError): void {
    this.draining = error
    for (const session of [...this.#sessions.keys()])
      if (isBetweenTransactions(session)) failClient(session, error)
    // There is no end of a transaction to wait for, and they connect again by themselves.
    for (const session of [...this.#replications]) session.fail(error)
  }

  /** Resolves when there is no client any more. */
  untilEmpty(): Promise<void> {
    return this.#conditions.until(() => this.clientCount === 0)
  }

  /** Disconnects every client, or those for which `matches` holds. */
  disconnect(error: PoolerError, matches: (client: LoggedInClient) => boolean = () => true): void {
    for (const session of [...this.#sessions.keys()]) if (matches(session)) failClient(session, error)
    for (const session of [...this.#replications]) if (matches(session)) session.fail(error)
  }

  addCancelKey(session: Session | Cancelable): CancelKey {
    return this.#cancelKeys.add(session, session.client.protocolMinor)
  }

  /** To be called at the end of whoever is no session of the multiplexer's own. */
  removeCancelKey(session: Cancelable): void {
    this.#cancelKeys.remove(session)
  }

  async cancelServer(session: Session | ReplicationSession, server: ServerConnection): Promise<void> {
    const { transport, queue } = this.#parts
    const { pool } = session
    const { endpoint } = server
    if (endpoint === null || server.cancelsInFlight >= MAX_CANCELS_IN_FLIGHT) return
    const stillWanted = (): boolean =>
      session.server === server &&
      (session instanceof ReplicationSession ||
        (server.tracker.length > 0 && !server.tracker.head?.isInjected))
    const { cancel_wait_timeout } = this.#settings.config.pooler
    await cancelRequest(server, endpoint, cancel_wait_timeout, transport, queue, stillWanted)
    pool.cancelDone(server)
  }

  ended(session: Session | ReplicationSession, reason: string): void {
    const { client, pool } = session
    const { stats } = pool
    stats.received += client.wire.bytesReceived
    stats.sent += client.wire.bytesSent
    if (session instanceof Session) this.#sessions.delete(session)
    else this.#replications.delete(session)
    this.#cancelKeys.remove(session)
    this.#limits.leave(pool.database, client.user)
    const { identity, ageSeconds } = client
    this.log.info({ ...identity, reason, ageSeconds }, 'client disconnected')
    this.#conditions.check()
  }

  /** The client is who it says. Throws PoolerError where there is no place for it. */
  #startSession(client: ClientConnection, database: DatabaseConfig): void {
    const { pools, log } = this.#parts
    const { config } = this.#settings
    if (pools.isDisabled(database.name))
      throw new PoolerError(SqlState.CannotConnectNow, `database "${database.name}" is disabled`)
    this.#limits.enter(config, database, client.user)
    this.#logins.delete(client)
    client.leaveLogin()
    if (this.suspended) client.wire.pause(PauseReason.Suspended)
    if (!config.databases.has(database.name) && !pools.stats.has(database.name))
      log.info(client.identity, 'new database by the entry for *')
    const pool = pools.get(database.name, database.user ?? client.user)
    pool.stats.clientLogins += 1
    const { identity, replication } = client
    const kind = replication === 'none' ? {} : { replication }
    log.info({ ...identity, ...kind }, 'client connected')
    const limits = sessionLimits(config, client.user)
    if (replication !== 'none') {
      const session = new ReplicationSession(client, pool, limits, this)
      this.#replications.add(session)
      session.start()
      return
    }
    const tracksStatements = pool.policy.mode !== 'session' && config.pooler.max_prepared_statements > 0
    const handler = new SessionHandler(new Session(client, pool, limits, tracksStatements, this))
    this.#sessions.set(handler.session, handler)
    handler.start()
  }

  #openConsole(client: ClientConnection): void {
    const open = this.#parts.console
    if (open === undefined)
      throw new PoolerError(SqlState.InvalidCatalogName, `database "${client.database}" does not exist`)
    open(client)
    this.#logins.delete(client)
    this.#conditions.check()
  }

  async #cancel(processId: number, secret: Buffer): Promise<void> {
    const session = this.#cancelKeys.find(processId, secret)
    if (session === undefined) this.log.debug({ processId }, 'cancel request with an unknown key ignored')
    else if (session instanceof Session) await this.#sessions.get(session)?.cancel()
    else await session.cancel()
  }

  /** Throws PoolerError where nobody may log in: 57P01 at the end, 53300 above max_client_conn. */
  #checkRoom(): void {
    if (this.#closed !== null) throw this.#closed
    const { max_client_conn: limit } = this.#settings.config.pooler
    // Who only waits to hear that the password was wrong takes no place from anybody.
    const have = this.clientCount - this.#parts.throttle.waitingClients
    if (have <= limit) return
    throw new PoolerError(SqlState.TooManyConnections, 'no more connections allowed (max_client_conn)', {
      detail: `${have - 1} clients are connected, and max_client_conn is ${limit}.`,
    })
  }

  #createLoginContext(): ClientLoginContext {
    const { throttle, tls } = this.#parts
    const settings = (): MultiplexerSettings => this.#settings
    return {
      get config() {
        return settings().config
      },
      get credentials() {
        return settings().credentials
      },
      get policy() {
        return settings().policy
      },
      throttle,
      ...(tls === undefined ? {} : { tls }),
      checkRoom: () => this.#checkRoom(),
      cancel: (processId, secret) => this.#cancel(processId, secret),
      attempted: ({ identity, tls: session, replication: mode }) => {
        const tls = session === null ? 'no' : `${session.protocol}/${session.cipher}`
        this.log.debug({ ...identity, tls, replication: REPLICATION[mode] }, 'login attempt')
      },
      refused: ({ identity }, { message: reason, cause }) => {
        const why = cause instanceof Error ? cause.message : cause
        this.log.warn({ ...identity, reason, why }, 'login refused')
      },
      authenticated: (client, database) => this.#startSession(client, database),
      console: (client) => this.#openConsole(client),
      closed: (client, reason) => {
        this.#logins.delete(client)
        const { identity, ageSeconds } = client
        this.log.debug({ ...identity, reason, ageSeconds }, 'login ended')
        this.#conditions.check()
      },
    }
  }
}

/** PostgreSQL's SQLSTATE for the end of authentication_timeout, under PgBouncer's text. */
function loginTimeout(): PoolerError {
  return new PoolerError(SqlState.QueryCanceled, 'client_login_timeout')
}
