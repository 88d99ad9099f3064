import { setMaxListeners } from 'node:events'
import genericPool, { type Factory, type Options, type Pool } from 'generic-pool'
import type { ServerConnection } from '../server/server-connection.ts'

/** What decides about the connections of one pool. Times in milliseconds. */
export interface LifecycleOptions {
  /** Most connections at any time, those being opened included. */
  readonly max: number
  /** server_idle_timeout; 0 = never. */
  readonly idleTimeoutMs: number
  /** Opens a connection; the signal aborts when the lifecycle is stopped. */
  readonly open: (signal: AbortSignal) => Promise<ServerConnection>
  /** Closes a connection that is evicted or found unusable. */
  readonly close: (server: ServerConnection) => void
  /** False: the connection is to be replaced (lifetime over, socket gone). */
  readonly mayLive: (server: ServerConnection) => boolean
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

/**
 * ConnectionLifecycle: which server connections of one pool exist at all. It wraps generic-pool, which
 * creates them up to the limit, keeps the parked ones, and evicts those idle for too long; ServerPool keeps
 * the ones in use borrowed and decides who gets them.
 */
export class ConnectionLifecycle {
  readonly #pool: Pool<Slot>
  readonly #slots = new Map<ServerConnection, Slot>()
  readonly #stopped = new AbortController()

  constructor(options: LifecycleOptions) {
    // Every connection being opened listens to it.
    setMaxListeners(0, this.#stopped.signal)
    const { Pool: GenericPool, Deque, PriorityQueue } = genericPool as unknown as GenericPoolParts
    class ServerEvictor implements Evictor {
      evict(_config: unknown, resource: { readonly obj: Slot }): boolean {
        const { server } = resource.obj
        if (server === null || !options.mayLive(server)) return true
        return options.idleTimeoutMs > 0 && Date.now() - server.idleSinceMs > options.idleTimeoutMs
      }
    }
    this.#pool = new GenericPool(
      ServerEvictor,
      Deque,
      PriorityQueue,
      {
        create: () => this.#create(options),
        validate: ({ server }) => Promise.resolve(server === null || options.mayLive(server)),
        destroy: ({ server }) => {
          if (server !== null) {
            this.#slots.delete(server)
            options.close(server)
          }
          return Promise.resolve()
        },
      },
      {
        max: options.max,
        min: 0,
        fifo: false,
        testOnBorrow: true,
        evictionRunIntervalMillis: EVICTION_INTERVAL_MS,
        numTestsPerEvictionRun: options.max,
      },
    )
  }

  /** Connections that exist: in use, warm, parked; not those being opened. */
  get size(): number {
    return this.#slots.size
  }

  get max(): number {
    return this.#pool.max
  }

  /** Connections that are not parked. */
  get borrowed(): number {
    return this.#pool.borrowed
  }

  /** A parked connection, or a new one. Rejects with what `open` rejected with. */
  async acquire(): Promise<ServerConnection> {
    const slot = await this.#pool.acquire()
    if (slot.server !== null) return slot.server
    void Promise.resolve(this.#pool.destroy(slot))
    throw slot.failure
  }

  /** Parks a connection that nobody needs at the moment. */
  park(server: ServerConnection): void {
    const slot = this.#slots.get(server)
    if (slot !== undefined) void Promise.resolve(this.#pool.release(slot))
  }

  /** Takes a connection out for good and closes it; a parked one goes with the next eviction run. */
  destroy(server: ServerConnection): void {
    const slot = this.#slots.get(server)
    if (slot !== undefined && this.#pool.isBorrowedResource(slot))
      void Promise.resolve(this.#pool.destroy(slot))
  }

  /**
   * Gives up the connections being opened and closes the parked ones. Resolves when the borrowed ones have
   * been destroyed, too.
   */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#pool.drain()
    await this.#pool.clear()
  }

  async #create(options: LifecycleOptions): Promise<Slot> {
    try {
      const server = await options.open(this.#stopped.signal)
      const slot = { server }
      this.#slots.set(server, slot)
      return slot
    } catch (failure) {
      return { server: null, failure }
    }
  }
}
