import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { inject } from 'vitest'
import { query, type Row, TestCluster, type TestClusterOptions } from './test-cluster.ts'

/**
 * Real PostgreSQL for tests of the projects "integration" and "drivers": a private cluster for tests that
 * change the server or count its connections, and the shared one for all others.
 */

/** What a test sees of a cluster. */
export interface TestPostgres {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly url: string
  /** Process number of the postmaster; undefined while the server is down. */
  readonly pid: number | undefined
  /** Runs SQL as the superuser, whatever pg_hba.conf says: the rows of the last statement. */
  query(sql: string, database?: string): Promise<Row[]>
  /** Stops the server and starts it again on the same port. */
  restart(mode?: 'fast' | 'immediate'): Promise<void>
  /** Stops the server for good and removes its folder. */
  stop(): Promise<void>
}

/** A private cluster on a free port; call its `stop` in afterAll or afterEach. */
export function startPostgres(options: TestClusterOptions = {}): Promise<TestCluster> {
  return TestCluster.start(
    join(inject('postgresRunFolder'), randomUUID()),
    inject('postgresTemplate'),
    options,
  )
}

/**
 * The cluster that all test files of a run share: use it as it is, or make a database of your own in it. It
 * cannot be stopped or restarted, because other files are using it.
 */
export function sharedPostgres(): TestPostgres {
  const { socketFolder, ...shared } = inject('sharedPostgres')
  return {
    ...shared,
    query: (sql, database = shared.database) => query({ ...shared, host: socketFolder, database }, sql),
    restart: () => Promise.reject(new Error(NOT_YOURS)),
    stop: () => Promise.reject(new Error(NOT_YOURS)),
  }
}

const NOT_YOURS = 'the shared cluster belongs to all test files: start a private one with startPostgres()'

export interface TestDatabase {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly url: string
  /** Removes the database, also while connections to it are open. */
  drop(): Promise<void>
}

/** A new, empty database in the shared cluster; call its `drop` in afterAll or afterEach. */
export async function createDatabase(): Promise<TestDatabase> {
  const shared = sharedPostgres()
  const { host, port, user, password } = shared
  const database = `test_${randomUUID().replaceAll('-', '')}`
  await shared.query(`CREATE DATABASE ${database}`)
  const url = new URL(shared.url)
  url.pathname = `/${database}`
  const drop = async () => {
    await shared.query(`DROP DATABASE ${database} WITH (FORCE)`)
  }
  return { host, port, user, password, database, url: url.href, drop }
}
