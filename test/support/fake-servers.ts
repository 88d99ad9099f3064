import { setImmediate as nextTurn } from 'node:timers/promises'
import { buildConfig, findDatabase } from '../../src/config/config.ts'
import type { PoolPolicy } from '../../src/config/pool-policy.ts'
import { poolPolicy } from '../../src/config/pool-policy.ts'
import type { PoolerError } from '../../src/errors.ts'
import { createLogger } from '../../src/log.ts'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import type { ConnectionBudget } from '../../src/pool/connection-budget.ts'
import { LocalBudget } from '../../src/pool/local-budget.ts'
import { ServerPool } from '../../src/pool/server-pool.ts'
import type { DedicatedLessee, Lessee, StartupParameters } from '../../src/server/lessee.ts'
import { ServerConnection, type ServerHandler } from '../../src/server/server-connection.ts'
import { ServerState } from '../../src/server/server-state.ts'
import { type FakeConnection, FakeNetwork } from './fake-network.ts'

/**
 * FakeServers: a ServerPool whose servers exist in memory only, and lessees that note what happens to them. The
 * test decides when a connection opens and when it fails.
 */

/** One attempt to open a connection. */
export interface Opening {
  readonly signal: AbortSignal
  /** Set for a connection that is one lessee's own. */
  readonly startup: StartupParameters | undefined
  succeed(): ServerConnection
  fail(error: unknown): void
}

/** Somebody who wants a server; `name` is for the log of the pool. */
export class FakeLessee implements Lessee {
  readonly name: string
  patient = true
  server: ServerConnection | null = null
  refusal: PoolerError | null = null
  readonly #log: string[]

  constructor(name: string, log: string[]) {
    this.name = name
    this.#log = log
  }

  onLease(server: ServerConnection): void {
    this.server = server
    this.#log.push(`${this.name} is served`)
  }

  onLeaseRefused(error: PoolerError): void {
    this.refusal = error
    this.#log.push(`${this.name} is refused`)
  }
}

class FakeDedicatedLessee extends FakeLessee implements DedicatedLessee {
  override patient = false
  readonly startup = new Map([['replication', 'database']])
}

const NOBODY: ServerHandler = {
  onServerMessage: () => {
    throw new Error('a message for nobody')
  },
  onServerChunkEnd: () => {},
  onServerRun: () => {},
  onServerCongestion: () => {},
  onServerClosed: () => {},
}

/** Where a pool stands among others. */
export interface FakePlace {
  readonly database: string
  readonly user: string
  readonly budget: ConnectionBudget
}

/** The policy of a pool without any setting, two servers and no timeouts, and what a test changes. */
function testPolicy(changes: Partial<PoolPolicy> = {}): PoolPolicy {
  const config = buildConfig({ databases: { app: {} } })
  const database = findDatabase(config, 'app')
  if (database === undefined) throw new Error('the database is configured above')
  return {
    ...poolPolicy(config, database, 'app'),
    size: 2,
    waitTimeoutMs: 0,
    idleTimeoutMs: 0,
    ...changes,
  }
}

export class FakeServers {
  readonly pool: ServerPool
  /** The handler of a server that is leased. */
  readonly holder: ServerHandler
  /** What happened to lessees, in order. */
  readonly log: string[] = []
  /** Attempts to open a connection that are neither through nor failed, in order. */
  readonly openings: Opening[] = []
  /** The most connections that there ever were, those being opened included. */
  most = 0
  /** Opens every connection at once. */
  automatic = true
  /** Sockets of closed connections stay until letGo() is called: PostgreSQL takes its time to end the sessions. */
  lingering = false
  readonly #leaving: FakeConnection[] = []
  readonly #queue = new FlushQueue()
  readonly #network = new FakeNetwork(this.#queue)
  readonly #connections = new Map<ServerConnection, FakeConnection>()

  constructor(policy: Partial<PoolPolicy> = {}, place: Partial<FakePlace> = {}) {
    this.pool = new ServerPool({
      database: place.database ?? 'app',
      user: place.user ?? 'app',
      policy: testPolicy(policy),
      budget: place.budget ?? new LocalBudget(),
      open: (signal, startup) => this.#open(signal, startup),
      log: createLogger({ level: 'silent' }).log,
    })
    this.holder = { ...NOBODY, onServerClosed: (server, error) => this.pool.onServerClosed(server, error) }
  }

  lessee(name: string): FakeLessee {
    return new FakeLessee(name, this.log)
  }

  /** A lessee that has asked for a server; `server` is set if it got one at once. */
  lease(name: string): FakeLessee {
    const lessee = this.lessee(name)
    const server = this.pool.lease(lessee)
    if (lessee.server !== null) throw new Error(`${name} was served from inside lease()`)
    lessee.server = server ?? null
    return lessee
  }

  /** A lessee that has asked for a server of its own. */
  dedicate(name: string): FakeDedicatedLessee {
    const lessee = new FakeDedicatedLessee(name, this.log)
    this.pool.dedicate(lessee)
    return lessee
  }

  /** A lessee that has its server. */
  async served(name: string): Promise<FakeLessee & { server: ServerConnection }> {
    const lessee = this.lease(name)
    await this.settle()
    if (lessee.server === null) throw new Error(`${name} was not served`)
    return lessee as FakeLessee & { server: ServerConnection }
  }

  /** Connections that were opened and are not closed. */
  get all(): ServerConnection[] {
    return [...this.#connections.keys()].filter(({ state }) => state !== ServerState.Closed)
  }

  /** Connections that are closed, and whose sockets are not. */
  get leaving(): number {
    return this.#connections.size - this.all.length
  }

  /** Sessions that PostgreSQL has: those being opened, open, and leaving. */
  get existing(): number {
    return this.openings.length + this.#connections.size
  }

  /** PostgreSQL ends the sessions of closed connections: the first one, or all. */
  letGo(count = this.#leaving.length): void {
    for (const connection of this.#leaving.splice(0, count)) connection.receiveEnd()
  }

  /** The socket of a server. */
  connection(server: ServerConnection): FakeConnection {
    return this.#connections.get(server) as FakeConnection
  }

  /** Lets promises take their course. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await nextTurn()
  }

  #onGone(connection: FakeConnection): void {
    if (this.lingering) this.#leaving.push(connection)
    else connection.receiveEnd()
  }

  #open(signal: AbortSignal, startup: StartupParameters | undefined): Promise<ServerConnection> {
    return new Promise((resolve, reject) => {
      const opening: Opening = {
        signal,
        startup,
        succeed: () => {
          this.openings.splice(this.openings.indexOf(opening), 1)
          const connection = this.#network.open()
          connection.peer = { onWritten: () => {}, onGone: () => this.#onGone(connection) }
          const server = new ServerConnection(connection, this.#queue, NOBODY, null)
          this.#connections.set(server, connection)
          server.whenGone(() => this.#connections.delete(server))
          resolve(server)
          return server
        },
        fail: (error) => {
          this.openings.splice(this.openings.indexOf(opening), 1)
          reject(error)
        },
      }
      this.openings.push(opening)
      this.most = Math.max(this.most, this.existing)
      signal.addEventListener('abort', () => {
        if (this.openings.includes(opening)) opening.fail(signal.reason)
      })
      if (this.automatic) opening.succeed()
    })
  }
}
