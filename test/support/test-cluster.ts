import { appendFile, chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client, type ClientConfig } from 'pg'
import { initialise } from '../../src/embedded/data-folder.ts'
import { EmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts'
import { findPostgresBinaries } from '../../src/embedded/postgres-binaries.ts'
import { reachableBinaries } from '../../src/embedded/reachable-binaries.ts'
import { unprivilegedUser } from '../../src/embedded/unprivileged-user.ts'
import { copyTemplate } from './copy-template.ts'

/**
 * TestCluster: a PostgreSQL server for tests, on a copy of a template data folder, with a port of its own that
 * it keeps over restarts. Tests get one from postgres.ts; the global setup makes the shared one.
 */

export type TestAuthentication = 'trust' | 'scram-sha-256' | 'md5' | 'password'

export interface TestClusterOptions {
  /** Lines for postgresql.conf; ALTER SYSTEM and a reload can change them later. */
  settings?: Record<string, string>
  /** How TCP clients log in; "scram-sha-256" by default. */
  auth?: TestAuthentication
  /** Lines of pg_hba.conf for TCP clients, instead of one line with `auth`. */
  hba?: string
  /** Where it listens instead of 127.0.0.1. */
  address?: string
  /** Instead of any free port. */
  port?: number
}

export type Row = Record<string, unknown>

const USER = 'postgres'
const PASSWORD = 'postgres'

/** Nothing of a test survives a crash of the machine, so nothing waits for the disk. */
const TEMPLATE_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  shared_buffers: '32MB',
  max_wal_size: '64MB',
  min_wal_size: '2MB',
  autovacuum: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
}

export class TestCluster {
  readonly user = USER
  readonly password = PASSWORD
  readonly database = 'postgres'
  readonly folder: string
  readonly socketFolder: string
  readonly #postgres: EmbeddedPostgres

  private constructor(folder: string, { address, port }: TestClusterOptions) {
    this.folder = folder
    this.socketFolder = join(folder, 'socket')
    this.#postgres = new EmbeddedPostgres({
      folder,
      socketFolder: this.socketFolder,
      ...(port === undefined ? {} : { port }),
      ...(address === undefined ? {} : { settings: { listen_addresses: address } }),
    })
  }

  /** Copies `template` into `folder` (made here) and starts a server on it. */
  static async start(
    folder: string,
    template: string,
    options: TestClusterOptions = {},
  ): Promise<TestCluster> {
    const cluster = new TestCluster(folder, options)
    await cluster.#create(template, options)
    await cluster.#postgres.start()
    if (options.auth === 'md5') {
      await cluster.query(`SET password_encryption = 'md5'; ALTER ROLE ${USER} PASSWORD '${PASSWORD}'`)
    }
    return cluster
  }

  get host(): string {
    return this.#postgres.host
  }

  get port(): number {
    return this.#postgres.port
  }

  /** Process number of the postmaster; undefined while the server is down. */
  get pid(): number | undefined {
    return this.#postgres.pid
  }

  get url(): string {
    return this.#postgres.url(this.database)
  }

  /** URL of another database, user or password of this cluster. */
  urlOf({ database = this.database, user = this.user, password = this.password }): string {
    return `postgres://${user}:${password}@${this.host}:${this.port}/${database}`
  }

  /** Log of the server, to read after a failure. */
  get logFile(): string {
    return this.#postgres.logFile
  }

  /**
   * Runs SQL as the superuser over the unix socket, which needs no password whatever `auth` and `hba` say: the
   * rows of the last statement.
   */
  query(sql: string, database = this.database): Promise<Row[]> {
    return query({ host: this.socketFolder, port: this.port, user: USER, database }, sql)
  }

  /** Stops the server and starts it again on the same port. */
  async restart(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#postgres.stop(mode)
    await this.#postgres.start()
  }

  /** Stops the server and keeps the folder: `resume` starts it again on the same port. */
  async halt(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    await this.#postgres.stop(mode)
  }

  async resume(): Promise<void> {
    await this.#postgres.start()
  }

  /** Stops the server and removes its folder. */
  async stop(): Promise<void> {
    await this.#postgres.stop('immediate')
    await rm(this.folder, { recursive: true, force: true })
  }

  async #create(
    template: string,
    { settings = {}, auth = 'scram-sha-256', hba }: TestClusterOptions,
  ): Promise<void> {
    const user = await unprivilegedUser()
    // The socket must be reachable for the server's account, so all folders above it can be entered.
    await mkdir(this.socketFolder, { recursive: true })
    await chmod(this.folder, 0o711)
    if (user !== null) await chown(this.socketFolder, user.uid, user.gid)
    const { dataFolder } = this.#postgres
    await copyTemplate(template, dataFolder)
    const lines = Object.entries(settings).map(
      ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
    )
    await appendFile(join(dataFolder, 'postgresql.conf'), lines.join(''))
    const remote = hba ?? `host all all 127.0.0.1/32 ${auth}\nhost replication all 127.0.0.1/32 ${auth}\n`
    await writeFile(join(dataFolder, 'pg_hba.conf'), `local all all trust\n${remote}\n`)
  }
}

/** Connects, runs `sql`, disconnects: the rows of its last statement. */
export async function query(login: ClientConfig, sql: string): Promise<Row[]> {
  const client = new Client(login)
  await client.connect()
  try {
    const result: unknown = await client.query(sql)
    const last = (Array.isArray(result) ? result.at(-1) : result) as { rows: Row[] }
    return last.rows
  } finally {
    await client.end()
  }
}

/** Runs initdb into `dataFolder`: the template that clusters are copied from. */
export async function createTemplate(dataFolder: string): Promise<void> {
  const user = await unprivilegedUser()
  const binaries = await reachableBinaries(await findPostgresBinaries(), user)
  await initialise(dataFolder, binaries, user, {
    superuser: USER,
    password: PASSWORD,
    authentication: 'scram-sha-256',
    parameters: [
      '--no-sync',
      // Small WAL segments make small copies.
      '--wal-segsize=1',
      ...Object.entries(TEMPLATE_SETTINGS).map(([name, value]) => `--set=${name}=${value}`),
    ],
  })
}
