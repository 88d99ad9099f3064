import { buildConfig, type ConfigInput } from '../../src/config/config.ts'
import type { ReloadReport } from '../../src/config/reload.ts'
import type { PoolerControl } from '../../src/control/pooler-control.ts'
import { createLogger } from '../../src/log.ts'
import type { PoolerStats } from '../../src/metrics/pooler-stats.ts'
import { Pooler } from '../../src/pooler.ts'

/**
 * startPooler: the whole pooler in this process, on a free port of 127.0.0.1, in front of one PostgreSQL (or a
 * scripted one). Each test that needs other settings starts its own.
 */

/** Settings of the sections, over the defaults of the tests: trust, any free port, database "*" at the server. */
export interface PoolerOptions extends ConfigInput {
  /** The PostgreSQL behind it, with the login that the pooler uses there. */
  server: { host: string; port: number; user?: string; password?: string }
  /** In place of the system's hosts file and DNS. */
  lookup?: (name: string) => Promise<string[]>
}

export interface TestPooler {
  readonly host: string
  readonly port: number
  /** Where metrics and health are served, for those with http_listen. */
  readonly http: string
  url(database: string, user?: string): string
  /** Clients, statements and servers that it has now: what must be gone when they are gone. */
  readonly stats: PoolerStats
  /** What operators can do with it. */
  readonly control: PoolerControl
  /** Reads its files again, with other settings if any are given, in the shape of PoolerOptions. */
  reload(changes?: ConfigInput): Promise<ReloadReport>
  stop(): Promise<void>
}

export async function startPooler(options: PoolerOptions): Promise<TestPooler> {
  const { user = 'postgres' } = options.server
  const config = buildConfig(configOf(options))
  const { log, flush } = createLogger({
    level: process.env.POOLER_TEST_LOG === 'debug' ? 'debug' : 'silent',
  })
  const pooler = new Pooler(config, log, undefined, options.lookup)
  await pooler.start()
  const address = pooler.address
  return {
    host: address.host,
    port: address.port,
    http: `http://${pooler.httpAddress?.host}:${pooler.httpAddress?.port}`,
    url: (database, name = user) => `postgres://${name}@${address.host}:${address.port}/${database}`,
    get stats() {
      return pooler.stats
    },
    control: pooler,
    reload: (changes = {}) => pooler.reload(configOf(options, changes)),
    async stop() {
      await pooler.stop()
      await flush()
    },
  }
}

/** The settings of the tests, those of this pooler over them, and later changes over those. */
function configOf({ server, ...sections }: PoolerOptions, changes: ConfigInput = {}): ConfigInput {
  const { host, port, user = 'postgres', password } = server
  return {
    pooler: {
      listen_addr: '127.0.0.1',
      listen_port: 0,
      auth_type: 'trust',
      // Only the tests of the delay wait for it.
      auth_failure_delay: 0,
      ...sections.pooler,
      ...changes.pooler,
    },
    databases: { '*': { host, port }, ...sections.databases, ...changes.databases },
    users: { [user]: password === undefined ? {} : { password }, ...sections.users, ...changes.users },
  }
}
