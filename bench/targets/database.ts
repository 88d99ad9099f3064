import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EmbeddedPostgres } from '../../src/embedded/embedded-postgres.ts'
import { query } from '../../test/support/frontend-messages.ts'
import { OwnConnection } from '../load/own-connection.ts'
import type { LoadAddress } from '../load/workload.ts'
import type { Target } from './target.ts'

/**
 * BenchDatabase: the project's own PostgreSQL with pgbench's tables, in a temporary folder, and the target
 * "direct". Made with SQL, not with pgbench, so that the data is the same where pgbench is missing.
 */

const USER = 'postgres'

/** No disk in the measurement: it would be the same for every target, and hide the differences. */
const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  autovacuum: 'off',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  max_connections: '600',
}

/** A role that must show a password, unlike the superuser. */
const SECURED = { user: 'secured', password: 'not a secret' }

const tables = (scale: number) => `
  CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88));
  CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84));
  CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84));
  CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  INSERT INTO pgbench_branches SELECT n, 0 FROM generate_series(1, ${scale}) AS n;
  INSERT INTO pgbench_tellers SELECT n, (n - 1) / 10 + 1, 0 FROM generate_series(1, ${scale * 10}) AS n;
  INSERT INTO pgbench_accounts
    SELECT n, (n - 1) / 100000 + 1, 0, '' FROM generate_series(1, ${scale * 100_000}) AS n;
  ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
  ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
  ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid)`

export class BenchDatabase implements Target {
  readonly name = 'direct'
  readonly pid = undefined
  readonly #postgres: EmbeddedPostgres

  private constructor(postgres: EmbeddedPostgres) {
    this.#postgres = postgres
  }

  /** Starts a new cluster in `folder` and fills it. */
  static async start(
    folder: string,
    scale: number,
    tls: Readonly<Record<string, string>> = {},
  ): Promise<BenchDatabase> {
    const postgres = new EmbeddedPostgres({
      folder: join(folder, 'postgres'),
      user: USER,
      settings: { ...SETTINGS, ...tls },
      authentication: 'trust',
      initdbParameters: ['--no-sync'],
    })
    await postgres.start()
    const database = new BenchDatabase(postgres)
    try {
      await database.run(tables(scale))
      await database.#secure()
      await database.run('VACUUM ANALYZE')
      await database.run('CHECKPOINT')
      return database
    } catch (error) {
      await postgres.stop()
      throw error
    }
  }

  get address(): LoadAddress {
    return { host: this.#postgres.host, port: this.#postgres.port, user: USER, database: 'postgres' }
  }

  /** The same for those who log in by SCRAM-SHA-256. */
  get secured(): Target {
    return {
      name: 'direct',
      pid: undefined,
      address: { ...this.address, ...SECURED },
      refusal: () => undefined,
      stop: () => Promise.resolve(),
    }
  }

  async #secure(): Promise<void> {
    const { user, password } = SECURED
    await this.run(`CREATE ROLE ${user} LOGIN PASSWORD '${password}'; GRANT pg_read_all_data TO ${user}`)
    const rules = join(this.#postgres.dataFolder, 'pg_hba.conf')
    await writeFile(rules, `host all ${user} all scram-sha-256\n${await readFile(rules, 'utf8')}`)
    await this.run('SELECT pg_reload_conf()')
  }

  /** Runs SQL that returns nothing of interest. */
  async run(sql: string): Promise<void> {
    const connection = await OwnConnection.open(this.address)
    try {
      await connection.request(query(sql))
    } finally {
      await connection.end()
    }
  }

  refusal(): undefined {
    return undefined
  }

  async stop(): Promise<void> {
    await this.#postgres.stop()
  }
}
