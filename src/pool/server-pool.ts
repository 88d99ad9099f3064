import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { Endpoint } from '../net/transport.ts'
import type { Statement } from '../prepared/statement-registry.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, backendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import type { Lessee } from '../server/lessee.ts'
import type { ParameterSet } from '../server/parameter-set.ts'
import type { ServerConnection, ServerHandler } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'
import { ConnectionLifecycle } from './connection-lifecycle.ts'
import { WaitQueue } from './wait-queue.ts'

/** What makes a pool. Times in milliseconds. */
export interface ServerPoolOptions {
  readonly database: string
  readonly user: string
  readonly endpoint: Endpoint
  /** pool_size; may be Infinity. */
  readonly size: number
  /** query_wait_timeout; 0 = for ever. */
  readonly waitTimeoutMs: number
  /** server_lifetime; 0 = one lease. */
  readonly lifetimeMs: number
  /** server_idle_timeout; 0 = never. */
  readonly idleTimeoutMs: number
  /** server_login_retry: pause after a failed login. */
  readonly retryMs: number
  readonly open: (signal: AbortSignal) => Promise<ServerConnection>
  readonly log: Logger
}

/** generic-pool takes no infinite maximum; no machine has as many ports. */
const UNLIMITED = 65_536
/** Classes of SQLSTATE that go by: connection exceptions, too few resources, operator intervention (start, stop). */
const PASSING_TROUBLE = new Set(['08', '53', '57'])
/** A warm server unused for so long is parked, where server_idle_timeout applies. */
const PARK_AFTER_MS = 1000
/** An attempt to connect is repeated sooner than a refused login: a restart takes a second, not fifteen. */
const RECONNECT_MS = 1000

/**
 * ServerPool: the servers of one (database, user) and who gets the next one. It is the handler of its idle
 * servers and owns the warm stack and the queue of waiters; which connections exist is the business of its
 * ConnectionLifecycle.
 *
 *   lease()  warm stack (last in, first out) -> parked or new connection -> queue
 *   release() longest waiter -> warm stack
 */
export class ServerPool implements ServerHandler {
  readonly database: string
  readonly user: string
  readonly endpoint: Endpoint
  readonly #options: ServerPoolOptions
  readonly #lifecycle: ConnectionLifecycle
  readonly #warm: ServerConnection[] = []
  readonly #waiters = new WaitQueue()
  /** Servers that are leased, or on their way back. */
  readonly #active = new Set<ServerConnection>()
  /** Statements that a server of this pool has accepted: a Parse of one needs no server. */
  readonly knownStatements = new WeakSet<Statement>()
  /** Sessions that belong to it, with a server or without. */
  sessions = 0
  #acquiring = 0
  #stopping = false
  /** Why the last attempt to open a connection failed; null after a success. */
  #failure: PoolerError | null = null
  /** No connection is opened before this. */
  #retryAtMs = 0
  /** The parameters of the newest login, for the welcome of clients; null before the first. */
  welcome: { readonly parameters: ParameterSet; readonly reported: ReadonlyMap<string, string> } | null = null

