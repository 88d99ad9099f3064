import { afterEach, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { onlyError } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** How many clients there may be: in all, in one database, of one user. */

let pooler: TestPooler | undefined
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await pooler?.stop()
  pooler = undefined
})

/** Two databases of the pooler at the same one of the server, where both users are the superuser. */
async function start(settings: ConfigInput['pooler'], more: Omit<ConfigInput, 'pooler'> = {}): Promise<void> {
  const { host, port, password } = sharedPostgres()
  const database = { host, port, dbname: 'postgres', user: 'postgres', password }
  const { databases = {}, users = {} } = more
  pooler = await startPooler({
    server: { host, port, password },
    ...(settings === undefined ? {} : { pooler: settings }),
    databases: { one: { ...database, ...databases.one }, two: { ...database, ...databases.two } },
    users: { ann: {}, bob: {}, ...users },
  })
}

async function connect(database: string, user: string): Promise<RawClient> {
  const { host = '', port = 0 } = pooler ?? {}
  const client = await RawClient.connect({ host, port, database, user })
  clients.push(client)
  return client
}

/** The error that refuses a login. */
async function refusal(
  database: string,
  user: string,
): Promise<{ code: string; text: string; detail: string }> {
  const { host = '', port = 0 } = pooler ?? {}
  const client = await RawClient.open({ host, port })
  clients.push(client)
  client.send(f.startup({ user, database }))
  // With "trust" the login itself is accepted first.
  const { code, text, fields } = await onlyError(client)
  return { code, text, detail: fields.D ?? '' }
}

async function left(client: RawClient): Promise<void> {
  const before = pooler?.stats.clients ?? 0
  client.end()
  await eventually(
    'the client to be gone',
    () => pooler?.stats.clients ?? 0,
    (count) => count < before,
  )
}

describe('max_client_conn', () => {
  test('refuses one client too many with 53300 and the numbers; who leaves makes room', async () => {
    await start({ max_client_conn: 2 })
    const first = await connect('one', 'ann')
    const second = await connect('two', 'bob')
    expect(await refusal('one', 'ann')).toEqual({
      code: '53300',
      text: 'no more connections allowed (max_client_conn)',
      detail: '2 clients are connected, and max_client_conn is 2.',
    })
    expect(letters(await second.query('SELECT 1'))).toBe('TDCZ')
    await left(first)
    expect(letters(await (await connect('one', 'ann')).query('SELECT 1'))).toBe('TDCZ')
  })

  test('lets a cancel request through where no client may come any more', async () => {
    await start({ max_client_conn: 1 })
    const client = await connect('one', 'ann')
    client.send(f.query('SELECT pg_sleep(60)'))
    await eventually(
      'the query to run',
      () => sharedPostgres().query(`SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'`),
      (found) => found.length > 0,
    )
    await client.cancel()
    await client.receiveUntil('Z')
  })

  test('changes with a reload', async () => {
    await start({ max_client_conn: 1 })
    await connect('one', 'ann')
    await pooler?.reload({ pooler: { max_client_conn: 2 } })
    await connect('one', 'ann')
    expect(await refusal('one', 'ann')).toMatchObject({ code: '53300' })
  })
})

describe('max_db_client_connections', () => {
  test('refuses one client too many of a database with 53300 and the numbers, and no other', async () => {
    await start({ max_db_client_connections: 2 })
    const first = await connect('one', 'ann')
    await connect('one', 'bob')
    expect(await refusal('one', 'ann')).toEqual({
      code: '53300',
      text: 'client connections exceeded (max_db_client_connections)',
      detail: 'The database "one" has 2 clients, and its limit is 2.',
    })
    await connect('two', 'ann')
    await left(first)
    await connect('one', 'ann')
  })

  test('of a database comes before the general one; 0 is without limit', async () => {
    await start(
      { max_db_client_connections: 1 },
      { databases: { one: { max_db_client_connections: 2 }, two: { max_db_client_connections: 0 } } },
    )
    await connect('one', 'ann')
    await connect('one', 'ann')
    expect(await refusal('one', 'ann')).toMatchObject({ code: '53300' })
    for (let i = 0; i < 4; i++) await connect('two', 'ann')
  })

  test('does not count those that were refused', async () => {
    await start({ max_db_client_connections: 1 })
    const first = await connect('one', 'ann')
    for (let i = 0; i < 5; i++) expect(await refusal('one', 'ann')).toMatchObject({ code: '53300' })
    await left(first)
    await connect('one', 'ann')
    expect(await refusal('one', 'ann')).toMatchObject({ code: '53300' })
  })
})

describe('max_user_client_connections', () => {
  test('refuses one client too many of a user with 53300 and the numbers, in all databases', async () => {
    await start({ max_user_client_connections: 2 })
    const first = await connect('one', 'ann')
    await connect('two', 'ann')
    expect(await refusal('one', 'ann')).toEqual({
      code: '53300',
      text: 'client connections exceeded (max_user_client_connections)',
      detail: 'The user "ann" has 2 clients, and its limit is 2.',
    })
    await connect('one', 'bob')
    await left(first)
    await connect('two', 'ann')
  })

  test('of a user comes before the general one', async () => {
    await start({ max_user_client_connections: 1 }, { users: { ann: { max_user_client_connections: 2 } } })
    await connect('one', 'ann')
    await connect('one', 'ann')
    expect(await refusal('one', 'ann')).toMatchObject({ code: '53300' })
    await connect('one', 'bob')
    expect(await refusal('one', 'bob')).toMatchObject({ code: '53300' })
  })
})
