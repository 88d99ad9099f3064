import { PoolerError } from '../errors.ts'
import { BoundedCounts, OTHER } from '../net/bounded-counts.ts'
import { Histogram } from './histogram.ts'

const MAX_SQLSTATES = 100
const MICROS_PER_MS = 1000
/** metrics_max_pools where nothing is written. */
const DEFAULT_MAX = 200

/** PoolMetrics: what /metrics tells about one pair of database and user beyond SHOW STATS. It outlives its pools. */
export class PoolMetrics {
  /** How long clients waited for a server; those that got one at once count with 0. */
  readonly waits = new Histogram()
  /** From a request to its ReadyForQuery, without the wait for a server. */
  readonly queries = new Histogram()
  readonly transactions = new Histogram()
  /** From accept to the client's first ReadyForQuery. */
  readonly logins = new Histogram()
  /** Connecting and logging in to a server. */
  readonly connects = new Histogram()
  /** Attempts that brought no connection, and errors that the server answered clients with, by SQLSTATE. */
  readonly connectFailures = new BoundedCounts(MAX_SQLSTATES)
  readonly errors = new BoundedCounts(MAX_SQLSTATES)
  readonly database: string
  readonly user: string

  constructor(database: string, user: string) {
    this.database = database
    this.user = user
  }

  /** Times the opening of a server connection, and notes why it failed. */
  async connecting<T>(opening: Promise<T>): Promise<T> {
    const sinceMs = performance.now()
    try {
      const server = await opening
      this.connects.observe(Math.round((performance.now() - sinceMs) * MICROS_PER_MS))
      return server
    } catch (error) {
      this.connectFailures.note(error instanceof PoolerError ? error.sqlState : OTHER)
      throw error
    }
  }
}

/** PoolMetricsBook: the PoolMetrics of the first `max` pairs of database and user; further ones share one. */
export class PoolMetricsBook {
  readonly max: number
  readonly #entries = new Map<string, PoolMetrics>()
  readonly #others = new PoolMetrics(OTHER, OTHER)

  constructor(max = DEFAULT_MAX) {
    this.max = max
  }

  of(database: string, user: string): PoolMetrics {
    const key = JSON.stringify([database, user])
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      if (this.#entries.size >= this.max) return this.#others
      entry = new PoolMetrics(database, user)
      this.#entries.set(key, entry)
    }
    return entry
  }

  /** The common one last, once it is in use. */
  *[Symbol.iterator](): Generator<PoolMetrics> {
    yield* this.#entries.values()
    if (this.#entries.size >= this.max) yield this.#others
  }
}
