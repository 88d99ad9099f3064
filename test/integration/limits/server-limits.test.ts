import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { FaultProxy } from '../../support/fault-proxy.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** How many servers there are, as PostgreSQL counts them, while clients ask for more than there may be. */

const DATABASES = ['d1', 'd2']
const USERS = ['u1', 'u2', 'u3']
const EVERYBODY = DATABASES.flatMap((database) => USERS.map((user) => ({ database, user })))

let postgres: TestCluster
let observer: Client
let pooler: TestPooler | undefined
let proxy: FaultProxy | undefined
const clients: RawClient[] = []

beforeAll(async () => {
  postgres = await startPostgres({ auth: 'trust' })
  for (const user of USERS) await postgres.query(`CREATE ROLE ${user} LOGIN`)
  for (const database of DATABASES) await postgres.query(`CREATE DATABASE ${database}`)
  observer = new Client({ connectionString: postgres.url })
  await observer.connect()
})

afterAll(async () => {
  await observer.end()
  await postgres.stop()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler?.stop()
  await proxy?.stop()
  pooler = undefined
  proxy = undefined
  await eventually('all servers to be gone', servers, (found) => found.length === 0)
})

interface Backend {
  database: string
  user: string
}

/** All servers of the pooler that there are now. */
async function servers(): Promise<Backend[]> {
  const { rows } = await observer.query<Backend>(
    `SELECT datname AS database, usename AS user FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND datname LIKE 'd_'`,
  )
  return rows
}

async function start(
  settings: ConfigInput['pooler'],
  more: Omit<ConfigInput, 'pooler'> = {},
): Promise<TestPooler> {
  const { host, port } = proxy ?? postgres
  pooler = await startPooler({ server: { host, port }, ...(settings && { pooler: settings }), ...more })
  return pooler
}

async function connect(who: Backend): Promise<RawClient> {
  const { host = '', port = 0 } = pooler ?? {}
  const client = await RawClient.connect({ host, port, ...who })
  clients.push(client)
  return client
}

/** A client of d1 is cut off in the middle of a transaction. */
async function leaveInTransaction(): Promise<void> {
  const client = await connect({ database: 'd1', user: 'u1' })
  await client.query('BEGIN; SELECT 1')
  client.destroy()
}

/** A client of d1 is cut off in the middle of a large result. */
async function leaveInQuery(): Promise<void> {
  const client = await connect({ database: 'd1', user: 'u2' })
  client.send(f.query(`SELECT repeat('x', 1000) FROM generate_series(1, 100000)`))
  await client.receiveUntil('T')
  client.destroy()
}

/** A client asks without a pause. */
async function ask(who: Backend, queries: number, index: number): Promise<void> {
  const client = await connect(who)
  for (let i = 0; i < queries; i++)
    expect(letters(await client.query(`SELECT pg_sleep(${((index + i) % 3) / 200})`))).toBe('TDCZ')
}

/** The same, connecting anew where it is disconnected, until all queries have had their answers. */
async function askAgain(who: Backend, queries: number, index: number): Promise<void> {
  let left = queries
  while (left > 0) {
    try {
      const client = await connect(who)
      while (left > 0) {
        if (letters(await client.query(`SELECT pg_sleep(${((index + left) % 3) / 200})`)) !== 'TDCZ') break
        left -= 1
      }
    } catch {
      // The login, or the query, fell victim to the disturbance.
    }
  }
}

/** A crowd of clients works; returns the servers that were seen again and again meanwhile. */
async function sampled(
  crowd: readonly Backend[],
  queries: number,
  work: typeof ask = ask,
): Promise<Backend[][]> {
  const samples: Backend[][] = []
  let busy = true
  const all = Promise.all(crowd.map((who, index) => work(who, queries, index))).finally(() => {
    busy = false
  })
  all.catch(() => {})
  while (busy) {
    samples.push(await servers())
    await nextTurn()
  }
  await all
  return samples
}

const most = (samples: readonly Backend[][], matches: (backend: Backend) => boolean = () => true): number =>
  Math.max(...samples.map((sample) => sample.filter(matches).length))

function times<Item>(count: number, items: readonly Item[]): Item[] {
  return Array.from({ length: count }, () => items).flat()
}

