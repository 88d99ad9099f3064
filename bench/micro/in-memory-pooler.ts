import { Credentials } from '../../src/auth/credentials.ts'
import { IdentMaps } from '../../src/auth/ident.ts'
import { loginClock } from '../../src/auth/login-clock.ts'
import { LoginPolicy } from '../../src/auth/login-policy.ts'
import { LoginThrottle } from '../../src/auth/login-throttle.ts'
import { buildConfig, findDatabase } from '../../src/config/config.ts'
import { poolPolicy } from '../../src/config/pool-policy.ts'
import { createLogger } from '../../src/log.ts'
import { Multiplexer } from '../../src/multiplexer/multiplexer.ts'
import { ConnectionIds } from '../../src/net/connection-ids.ts'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import type { Connection, SocketHandler, Transport } from '../../src/net/transport.ts'
import { Instruments } from '../../src/pool/instruments.ts'
import { LocalBudget } from '../../src/pool/local-budget.ts'
import { PoolDirectory } from '../../src/pool/pool-directory.ts'
import { ServerPool } from '../../src/pool/server-pool.ts'
import { StatementRegistry } from '../../src/prepared/statement-registry.ts'
import { openServer } from '../../src/server/server-login.ts'
import {
  authenticationOk,
  backendKeyData,
  parameterStatus,
  parseComplete,
  readyForQuery,
} from '../../test/support/backend-messages.ts'
import { startup } from '../../test/support/frontend-messages.ts'

/**
 * InMemoryPooler: all of the pooler above the sockets, between clients and servers that answer at once. What is
 * left to measure is this project's own code.
 */

const PARSE = 0x50
const GREETING = Buffer.concat([
  authenticationOk(),
  parameterStatus('server_version', '18.4'),
  parameterStatus('client_encoding', 'UTF8'),
  parameterStatus('DateStyle', 'ISO, MDY'),
  backendKeyData(1, Buffer.alloc(4)),
  readyForQuery(),
])

/** A socket that takes everything; `onWrite` is told. */
class Pipe implements Connection {
  readonly remoteAddress = '192.0.2.1'
  readonly remotePort = 1
  readonly pendingBytes = 0
  handler!: SocketHandler
  onWrite: (pipe: Pipe, bytes: Buffer) => void = () => {}

  setHandler(handler: SocketHandler): void {
    this.handler = handler
  }

  write(bytes: Buffer): boolean {
    this.onWrite(this, bytes)
    return true
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}
}

export interface InMemoryOptions {
  readonly clients: number
  readonly poolSize: number
  /** Everything is counted that /metrics shows. */
  readonly counting?: boolean
  /** Sent once by each client before anything else, with its reply; for prepared statements. */
  readonly prepare?: { readonly request: Buffer; readonly reply: Buffer }
  readonly request: Buffer
  readonly reply: Buffer
}

export class InMemoryPooler {
  readonly #queue = new FlushQueue()
  readonly #options: InMemoryOptions
  readonly #multiplexer: Multiplexer
  /** Servers that were asked something, oldest first. */
  readonly #asked: Pipe[] = []
  /** Those of them that were given a statement on the way, because they lacked it. */
  readonly #parsing = new Set<Pipe>()
  #prepared = false
  #answered: Pipe | null = null

  private constructor(options: InMemoryOptions) {
    this.#options = options
    const registry = new StatementRegistry()
    const instruments = options.counting === true ? new Instruments(1) : null
    const counts = instruments?.connections ?? null
    const { log } = createLogger({ level: 'silent' })
    const transport: Transport = {
      listen: () => Promise.reject(new Error('nobody listens in memory')),
      connect: async () => this.#newServer(),
    }
    const config = buildConfig({
      pooler: { auth_type: 'trust' },
      databases: { '*': { host: '192.0.2.9' } },
    })
    const database = findDatabase(config, 'bench')
    if (database === undefined) throw new Error('every database is configured above')
    const endpoint = { host: '192.0.2.9', port: 5432 }
    const target = {
      endpoint,
      dbname: 'bench',
      user: 'bench',
      secret: undefined,
      connectTimeoutMs: 0,
      maxStatements: config.pooler.max_prepared_statements,
      counts,
    }
    const pool = new ServerPool({
      database: 'bench',
      user: 'bench',
      policy: { ...poolPolicy(config, database, 'bench'), size: options.poolSize, waitTimeoutMs: 0 },
      budget: new LocalBudget(),
      open: (signal) => openServer(target, transport, this.#queue, registry, signal),
      log,
    })
    this.#multiplexer = new Multiplexer({
      config,
      credentials: new Credentials(new Map()),
      policy: new LoginPolicy({ authType: 'trust', rules: undefined, maps: new IdentMaps() }),
      throttle: new LoginThrottle(
        { maxPendingPerAddress: 0, maxFailedPerAddress: 0, failureDelayMs: 0 },
        loginClock,
      ),
      pools: new PoolDirectory(() => pool, instruments?.pools ?? null),
      registry,
      transport,
      queue: this.#queue,
      ids: new ConnectionIds(),
      log,
      counts,
    })
  }

  /** Logged-in clients that have each sent their first request; from here on call `transaction`. */
  static async start(options: InMemoryOptions): Promise<InMemoryPooler> {
    const pooler = new InMemoryPooler(options)
    const clients = Array.from({ length: options.clients }, () => pooler.#newClient())
    for (const client of clients) pooler.#deliver(client, startup({ user: 'bench', database: 'bench' }))
    await settle()
    if (options.prepare !== undefined) {
      for (const client of clients) {
        pooler.#deliver(client, options.prepare.request)
        await settle()
        // Only the first Parse of a text reaches a server.
        pooler.#answer(options.prepare.reply)
      }
      pooler.#prepared = true
    }
    for (const client of clients) {
      client.onWrite = (pipe) => {
        pooler.#answered = pipe
      }
    }
    for (const client of clients) pooler.#deliver(client, options.request)
    await settle()
    return pooler
  }

  /** The oldest request is answered, and the client that got the answer sends its next one. */
  transaction(): void {
    this.#answer(this.#options.reply)
    const client = this.#answered
    if (client === null) throw new Error('nobody was answered')
    this.#answered = null
    this.#deliver(client, this.#options.request)
  }

  #answer(reply: Buffer): void {
    const server = this.#asked.shift()
    if (server === undefined) return
    this.#deliver(server, this.#parsing.delete(server) ? Buffer.concat([parseComplete(), reply]) : reply)
  }

  #deliver(pipe: Pipe, bytes: Buffer): void {
    this.#queue.beginTurn()
    pipe.handler.onData(bytes, 0, bytes.length)
    this.#queue.endTurn()
  }

  #newClient(): Pipe {
    const pipe = new Pipe()
    this.#multiplexer.accept(pipe)
    return pipe
  }

  #newServer(): Pipe {
    const pipe = new Pipe()
    pipe.onWrite = () => {
      pipe.onWrite = (asked, bytes) => {
        this.#asked.push(asked)
        if (this.#prepared && bytes[0] === PARSE) this.#parsing.add(asked)
      }
      queueMicrotask(() => this.#deliver(pipe, GREETING))
    }
    return pipe
  }
}

/** Lets the pool open its connections. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate)
}
