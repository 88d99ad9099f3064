import { createWriteStream, type WriteStream } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FaultProxy } from '../support/fault-proxy.ts'
import { MeasuredPooler } from '../support/measured-pooler.ts'
import type { Row } from '../support/test-cluster.ts'
import { createTemplate, TestCluster } from '../support/test-cluster.ts'

/** SoakStage: PostgreSQL, the breakable network in front of it, and the pooler in a process of its own. */

/** The limit of the pool that finds its own size. */
const LARGEST_AUTO_SIZE = 4

/** Pools so small that clients wait all the time, and how many clients each has. */
export const POOLS = [
  { database: 'one', mode: 'transaction', size: 1, clients: 3 },
  { database: 'few', mode: 'transaction', size: 4, clients: 16 },
  { database: 'clever', mode: 'transaction', size: 'auto', clients: 16 },
  { database: 'sessions', mode: 'session', size: 5, clients: 4 },
] as const

/** Room for the pools and for those who look past them, and for no more. */
const MAX_CONNECTIONS = 20

export class SoakStage {
  readonly folder: string
  readonly postgres: TestCluster
  readonly proxy: FaultProxy
  readonly pooler: MeasuredPooler
  readonly #log: WriteStream

  private constructor(
    folder: string,
    postgres: TestCluster,
    proxy: FaultProxy,
    pooler: MeasuredPooler,
    log: WriteStream,
  ) {
    this.folder = folder
    this.postgres = postgres
    this.proxy = proxy
    this.pooler = pooler
    this.#log = log
  }

  static async open(): Promise<SoakStage> {
    const folder = await mkdtemp(join(tmpdir(), 'pooler-soak-'))
    // PostgreSQL's account must be able to come in.
    await chmod(folder, 0o711)
    const template = join(folder, 'template')
    await createTemplate(template)
    const postgres = await TestCluster.start(join(folder, 'postgres'), template, {
      // What was acknowledged must survive a crash.
      settings: { synchronous_commit: 'on', max_connections: String(MAX_CONNECTIONS) },
    })
    await postgres.query('CREATE TABLE ledger (id int)')
    await postgres.query('CREATE INDEX ON ledger (id)')
    const proxy = await FaultProxy.start(postgres)
    const log = createWriteStream(join(folder, 'pooler.log'))
    const { host, port } = proxy
    const pooler = await MeasuredPooler.start(
      {
        pooler: {
          listen_port: 0,
          auth_type: 'trust',
          default_pool_size: LARGEST_AUTO_SIZE,
          server_login_retry: '200ms',
          server_connect_timeout: '1s',
        },
        databases: Object.fromEntries(
          POOLS.map(({ database, mode, size }) => [
            database,
            {
              ...{ host, port, dbname: 'postgres', pool_mode: mode, pool_size: size },
              ...(size === 'auto' ? { lazy_begin: true, prepare_unnamed: true } : {}),
            },
          ]),
        ),
        users: { postgres: { password: postgres.password } },
      },
      (text) => log.write(text),
    )
    return new SoakStage(folder, postgres, proxy, pooler, log)
  }

  get logFile(): string {
    return join(this.folder, 'pooler.log')
  }

  /** Asks PostgreSQL past the pooler, however often it takes while it is being restarted. */
  async query(sql: string): Promise<Row[]> {
    for (;;) {
      const found = await this.postgres.query(sql).catch(() => undefined)
      if (found !== undefined) return found
    }
  }

  /** Process numbers of the pooler's servers. */
  async backends(): Promise<number[]> {
    const found = await this.query(
      `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_port > 0`,
    )
    return found.map(({ pid }) => pid as number)
  }

  /** Stops everything; the folder with the logs stays if there is something to find out. */
  async close(keepFolder: boolean): Promise<void> {
    await this.pooler.stop()
    await this.proxy.stop()
    await this.postgres.stop()
    await new Promise<void>((resolve) => this.#log.end(() => resolve()))
    if (!keepFolder) await rm(this.folder, { recursive: true, force: true })
  }
}
