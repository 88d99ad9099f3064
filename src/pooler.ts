import { ConsoleSessions } from './admin/console-sessions.ts'
import { loginClock } from './auth/login-clock.ts'
import { LoginThrottle } from './auth/login-throttle.ts'
import { throttleLimits } from './auth/throttle-limits.ts'
import { readStartupFiles, type StartupFiles } from './client/startup-files.ts'
import { buildConfig, type Config, type ConfigInput } from './config/config.ts'
import { minimumWarnings } from './config/minimum-warnings.ts'
import { mergeForReload, type ReloadReport } from './config/reload.ts'
import { ReloadRecord } from './config/reload-record.ts'
import { secretFileWarnings } from './config/secret-file-warnings.ts'
import { withSetting } from './config/with-setting.ts'
import { AuthSources } from './control/auth-sources.ts'
import { DatabaseControl } from './control/database-control.ts'
import { openMinimum } from './control/open-minimum.ts'
import { PoolFactory } from './control/pool-factory.ts'
import type { PoolerControl, ShutdownMode } from './control/pooler-control.ts'
import { reloadPools } from './control/reload-pools.ts'
import { drainClients } from './control/shutdown.ts'
import { Suspension } from './control/suspension.ts'
import { PoolerError, SqlState } from './errors.ts'
import type { HttpListener } from './http/http-listener.ts'
import { openHttp } from './http/open-http.ts'
import { asRootLogger, type Logger, type RootLogger } from './log.ts'
import { type PoolerStats, poolerStats } from './metrics/pooler-stats.ts'
import { StatsBook } from './metrics/stats-book.ts'
import { Multiplexer } from './multiplexer/multiplexer.ts'
import { ClientListeners } from './net/client-listeners.ts'
import { ConnectionIds } from './net/connection-ids.ts'
import { createTransport } from './net/create-transport.ts'
import { FlushQueue } from './net/flush-queue.ts'
import { lookUpHost } from './net/look-up-host.ts'
import type { TlsDirectory } from './net/tls-directory.ts'
import { Instruments } from './pool/instruments.ts'
import { Janitor } from './pool/janitor.ts'
import { LocalBudget } from './pool/local-budget.ts'
import { PoolDirectory } from './pool/pool-directory.ts'
import { StatementRegistry } from './prepared/statement-registry.ts'

/** Until the configuration is read. */
const NO_LIMITS = { maxPendingPerAddress: 0, maxFailedPerAddress: 0, failureDelayMs: 0 }

/** What exists from start() on. */
interface StartedParts {
  readonly tls: TlsDirectory
  readonly multiplexer: Multiplexer
  readonly databases: DatabaseControl
  readonly suspension: Suspension
  readonly consoles: ConsoleSessions
  /** Metrics and health; null without http_listen. */
  readonly http: HttpListener | null
}

/** Where a configuration comes from, to be read again by reload(). */
export interface ConfigSource {
  /** The files in which passwords may be written, as load() found them; they are looked at for who may read them. */
  readonly secretFiles: readonly string[]
  /** Rejects with a ConfigError. */
  load(): Promise<Config>
}

/**
 * Pooler: the composition root, the only place that wires objects together. `start()` listens, `stop()`
 * closes every connection; a Pooler starts once. What an operator can do with it in between is PoolerControl.
 */
export class Pooler implements PoolerControl {
  #config: Config
  readonly #source: ConfigSource | undefined
  readonly #rootLogger: RootLogger
  readonly #log: Logger
  readonly #queue = new FlushQueue()
  readonly #transport = createTransport(this.#queue)
  readonly #registry = new StatementRegistry()
  readonly #janitor = new Janitor()
  readonly #ids = new ConnectionIds()
  readonly #throttle = new LoginThrottle(NO_LIMITS, loginClock)
  readonly #factory: PoolFactory
  readonly #pools: PoolDirectory
  readonly #sources: AuthSources
  readonly #listeners: ClientListeners
  readonly #stopping = new AbortController()
  readonly #reloads = new ReloadRecord()
  /** Null without http_listen. */
  readonly #instruments: Instruments | null
  #parts: StartedParts | null = null
  #reloading: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | null = null

