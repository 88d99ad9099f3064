import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Client } from 'pg'
import { inject } from 'vitest'
import { TestCluster, type TestClusterOptions } from './test-cluster.ts'

/**
 * Real PostgreSQL for tests of the projects "integration" and "drivers": a private cluster for tests that
 * change the server or count its connections, and the shared one for all others.
 */

export type TestPostgres = TestCluster

/** A private cluster on a free port; call its `stop` in afterAll or afterEach. */
export function startPostgres(options: TestClusterOptions = {}): Promise<TestPostgres> {
  return TestCluster.start(
    join(inject('postgresRunFolder'), randomUUID()),
    inject('postgresTemplate'),
    options,
  )
}

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

/** The cluster that all test files of a run share: use it as it is, or make a database of your own in it. */
export function sharedPostgres(): Omit<TestDatabase, 'drop'> {
  return { ...inject('sharedPostgres'), database: 'postgres' }
}

/** A new, empty database in the shared cluster; call its `drop` in afterAll or afterEach. */
export async function createDatabase(): Promise<TestDatabase> {
  const shared = sharedPostgres()
  const database = `test_${randomUUID().replaceAll('-', '')}`
  await run(shared.url, `CREATE DATABASE ${database}`)
  const url = new URL(shared.url)
  url.pathname = `/${database}`
  return {
    ...shared,
    database,
    url: url.href,
    drop: () => run(shared.url, `DROP DATABASE ${database} WITH (FORCE)`),
  }
}

async function run(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
