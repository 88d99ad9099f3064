import { afterEach, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { createDatabase, sharedPostgres, type TestDatabase } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** How many server connections and clients there may be: never one more, as PostgreSQL itself counts them. */

let pooler: TestPooler
const clients: RawClient[] = []
const databases: TestDatabase[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler.stop()
  for (const database of databases.splice(0)) await database.drop()
})

async function newDatabase(): Promise<TestDatabase> {
  const database = await createDatabase()
  databases.push(database)
  return database
}

async function start(
  settings: NonNullable<ConfigInput['pooler']>,
  sections: Omit<ConfigInput, 'pooler'> = {},
) {
  pooler = await startPooler({ server: sharedPostgres(), pooler: settings, ...sections })
}

async function connect(database: string, user = 'postgres'): Promise<RawClient> {
  const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database, user })
  clients.push(client)
  return client
}

/** Runs until `done`, and returns the most connections that PostgreSQL had to these databases at any moment. */
async function mostConnections(names: readonly string[], done: Promise<unknown>): Promise<number> {
  const list = names.map((name) => `'${name}'`).join(',')
  let running = true
  let most = 0
  const end = done.finally(() => {
    running = false
  })
  while (running) {
    const [row] = await sharedPostgres().query(
      `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname IN (${list}) AND backend_type = 'client backend'`,
    )
    most = Math.max(most, Number(row?.count))
  }
  await end
  return most
}

/** Many clients, each with transactions of several round trips, coming and going. */
async function load(database: string, users: readonly string[], rounds: number): Promise<void> {
  await Promise.all(
    Array.from({ length: 16 }, async (_, index) => {
      for (let round = 0; round < rounds; round += 1) {
        const client = await connect(database, users[index % users.length])
        await client.query('BEGIN')
        await client.query('SELECT pg_sleep(0.005)')
        expect(letters(await client.query('COMMIT'))).toBe('CZ')
        client.end()
      }
    }),
  )
}

/** Each user of the pooler logs in to PostgreSQL as the superuser, through a database of its own. */
function ownDatabases(
  database: TestDatabase,
  names: readonly string[],
): NonNullable<ConfigInput['databases']> {
  const { host, port } = database
  const { user, password } = sharedPostgres()
  return Object.fromEntries(
    names.map((name) => [name, { host, port, dbname: database.database, user, password }]),
  )
}

describe('server connections', () => {
  test('are never more than pool_size', async () => {
    const database = await newDatabase()
    await start({ default_pool_size: 3 })
    const most = await mostConnections([database.database], load(database.database, ['postgres'], 4))
    expect(most).toBe(3)
  })

  test('are never more than max_user_connections in all databases together', async () => {
    const database = await newDatabase()
    await start(
      { default_pool_size: 5, max_user_connections: 4 },
      { databases: ownDatabases(database, ['one', 'two', 'three']) },
    )
    const work = Promise.all(['one', 'two', 'three'].map((name) => load(name, ['postgres'], 2)))
    expect(await mostConnections([database.database], work)).toBe(4)
  })

  test('are never more than max_db_connections for all users together', async () => {
    const database = await newDatabase()
    const names = ['ann', 'bob', 'zoe']
    for (const name of names) {
      await sharedPostgres().query(`CREATE ROLE limit_${name} LOGIN PASSWORD 'secret'`)
    }
    try {
      await start(
        { default_pool_size: 5, max_db_connections: 4 },
        { users: Object.fromEntries(names.map((name) => [`limit_${name}`, { password: 'secret' }])) },
      )
      const users = names.map((name) => `limit_${name}`)
      expect(await mostConnections([database.database], load(database.database, users, 3))).toBe(4)
    } finally {
      await pooler.stop()
      for (const name of names) await sharedPostgres().query(`DROP ROLE limit_${name}`)
    }
  })

  test('of min_pool_size are there before the first client where the user is known', async () => {
    const database = await newDatabase()
    const [own] = Object.values(ownDatabases(database, ['one']))
    await start({}, { databases: { one: { ...own, min_pool_size: 3 } } })
    await eventually(
      'three servers',
      () => pooler.stats.pools,
      (pools) => pools.length === 1 && pools[0]?.servers === 3,
    )
    expect(pooler.stats.clients).toBe(0)
  })

  test('of a database with a forced user are one pool for all clients', async () => {
    const database = await newDatabase()
    await start({}, { databases: ownDatabases(database, ['one']), users: { ann: {}, bob: {} } })
    for (const user of ['ann', 'bob']) await (await connect('one', user)).query('SELECT 1')
    expect(pooler.stats.pools).toMatchObject([{ database: 'one', user: 'postgres', servers: 1 }])
  })
})

describe('clients', () => {
  test.each<[string, NonNullable<ConfigInput['pooler']>, string, string]>([
    [
      'max_client_conn',
      { max_client_conn: 2 },
      'no more connections allowed (max_client_conn)',
      '2 clients are connected, and max_client_conn is 2.',
    ],
    [
      'max_db_client_connections',
      { max_db_client_connections: 2 },
      'client connections exceeded (max_db_client_connections)',
      'The database "postgres" has 2 clients, and its limit is 2.',
    ],
    [
      'max_user_client_connections',
      { max_user_client_connections: 2 },
      'client connections exceeded (max_user_client_connections)',
      'The user "postgres" has 2 clients, and its limit is 2.',
    ],
  ])('are never more than %s', async (_name, settings, text, detail) => {
    await start(settings)
    const [first] = [await connect('postgres'), await connect('postgres')]
    const third = await RawClient.open(pooler)
    clients.push(third)
    third.send(frontend.startup({ user: 'postgres', database: 'postgres' }))
    const error = await third.finishLogin('postgres')
    expect(error).toMatchObject({ code: '53300', text })
    expect(error?.fields.D).toBe(detail)
    first?.end()
    await eventually(
      'a place to be free',
      () => pooler.stats.clients,
      (count) => count === 1,
    )
    expect(letters(await (await connect('postgres')).query('SELECT 1'))).toBe('TDCZ')
  })

  test('of a user with a limit of its own are counted against that one', async () => {
    await start(
      { max_user_client_connections: 1 },
      { users: { postgres: { password: sharedPostgres().password, max_user_client_connections: 2 } } },
    )
    await connect('postgres')
    await connect('postgres')
    await expect(connect('postgres')).rejects.toThrow('53300')
  })
})
