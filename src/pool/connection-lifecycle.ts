import { setMaxListeners } from 'node:events'
import genericPool, { type Factory, type Options, type Pool } from 'generic-pool'
import { PoolerError, SqlState } from '../errors.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'

/** What decides about the connections of one pool. */
export interface LifecycleOptions {
  /** Asked right before each new connection: false = there must be none now. */
  readonly permit: () => boolean
  /** No connection has come of a permission. */
  readonly unused: () => void
  /** A connection is closed, but PostgreSQL may not have ended its session yet; gone() follows. */
  readonly leaving: (server: ServerConnection) => void
  /** Its socket is gone, and with it the session. */
  readonly gone: (server: ServerConnection) => void
  /**
   * Opens a connection; the signal aborts when the lifecycle is stopped. Rejects when there is no session, or PostgreSQL
   * is not waited for any longer.
   */
  readonly open: (signal: AbortSignal) => Promise<ServerConnection>
  /** Why a parked connection has to go; null = it may stay. */
  readonly retireReason: (server: ServerConnection) => string | null
  /** Closes a parked connection. */
  readonly retire: (server: ServerConnection, reason: string) => void
}

/**
 * What generic-pool holds: a connection, or why there is none. A create() that rejects would be repeated at
 * once and for ever, for an acquire of generic-pool cannot be cancelled; so ours never does.
 */
type Slot = { readonly server: ServerConnection } | { readonly server: null; readonly failure: unknown }

/** The part of generic-pool that its type declarations leave out. */
interface GenericPoolParts {
  readonly Pool: new (
    evictor: new () => Evictor,
    deque: unknown,
    priorityQueue: unknown,
    factory: Factory<Slot>,
    options: Options,
  ) => Pool<Slot>
  readonly Deque: unknown
  readonly PriorityQueue: unknown
}

interface Evictor {
  evict(config: unknown, resource: { readonly obj: Slot }): boolean
}

const EVICTION_INTERVAL_MS = 1000
/** generic-pool's maximum is fixed for its life, ours is not: permit() is what counts. No machine has as many ports. */
const NO_MAXIMUM = 65_536
/** Why an acquire has brought nothing although nothing has failed. */
const NOT_PERMITTED = Symbol('not permitted')

/**
 * ConnectionLifecycle: which server connections of one pool exist at all. It wraps generic-pool, which creates
 * them, keeps the parked ones and evicts those whose time has come; ServerPool keeps the ones in use borrowed and
 * decides who gets them.
 */
export class ConnectionLifecycle {
  readonly #pool: Pool<Slot>
  readonly #slots = new Map<ServerConnection, Slot>()
  readonly #parked = new Set<ServerConnection>()
  readonly #options: LifecycleOptions
  readonly #stopped = new AbortController()
  /** Connections that are somebody's own: generic-pool never has them. */
  readonly dedicated = new Set<ServerConnection>()
  /** How many are being opened. */
  readonly opening = { shared: 0, dedicated: 0 }
  /** How many are closed, while PostgreSQL has not ended their sessions yet. */
  leaving = 0
  readonly #dedicatedLogins = new Set<Promise<unknown>>()

