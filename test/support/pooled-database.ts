import { Client } from 'pg'
import { afterAll, beforeAll } from 'vitest'
import type { ConfigInput } from '../../src/config/config.ts'
import { eventually } from './eventually.ts'
import type { TestPooler } from './pooler.ts'
import { startPooler } from './pooler.ts'
import type { TestDatabase } from './postgres.ts'
import { createDatabase, sharedPostgres } from './postgres.ts'

/**
 * pooledDatabase: a database of its own in the shared cluster with a pooler in front of it, for the tests of one
 * driver. It watches how many server connections the pooler has, by asking PostgreSQL past the pooler.
 */

export interface PooledDatabase {
  readonly database: string
  readonly host: string
  readonly port: number
  readonly user: string
  /** postgres:// URL through the pooler. */
  readonly url: string
  /** Runs SQL past the pooler. */
  direct(sql: string): Promise<Record<string, unknown>[]>
  /** Samples the number of server connections while `work` runs; returns the largest. */
  watchServers(work: Promise<unknown>): Promise<number>
  /** Waits until every server connection is idle, which is when no client is in a transaction. */
  settled(): Promise<void>
}

/** Registers the database and the pooler of a test file. `ready` may be read inside tests only. */
export function pooledDatabase(
  poolSize: number,
  settings: ConfigInput['pooler'] = {},
): { readonly ready: PooledDatabase } {
  let database: TestDatabase
  let pooler: TestPooler
  let observer: Client

  beforeAll(async () => {
    database = await createDatabase()
    observer = new Client({ connectionString: sharedPostgres().url })
    await observer.connect()
    const { host, port, user, password } = database
    pooler = await startPooler({
      server: { host, port, user, password },
      pooler: { default_pool_size: poolSize, ...settings },
    })
  })

  afterAll(async () => {
    await pooler.stop()
    await observer.end()
    await database.drop()
  })

  // Asked from the cluster's own database, so that the question is never part of the answer.
  const states = async (): Promise<{ state: string }[]> => {
    const { rows } = await observer.query(
      `SELECT state FROM pg_stat_activity WHERE datname = '${database.database}' AND backend_type = 'client backend'
        AND usename = '${database.user}' AND application_name <> 'direct'`,
    )
    return rows
  }

  async function watchServers(work: Promise<unknown>): Promise<number> {
    let largest = 0
    let busy = true
    const done = work.finally(() => {
      busy = false
    })
    // Its failure is reported by the await below, which may come later than the failure.
    done.catch(() => {})
    while (busy) largest = Math.max(largest, (await states()).length)
    await done
    return largest
  }

  async function settled(): Promise<void> {
    await eventually(
      `all of at most ${poolSize} servers to be idle`,
      states,
      (found) => found.length <= poolSize && found.every(({ state }) => state === 'idle'),
    )
  }

  return {
    get ready() {
      return {
        database: database.database,
        host: pooler.host,
        port: pooler.port,
        user: database.user,
        url: pooler.url(database.database, database.user),
        direct: (sql: string) =>
          sharedPostgres().query(`SET application_name = 'direct'; ${sql}`, database.database),
        watchServers,
        settled,
      }
    },
  }
}
