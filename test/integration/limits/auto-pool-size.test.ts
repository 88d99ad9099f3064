import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { createDatabase, sharedPostgres, type TestDatabase } from '../../support/postgres.ts'

/** `pool_size = "auto"` in front of a real server: whatever it tries, clients notice nothing but their waits. */

const MAX = 4
const CLIENTS = 12

let pooler: TestPooler
let database: TestDatabase

beforeEach(async () => {
  database = await createDatabase()
  const { user, password } = sharedPostgres()
  const { host, port, database: dbname } = database
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { default_pool_size: MAX, admin_users: 'boss' },
    databases: { app: { host, port, dbname, user, password, pool_size: 'auto' } },
    users: { boss: {} },
  })
})

afterEach(async () => {
  await pooler.stop()
  await database.drop()
})

async function connected(count: number): Promise<pg.Client[]> {
  const clients = Array.from({ length: count }, () => new pg.Client(pooler.url('app')))
  await Promise.all(clients.map((client) => client.connect()))
  return clients
}

/** Looks at SHOW POOLS until `isEnough` says so of the pool's note; returns how many servers it allowed meanwhile. */
async function watch(isEnough: (note: string) => boolean): Promise<number[]> {
  const console = new pg.Client(pooler.url('pgbouncer', 'boss'))
  await console.connect()
  const seen = new Set<number>()
  for (let note = ''; !isEnough(note); ) {
    const { rows } = await console.query('SHOW POOLS')
    const pool = rows.find((row) => row.database === 'app')
    expect(pool.sv_active).toBeLessThanOrEqual(MAX)
    seen.add(pool.concurrency)
    note = pool.concurrency_note
  }
  await console.end()
  return [...seen]
}

test('a load is measured and answered right, and SHOW POOLS says what is tried', async () => {
  const clients = await connected(CLIENTS)
  let running = true
  const work = clients.map(async (client, name) => {
    for (let asked = 0; running; asked++) {
      const { rows } = await client.query(`SELECT ${name} AS name, ${asked} AS asked FROM pg_sleep(0.003)`)
      expect(rows).toEqual([{ name, asked }])
    }
  })
  const concurrencies = await watch((note) => note.startsWith('trying '))
  running = false
  await Promise.all(work)
  await Promise.all(clients.map((client) => client.end()))
  expect(Math.max(...concurrencies)).toBe(MAX)
})

// Each of three holds a transaction open and needs a second one: four servers are enough for them, two are not.
test('transactions that need one more inside are not stuck with fewer servers than they need', async () => {
  const outer = await connected(3)
  const inner = await connected(3)
  const others = await connected(CLIENTS)
  let running = true
  let nested = 0
  const work = outer.map(async (client, index) => {
    while (running) {
      await client.query('BEGIN')
      await client.query('SELECT 1')
      await inner[index]?.query('SELECT 2')
      await client.query('COMMIT')
      nested += 1
    }
  })
  const noise = others.map(async (client) => {
    while (running) await client.query('SELECT 3')
  })
  await watch((note) => /^trying [12]\b/.test(note))
  const before = nested
  await watch((note) => !/^trying [12]\b/.test(note) && nested > before + 100)
  running = false
  await Promise.all([...work, ...noise])
  await Promise.all([...outer, ...inner, ...others].map((client) => client.end()))
})
