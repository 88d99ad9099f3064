import { strict as assert } from 'node:assert'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Credentials } from '../../src/auth/credentials.ts'
import { IdentMaps } from '../../src/auth/ident.ts'
import { loginClock } from '../../src/auth/login-clock.ts'
import { LoginPolicy } from '../../src/auth/login-policy.ts'
import { LoginThrottle } from '../../src/auth/login-throttle.ts'
import { buildConfig, type Config, type ConfigInput } from '../../src/config/config.ts'
import { poolPolicy } from '../../src/config/pool-policy.ts'
import { PoolerError, SqlState } from '../../src/errors.ts'
import { createLogger } from '../../src/log.ts'
import { Multiplexer } from '../../src/multiplexer/multiplexer.ts'
import { ConnectionIds } from '../../src/net/connection-ids.ts'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import { LocalBudget } from '../../src/pool/local-budget.ts'
import { PoolDirectory } from '../../src/pool/pool-directory.ts'
import { ServerPool } from '../../src/pool/server-pool.ts'
import { StatementRegistry } from '../../src/prepared/statement-registry.ts'
import { openServer } from '../../src/server/server-login.ts'
import { FakeNetwork } from './fake-network.ts'
import * as frontend from './frontend-messages.ts'
import { type ScenarioCancel, ScenarioClient, ScenarioServer, StatementNames } from './scenario-peers.ts'

/**
 * Scenario: a Multiplexer and its pools between clients and servers that a test plays, in memory. Servers log
 * in by themselves; what they answer afterwards is the test's business.
 */

export type ScenarioSettings = NonNullable<ConfigInput['pooler']>

const { log } = createLogger({ level: 'silent' })
const ENDPOINT = { host: '192.0.2.9', port: 5432 }
const FIRST_PROCESS_ID = 1001

export class Scenario {
  readonly queue = new FlushQueue()
  readonly network = new FakeNetwork(this.queue)
  readonly registry = new StatementRegistry()
  readonly config: Config
  readonly pools: PoolDirectory
  readonly #budget = new LocalBudget()
  readonly multiplexer: Multiplexer
  /** Every connection that was opened to PostgreSQL for sessions, in order. */
  readonly servers: ScenarioServer[] = []
  readonly names = new StatementNames()
  /** CancelRequests that arrived, in order. */
  readonly cancels: ScenarioCancel[] = []
  /** What happens when a server has its StartupMessage; the default logs it in. */
  onStartup = (server: ScenarioServer): void => server.login(FIRST_PROCESS_ID + this.servers.indexOf(server))

  /** One server and one pool unless the settings say otherwise. */
  constructor(settings: ScenarioSettings = {}) {
    const config = buildConfig({
      pooler: { auth_type: 'trust', default_pool_size: 1, ...settings },
      databases: { '*': { host: ENDPOINT.host, port: ENDPOINT.port } },
    })
    this.config = config
    this.network.onConnect = (connection) => {
      const server = new ScenarioServer(
        connection,
        this.names,
        (started) => {
          this.servers.push(started)
          this.onStartup(started)
        },
        (cancel) => this.cancels.push(cancel),
      )
      assert(connection.peer === server)
    }
    this.pools = new PoolDirectory((database, user) => this.#createPool(database, user))
    this.multiplexer = new Multiplexer({
      config,
      credentials: new Credentials(new Map()),
      policy: new LoginPolicy({
        authType: config.pooler.auth_type,
        rules: undefined,
        maps: new IdentMaps(),
      }),
      throttle: new LoginThrottle(
        { maxPendingPerAddress: 0, maxFailedPerAddress: 0, failureDelayMs: 0 },
        loginClock,
      ),
      pools: this.pools,
      registry: this.registry,
      transport: this.network,
      queue: this.queue,
      ids: new ConnectionIds(),
      log,
    })
  }

  /** The pool of everybody. */
  get pool(): ServerPool {
    return this.pools.get('app', 'app')
  }

  /** The server at `index`, which must exist. */
  server(index = 0): ScenarioServer {
    const server = this.servers[index]
    assert(server !== undefined, `there is no server ${index}`)
    return server
  }

  /** A connection that has said nothing yet. */
  connect(): ScenarioClient {
    const client = new ScenarioClient(this.network.open())
    this.multiplexer.accept(client.connection)
    return client
  }

  /** A client that is logged in, and has taken its greeting. */
  async client(parameters: Readonly<Record<string, string>> = {}): Promise<ScenarioClient> {
    const client = this.connect()
    client.send(frontend.startup({ user: 'app', database: 'app', ...parameters }))
    await this.settle()
    const letters = client.letters()
    assert(/^RS*KZ$/.test(letters), `the login was answered ${letters}`)
    client.takeWrites()
    return client
  }

  /** Lets promises take their course: opening connections, writes outside a turn. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await nextTurn()
  }

  /** What the janitor does, at a moment so much later than now. */
  tick(laterMs = 0): void {
    const nowMs = Date.now() + laterMs
    this.multiplexer.tick(nowMs)
    for (const pool of this.pools) pool.tick(nowMs)
  }

  /** Closes all clients and servers, as the pooler does at its end. */
  async stop(): Promise<void> {
    const error = new PoolerError(SqlState.AdminShutdown, 'the test is over')
    this.multiplexer.close(error)
    this.multiplexer.disconnect(error)
    await Promise.all([...this.pools].map((pool) => pool.stop(error)))
    this.registry.promoted.clear()
  }

  #createPool(database: string, user: string): ServerPool {
    const { config } = this
    const settings = config.fallbackDatabase
    assert(settings !== undefined)
    const policy = poolPolicy(config, { ...settings, name: database, dbname: database }, user)
    const target = {
      endpoint: ENDPOINT,
      dbname: database,
      user,
      secret: undefined,
      connectTimeoutMs: 0,
      maxStatements: policy.mode === 'session' ? 0 : config.pooler.max_prepared_statements,
    }
    return new ServerPool({
      database,
      user,
      policy,
      budget: this.#budget,
      open: (signal, startup) =>
        openServer(
          startup === undefined ? target : { ...target, startup },
          this.network,
          this.queue,
          this.registry,
          signal,
        ),
      log,
    })
  }
}