describe('never exceeded by one, as samples of pg_stat_activity show', () => {
  test('pool_size, that of [pooler], of a database and of a user', async () => {
    const { host, port } = postgres
    await start(
      { default_pool_size: 3 },
      { databases: { d2: { host, port, pool_size: 2 } }, users: { u3: { pool_size: 1 } } },
    )
    const samples = await sampled(times(5, EVERYBODY), 20)
    const size = (database: string, user: string): number =>
      most(samples, (backend) => backend.database === database && backend.user === user)
    expect(EVERYBODY.map(({ database, user }) => size(database, user))).toEqual([3, 3, 1, 2, 2, 1])
  })

  test('max_db_connections, and every client of every pool is served', async () => {
    await start({ default_pool_size: 5, max_db_connections: 4 })
    const samples = await sampled(times(4, EVERYBODY), 10)
    for (const name of DATABASES) {
      const isOfDatabase = ({ database }: Backend): boolean => database === name
      expect(most(samples, isOfDatabase)).toBe(4)
    }
  })

  test('max_user_connections, and every client of every pool is served', async () => {
    await start({ default_pool_size: 5, max_user_connections: 3 })
    const samples = await sampled(times(4, EVERYBODY), 10)
    for (const name of USERS) {
      const isOfUser = ({ user }: Backend): boolean => user === name
      expect(most(samples, isOfUser)).toBe(3)
    }
  })

  test.each([
    ['RECONNECT', () => pooler?.control.reconnect()],
    [
      'terminated backends',
      () => postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'd1'`),
    ],
    ['clients that vanish in a transaction', () => leaveInTransaction()],
    ['clients that vanish in a query', () => leaveInQuery()],
  ])('pool_size and max_db_connections in spite of %s', async (_name, disturb) => {
    await start({ default_pool_size: 2, max_db_connections: 3, server_login_retry: '0.01s' })
    let disturbed = 0
    let busy = true
    const disturbance = (async (): Promise<void> => {
      while (busy) {
        await disturb()
        disturbed += 1
        await pause(20)
      }
    })()
    const samples = await sampled(
      times(
        4,
        EVERYBODY.filter(({ database }) => database === 'd1'),
      ),
      20,
      askAgain,
    ).finally(() => {
      busy = false
    })
    await disturbance
    expect(disturbed).toBeGreaterThan(3)
    expect(most(samples)).toBe(3)
    for (const name of USERS) expect(most(samples, ({ user }) => user === name)).toBeLessThanOrEqual(2)
  })

  test('pool_size while reloads change it, down to the smaller one under load', async () => {
    const { reload } = await start({ default_pool_size: 6 })
    const [who] = EVERYBODY as [Backend]
    await sampled(times(12, [who]), 3)
    expect(await servers()).toHaveLength(6)
    await reload({ pooler: { default_pool_size: 2 } })
    await sampled(times(12, [who]), 3)
    expect(most(await sampled(times(12, [who]), 3))).toBe(2)
    await reload({ pooler: { default_pool_size: 4 } })
    expect(most(await sampled(times(12, [who]), 5))).toBe(4)
  })
})

describe('reserve_pool_size', () => {
  test('adds servers after reserve_pool_timeout only, and they go again', async () => {
    await start({ default_pool_size: 1, reserve_pool_size: 1, reserve_pool_timeout: '0.3s' })
    const [who] = EVERYBODY as [Backend]
    const [first, second] = [await connect(who), await connect(who)]
    await first.query('BEGIN')
    const startedMs = Date.now()
    expect(letters(await second.query('SELECT 1'))).toBe('TDCZ')
    expect(Date.now() - startedMs).toBeGreaterThanOrEqual(300)
    await first.query('COMMIT')
    await eventually('the reserve to be closed', servers, (found) => found.length === 1)
  })
})

describe('min_pool_size', () => {
  test('is opened at the start where the database forces a user, kept without clients, and refilled', async () => {
    const { host, port } = postgres
    await start({}, { databases: { d1: { host, port, user: 'u1', min_pool_size: 3 } } })
    await eventually('the pool to be filled', servers, (found) => found.length === 3)
    await postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'd1'`)
    await eventually('the pool to be filled again', servers, (found) => found.length === 3)
  })
})

describe('max_connecting', () => {
  const LOGIN_DELAY_MS = 100

  test('opens so many at a time: a cold pool of 20 is warm after four rounds of logins', async () => {
    proxy = await FaultProxy.start(postgres)
    await start({ default_pool_size: 20, max_connecting: 5 })
    const [who] = EVERYBODY as [Backend]
    const crowd = await Promise.all(times(20, [who]).map(connect))
    pooler?.control.reconnect()
    await eventually('the pool to be cold', servers, (found) => found.length === 0)
    const before = proxy.accepted
    proxy.delay('toClient', LOGIN_DELAY_MS)
    let concurrent = 0
    const startedMs = Date.now()
    let busy = true
    const all = Promise.all(crowd.map((client) => client.query('BEGIN'))).finally(() => {
      busy = false
    })
    while (busy) {
      // Logins under way: connections that PostgreSQL has not finished to greet.
      const { servers: there = 0 } = pooler?.stats.pools[0] ?? {}
      concurrent = Math.max(concurrent, proxy.accepted - before - there)
      await nextTurn()
    }
    for (const reply of await all) expect(letters(reply)).toBe('CZ')
    const tookMs = Date.now() - startedMs
    expect(await servers()).toHaveLength(20)
    expect(concurrent).toBe(5)
    // One after the other would take longer than this.
    expect(tookMs).toBeLessThan(20 * LOGIN_DELAY_MS)
  })
})

describe('where a shared limit is the bottleneck', () => {
  test('an idle server of another pool is closed for a client that waits', async () => {
    await start({ max_db_connections: 1 })
    const [one, two] = [
      await connect({ database: 'd1', user: 'u1' }),
      await connect({ database: 'd1', user: 'u2' }),
    ]
    for (let i = 0; i < 3; i++) {
      expect(await one.value('SELECT current_user')).toBe('u1')
      expect(await two.value('SELECT current_user')).toBe('u2')
    }
  })

  test('pools are served by how long their clients have waited, not by their names', async () => {
    await start({ max_db_connections: 1 })
    const holder = await connect({ database: 'd1', user: 'u2' })
    const waiters = [
      await connect({ database: 'd1', user: 'u3' }),
      await connect({ database: 'd1', user: 'u1' }),
    ]
    await holder.query('BEGIN')
    const order: number[] = []
    const replies: Promise<unknown>[] = []
    for (const [index, waiter] of waiters.entries()) {
      waiter.send(f.query('SELECT pg_sleep(0.01)'))
      replies.push(waiter.receiveUntil('Z').then(() => order.push(index)))
      await eventually(
        'the client to be in the queue',
        () => pooler?.stats.pools.reduce((sum, { waiting }) => sum + waiting, 0),
        (count) => count === index + 1,
      )
    }
    await holder.query('COMMIT')
    await Promise.all(replies)
    expect(order).toEqual([0, 1])
  })
})