  constructor(options: ServerPoolOptions) {
    this.database = options.database
    this.user = options.user
    this.endpoint = options.endpoint
    this.#options = options
    this.#lifecycle = new ConnectionLifecycle({
      max: Math.min(options.size, UNLIMITED),
      idleTimeoutMs: options.idleTimeoutMs,
      open: (signal) => this.#open(signal),
      close: (server) =>
        server.close(new PoolerError(SqlState.AdminShutdown, 'server connection is retired')),
      mayLive: (server) => this.#mayLive(server),
    })
  }

  /** Servers that are leased at the moment. */
  get activeCount(): number {
    return this.#active.size
  }

  /** Connections that exist, used or not. */
  get size(): number {
    return this.#lifecycle.size
  }

  get waiting(): number {
    return this.#waiters.length
  }

  /** Nobody would miss it. */
  get isForgettable(): boolean {
    return this.sessions === 0 && this.size === 0 && this.waiting === 0 && this.#acquiring === 0
  }

  /** Why there is no server now and will be none before the next attempt; null while there is hope. */
  get outage(): PoolerError | null {
    return this.#lifecycle.size === 0 && Date.now() < this.#retryAtMs ? this.#failure : null
  }

  /**
   * A server for `lessee`, or undefined: then it is in the queue, and `onLease` or `onLeaseRefused` follows.
   * The lessee becomes the server's handler in the call that gives it the server.
   */
  lease(lessee: Lessee): ServerConnection | undefined {
    const server = this.#warm.pop()
    if (server !== undefined) {
      this.#active.add(server)
      server.state = ServerState.Active
      return server
    }
    this.#waiters.push(lessee, Date.now())
    this.#openForWaiters()
    return undefined
  }

  /** Takes a lessee out of the queue; true if it was there. */
  cancelWait(lessee: Lessee): boolean {
    return this.#waiters.cancel(lessee)
  }

  /**
   * Ends a lease. The server owes nothing and is in no transaction; the longest waiter gets it in this very
   * call. A server with a CancelRequest under way waits for that: the cancel must not hit the next client.
   */
  release(server: ServerConnection): void {
    server.handler = this
    server.idleSinceMs = Date.now()
    if (server.state === ServerState.Closed) return
    if (server.cancelsInFlight > 0 && server.usable) {
      server.state = ServerState.BeingCanceled
      return
    }
    if (!this.#mayLive(server) || this.#stopping) {
      server.state = ServerState.Idle
      server.close(new PoolerError(SqlState.AdminShutdown, 'server connection is retired'))
      return
    }
    this.#offer(server)
  }

  /** A CancelRequest for `server` is through. */
  cancelDone(server: ServerConnection): void {
    if (server.state === ServerState.BeingCanceled && server.cancelsInFlight === 0) this.release(server)
  }

  /** Called by the janitor. */
  tick(nowMs: number): void {
    const { waitTimeoutMs } = this.#options
    if (waitTimeoutMs > 0) {
      for (const lessee of this.#waiters.shiftOlderThan(nowMs - waitTimeoutMs)) {
        lessee.onLeaseRefused(
          new PoolerError(SqlState.CannotConnectNow, 'query_wait_timeout', { cause: this.#failure }),
        )
      }
    }
    // The stack is in order of last use: the coldest servers are at its bottom.
    let cold = 0
    while (
      cold < this.#warm.length &&
      nowMs - (this.#warm[cold] as ServerConnection).idleSinceMs > PARK_AFTER_MS
    ) {
      cold += 1
    }
    for (const server of this.#warm.splice(0, cold)) this.#lifecycle.park(server)
    this.#openForWaiters()
  }

  /** Refuses the waiters, closes idle servers, and closes the others as they come back. */
  async stop(error: PoolerError): Promise<void> {
    this.#stopping = true
    for (const lessee of this.#waiters.takeWhere(() => true)) lessee.onLeaseRefused(error)
    for (const server of this.#warm.splice(0)) server.close(error)
    for (const server of [...this.#active]) server.close(error)
    await this.#lifecycle.stop()
  }

  onServerMessage(
    server: ServerConnection,
    type: number,
    _total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    const { log } = this.#options
    switch (type) {
      case BackendType.ParameterStatus:
        server.noteParameter(buffer, start, end)
        break
      case BackendType.NoticeResponse:
      case BackendType.NotificationResponse:
        log.debug({ pool: this.#name, message: backendTypeName(type) }, 'message of an idle server dropped')
        break
      case BackendType.ErrorResponse: {
        const { sqlState, message } = readErrorFields(buffer, start + HEADER_BYTES, end)
        server.close(new PoolerError(sqlState ?? SqlState.ConnectionFailure, message ?? 'error while idle'))
        break
      }
      default:
        throw new PoolerError(SqlState.ProtocolViolation, `unexpected ${backendTypeName(type)} while idle`)
    }
    return Verdict.Drop
  }

  onServerRun(): void {
    throw new PoolerError(SqlState.ProtocolViolation, 'unexpected data while idle')
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(server: ServerConnection, error: PoolerError): void {
    const { log } = this.#options
    log.info(
      { pool: this.#name, serverPid: server.processId, sqlState: error.sqlState, reason: error.message },
      'server connection closed',
    )
    this.forget(server)
  }

  /** A server of this pool is closed: its place is free. */
  forget(server: ServerConnection): void {
    this.#active.delete(server)
    const index = this.#warm.indexOf(server)
    if (index !== -1) this.#warm.splice(index, 1)
    this.#lifecycle.destroy(server)
    this.#openForWaiters()
  }

  get #name(): string {
    return `${this.database}/${this.user}`
  }

  #mayLive(server: ServerConnection): boolean {
    const { lifetimeMs } = this.#options
    return server.usable && (Date.now() - server.createdMs < lifetimeMs || server.lastLessee === null)
  }

  /** Gives a ready server to the longest waiter, or keeps it warm. */
  #offer(server: ServerConnection): void {
    const lessee = this.#waiters.shift()
    if (lessee === undefined) {
      this.#active.delete(server)
      server.state = ServerState.Idle
      this.#warm.push(server)
      return
    }
    this.#active.add(server)
    server.state = ServerState.Active
    lessee.onLease(server)
  }

  /** Asks for one connection per waiter, as far as the limit goes. */
  #openForWaiters(): void {
    const lifecycle = this.#lifecycle
    if (this.#stopping || Date.now() < this.#retryAtMs) return
    while (this.#acquiring < this.#waiters.length && lifecycle.borrowed + this.#acquiring < lifecycle.max) {
      this.#acquiring += 1
      lifecycle.acquire().then(
        (server) => this.#acquired(server),
        (error: unknown) => this.#failed(error),
      )
    }
  }

  #acquired(server: ServerConnection): void {
    this.#acquiring -= 1
    server.idleSinceMs = Date.now()
    if (this.#stopping || server.state === ServerState.Closed) {
      server.close(new PoolerError(SqlState.AdminShutdown, 'server connection is retired'))
      this.forget(server)
    } else this.#offer(server)
  }

  async #open(signal: AbortSignal): Promise<ServerConnection> {
    const server = await this.#options.open(signal)
    server.handler = this
    server.state = ServerState.Idle
    this.#failure = null
    this.#retryAtMs = 0
    this.welcome = { parameters: server.defaults, reported: server.reported }
    this.#options.log.info({ pool: this.#name, serverPid: server.processId }, 'server connection opened')
    try {
      server.framer.resume()
    } catch (error) {
      server.close(asPoolerError(error))
      throw error
    }
    return server
  }

  /**
   * No connection could be opened. A server that cannot be reached is worth waiting for; one that refused
   * the login is not, unless some connection is alive that will come back.
   */
  #failed(error: unknown): void {
    this.#acquiring -= 1
    if (this.#stopping) return
    const failure = asPoolerError(error)
    const { log, retryMs } = this.#options
    const refused = !PASSING_TROUBLE.has(failure.sqlState.slice(0, 2))
    this.#failure = failure
    this.#retryAtMs = Date.now() + (refused ? retryMs : Math.min(retryMs, RECONNECT_MS))
    log.warn(
      { pool: this.#name, sqlState: failure.sqlState, reason: failure.message },
      'server connection failed',
    )
    if (this.#lifecycle.size > 0) return
    for (const lessee of this.#waiters.takeWhere((waiter) => refused || !waiter.patient)) {
      lessee.onLeaseRefused(failure)
    }
  }
}

function asPoolerError(error: unknown): PoolerError {
  if (error instanceof PoolerError) return error
  return new PoolerError(SqlState.ConnectionFailure, String(error), { cause: error })
}