  /** `lookup` is for tests. */
  constructor(config: Config, logger: Logger | RootLogger, source?: ConfigSource, lookup = lookUpHost) {
    this.#config = config
    this.#source = source
    this.#rootLogger = asRootLogger(logger, config.pooler.log_level)
    const { log } = this.#rootLogger
    this.#log = log
    const { http_listen, metrics_max_pools } = config.pooler
    this.#instruments = http_listen === undefined ? null : new Instruments(metrics_max_pools)
    this.#listeners = new ClientListeners(this.#transport, log)
    this.#factory = new PoolFactory({
      config: () => this.#config,
      credentials: () => this.#sources.credentials,
      tls: () => this.#started.tls,
      transport: this.#transport,
      queue: this.#queue,
      registry: this.#registry,
      ids: this.#ids,
      budget: new LocalBudget(),
      lookup,
      log,
      counts: this.#instruments?.connections ?? null,
    })
    this.#pools = new PoolDirectory(
      (database, user) => this.#factory.create(database, user),
      this.#instruments?.pools ?? null,
    )
    this.#sources = new AuthSources(
      config,
      (origin, signal) => this.#factory.openForAuthQuery(origin, signal),
      log,
    )
  }

  /** Where it listens first, the folder if that is a unix socket; throws before start(). */
  get address(): { host: string; port: number } {
    const listener = this.#listeners.first
    if (listener === undefined) throw new Error('the pooler is not listening')
    return { host: listener.host, port: listener.port }
  }

  /** Where metrics and health are served; undefined without http_listen, and before start(). */
  get httpAddress(): { host: string; port: number } | undefined {
    return this.#parts?.http?.address
  }

  get stats(): PoolerStats {
    return poolerStats(this.#pools, this.#registry, this.#parts?.multiplexer, this.#listeners.refused)
  }

  /**
   * Reads the users and listens. Rejects with a PoolerError F0000 that says what is wrong: a secret that
   * cannot be read, an address that cannot be listened on.
   */
  async start(): Promise<void> {
    const { config, policy, userlist, tls } = await readStartupFiles(this.#config)
    this.#config = config
    await this.#warn()
    this.#sources.load(config, userlist)
    this.#throttle.limits = throttleLimits(this.#config)
    const multiplexer = new Multiplexer({
      config,
      credentials: this.#sources.credentials,
      policy,
      throttle: this.#throttle,
      tls,
      pools: this.#pools,
      registry: this.#registry,
      transport: this.#transport,
      queue: this.#queue,
      ids: this.#ids,
      log: this.#log,
      counts: this.#instruments?.connections ?? null,
      console: (client) => this.#started.consoles.open(client),
    })
    const stats = new StatsBook(this.#pools, multiplexer, () => this.#config.pooler.stats_period)
    this.#parts = {
      tls,
      multiplexer,
      databases: new DatabaseControl(() => this.#config, this.#pools, multiplexer),
      suspension: new Suspension(multiplexer),
      consoles: this.#createConsoles(multiplexer, stats),
      http: await this.#openHttp(multiplexer, stats),
    }
    await this.#listeners
      .open(config.pooler, (connection) => multiplexer.accept(connection))
      .catch(async (error: unknown) => {
        await this.#parts?.http?.close()
        throw error
      })
    this.#janitor.add((nowMs) => multiplexer.tick(nowMs))
    this.#janitor.add((nowMs) => this.#sources.tick(nowMs))
    this.#janitor.add(() => this.#factory.followHosts(this.#pools))
    this.#janitor.add((nowMs) => this.#pools.tick(nowMs))
    this.#janitor.add((nowMs) => {
      if (stats.tick(nowMs) && this.#config.pooler.log_stats) this.#log.info(stats.line)
    })
    openMinimum(this.#config, this.#pools)
    this.#janitor.start()
  }

  /** `given` takes the place of the configuration file. */
  reload(given?: ConfigInput): Promise<ReloadReport> {
    // One after the other: each starts from what the one before it has left.
    const report = this.#reloading.then(() => this.#reload(given))
    this.#reloads.watch(report)
    this.#reloading = report.catch(() => {})
    return report
  }

  pause(database?: string): Promise<void> {
    if (this.#started.suspension.suspended) return Promise.reject(alreadyPaused())
    return this.#started.databases.pause(database)
  }

  resume(database?: string): void {
    const { suspension, databases } = this.#started
    if (suspension.suspended && database === undefined) suspension.resume()
    else databases.resume(database)
  }

  async suspend(): Promise<void> {
    const { suspension } = this.#started
    if (suspension.suspended) throw alreadyPaused()
    if (this.#pools.somePaused)
      throw new PoolerError(SqlState.ObjectNotInState, 'cannot suspend with paused databases', {
        severity: 'ERROR',
      })
    await suspension.suspend(this.#config.pooler.suspend_timeout)
  }

  reconnect(database?: string): void {
    this.#started.databases.reconnect(database)
  }

  kill(database?: string): void {
    this.#started.databases.kill(database)
  }

  disable(database: string): void {
    this.#started.databases.setDisabled(database, true)
  }

  enable(database: string): void {
    this.#started.databases.setDisabled(database, false)
  }

  waitClose(database?: string): Promise<void> {
    return this.#started.databases.waitClose(database)
  }

  async set(name: string, value: string): Promise<void> {
    const changed = withSetting(this.#config, name, value)
    this.#apply(changed, await readStartupFiles(changed))
  }

  async shutdown(mode: ShutdownMode): Promise<void> {
    const listening = this.#listeners.close()
    if (mode !== 'immediate' && this.#parts !== null) {
      const { multiplexer } = this.#parts
      this.#log.info({ mode, clients: multiplexer.clientCount }, 'shutting down')
      await drainClients(multiplexer, mode, this.#config.pooler.shutdown_timeout, this.#stopping.signal)
    }
    await this.stop()
    await listening
  }

  /** Stops listening and closes all clients and servers at once. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    const error = new PoolerError(SqlState.AdminShutdown, 'pooler is shutting down')
    this.#stopping.abort()
    this.#janitor.stop()
    const listening = this.#listeners.close()
    this.#parts?.multiplexer.close(error)
    this.#parts?.multiplexer.disconnect(error)
    this.#parts?.consoles.stop(error)
    this.#sources.stop(error)
    await Promise.all([...this.#pools].map((pool) => pool.stop(error)))
    await listening
    this.#registry.promoted.clear()
    await this.#parts?.http?.close()
    this.#log.info('stopped')
  }

  get #started(): StartedParts {
    if (this.#parts === null)
      throw new PoolerError(SqlState.CannotConnectNow, 'the pooler has not been started')
    return this.#parts
  }

  async #reload(given: ConfigInput | undefined): Promise<ReloadReport> {
    const written = given === undefined ? await this.#source?.load() : buildConfig(given)
    if (written === undefined)
      throw new PoolerError(SqlState.ConfigurationError, 'there is no configuration file to read again')
    const files = await readStartupFiles(written)
    const { config, report } = mergeForReload(this.#config, files.config)
    this.#apply(config, files)
    await this.#warn()
    this.#log.info({ changed: report.changed }, 'configuration read again')
    for (const setting of report.kept) this.#log.warn({ setting }, 'takes effect after a restart only')
    return report
  }

  /** From here on `config` holds; `files` is what it names. */
  #apply(config: Config, files: StartupFiles): void {
    const { multiplexer, tls } = this.#started
    const before = this.#config
    // First, because this alone can fail.
    this.#rootLogger.configure(config.pooler)
    this.#config = config
    this.#sources.load(config, files.userlist)
    this.#throttle.limits = throttleLimits(this.#config)
    tls.replaceBy(files.tls)
    multiplexer.configure({ config, credentials: this.#sources.credentials, policy: files.policy })
    reloadPools(this.#pools, before, config)
    openMinimum(this.#config, this.#pools)
  }

  #openHttp(multiplexer: Multiplexer, stats: StatsBook): Promise<HttpListener | null> {
    if (this.#instruments === null) return Promise.resolve(null)
    const { connections: counts, pools: poolMetrics } = this.#instruments
    const shared = { config: () => this.#config, pools: this.#pools, registry: this.#registry }
    const own = { multiplexer, stats, counts, poolMetrics, dns: this.#factory.dns, reloads: this.#reloads }
    return openHttp(
      { ...shared, ...own, refusedForDescriptors: () => this.#listeners.refused },
      () => this.#listeners.first !== undefined,
      this.#log,
    )
  }

  #createConsoles(multiplexer: Multiplexer, stats: StatsBook): ConsoleSessions {
    return new ConsoleSessions(
      {
        config: () => this.#config,
        control: this,
        pools: this.#pools,
        multiplexer,
        registry: this.#registry,
        dns: this.#factory.dns,
        stats,
        log: this.#log,
      },
      this.#log,
    )
  }

  async #warn(): Promise<void> {
    for (const line of minimumWarnings(this.#config)) this.#log.warn(line)
    for (const line of await secretFileWarnings(this.#config, this.#source?.secretFiles)) this.#log.warn(line)
  }
}

function alreadyPaused(): PoolerError {
  return new PoolerError(SqlState.ObjectNotInState, 'already suspended/paused', { severity: 'ERROR' })
}