  constructor(options: LifecycleOptions) {
    this.#options = options
    // Every connection being opened listens to it.
    setMaxListeners(0, this.#stopped.signal)
    const { Pool: GenericPool, Deque, PriorityQueue } = genericPool as unknown as GenericPoolParts
    const isGone = ({ server }: Slot): boolean => server === null || !this.#slots.has(server)
    class ServerEvictor implements Evictor {
      evict(_config: unknown, { obj }: { readonly obj: Slot }): boolean {
        return isGone(obj) || (obj.server !== null && options.retireReason(obj.server) !== null)
      }
    }
    this.#pool = new GenericPool(
      ServerEvictor,
      Deque,
      PriorityQueue,
      {
        create: () => this.#create(),
        // Whether it may still be used is decided by who gets it: generic-pool would open another unasked.
        validate: (slot) => Promise.resolve(slot.server === null || !isGone(slot)),
        destroy: ({ server }) => {
          if (server !== null && this.#slots.has(server))
            options.retire(server, options.retireReason(server) ?? 'pool is not used any more')
          return Promise.resolve()
        },
      },
      {
        max: NO_MAXIMUM,
        min: 0,
        fifo: false,
        testOnBorrow: true,
        evictionRunIntervalMillis: EVICTION_INTERVAL_MS,
        numTestsPerEvictionRun: NO_MAXIMUM,
      },
    )
  }

  /** Sessions that PostgreSQL may have: of connections that exist, are being opened, or leaving. */
  get size(): number {
    return this.#slots.size + this.opening.shared + this.opening.dedicated + this.leaving
  }

  /** Connections that exist: in use, warm, parked. */
  get servers(): IterableIterator<ServerConnection> {
    return this.#slots.keys()
  }

  /** How many those are. */
  get established(): number {
    return this.#slots.size
  }

  /** Connections that nobody has borrowed. */
  get parked(): ReadonlySet<ServerConnection> {
    return this.#parked
  }

  /**
   * A parked connection, or a new one; null where there is none and permission for a new one was not given.
   * Rejects with what `open` rejected with.
   */
  async acquire(): Promise<ServerConnection | null> {
    const slot = await this.#pool.acquire()
    if (slot.server !== null && this.#slots.has(slot.server)) {
      this.#parked.delete(slot.server)
      return slot.server
    }
    this.#drop(slot)
    // It was closed while generic-pool looked at it.
    if (slot.server !== null) return this.acquire()
    if (slot.failure === NOT_PERMITTED) return null
    throw slot.failure
  }

  /** Opens a connection that is somebody's own. Permission has been given. Rejects with what `open` rejected with. */
  async openDedicated(open: LifecycleOptions['open']): Promise<ServerConnection> {
    const login = this.#establish(open, 'dedicated')
    this.#dedicatedLogins.add(login)
    try {
      return (await login).server
    } finally {
      this.#dedicatedLogins.delete(login)
    }
  }

  /** Parks a connection that nobody needs at the moment. */
  park(server: ServerConnection): void {
    const slot = this.#slots.get(server)
    if (slot === undefined) return
    this.#parked.add(server)
    void Promise.resolve(this.#pool.release(slot))
  }

  /** A connection is closed. The empty slot of a parked one stays in generic-pool until it looks at it. */
  forget(server: ServerConnection): void {
    const slot = this.#slots.get(server)
    if (slot === undefined) return
    this.#slots.delete(server)
    this.#parked.delete(server)
    this.dedicated.delete(server)
    this.#drop(slot)
    this.leaving += 1
    this.#options.leaving(server)
    server.whenGone(() => {
      this.leaving -= 1
      this.#options.gone(server)
    })
  }

  /**
   * Gives up the connections being opened and closes the parked ones. Resolves when the borrowed ones have
   * been forgotten, too.
   */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#pool.drain()
    await this.#pool.clear()
    await Promise.allSettled(this.#dedicatedLogins)
  }

  /** A slot without a connection. One that was just given out and closed at once has been dropped already. */
  #drop(slot: Slot): void {
    if (this.#pool.isBorrowedResource(slot)) void Promise.resolve(this.#pool.destroy(slot))
  }

  async #create(): Promise<Slot> {
    if (!this.#options.permit()) return { server: null, failure: NOT_PERMITTED }
    try {
      return await this.#establish(this.#options.open, 'shared')
    } catch (failure) {
      return { server: null, failure }
    }
  }

  async #establish(
    open: LifecycleOptions['open'],
    kind: 'shared' | 'dedicated',
  ): Promise<{ readonly server: ServerConnection }> {
    this.opening[kind] += 1
    try {
      const server = await open(this.#stopped.signal)
      if (server.state === ServerState.Closed) {
        await server.untilGone()
        throw new PoolerError(SqlState.ConnectionFailure, 'the connection was closed as soon as it was open')
      }
      this.opening[kind] -= 1
      const slot = { server }
      this.#slots.set(server, slot)
      if (kind === 'dedicated') this.dedicated.add(server)
      return slot
    } catch (failure) {
      this.opening[kind] -= 1
      this.#options.unused()
      throw failure
    }
  }
}
