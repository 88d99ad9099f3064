import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** client_encoding, datestyle, timezone and application_name of a database: where its sessions start from. */

let pooler: TestPooler

function settings(timezone: string) {
  const { host, port, database: dbname } = sharedPostgres()
  return {
    databases: {
      own: {
        host,
        port,
        dbname,
        timezone,
        datestyle: 'German',
        application_name: 'from the pooler',
        client_encoding: 'LATIN1',
      },
    },
  }
}

beforeAll(async () => {
  pooler = await startPooler({
    server: sharedPostgres(),
    pooler: { default_pool_size: 1 },
    ...settings('Asia/Tokyo'),
  })
})
afterAll(() => pooler.stop())

/** What a session has that asks for these. */
async function shown(options: object = {}, sql = 'SELECT 1'): Promise<string> {
  const client = new Client({ connectionString: pooler.url('own'), ...options })
  await client.connect()
  try {
    await client.query(sql)
    const { rows } = await client.query(
      `SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('DateStyle'),
         current_setting('client_encoding'), current_setting('application_name')) AS all`,
    )
    return rows[0].all
  } finally {
    await client.end()
  }
}

/** The driver asks for UTF8 itself. */
const PLAIN = 'Asia/Tokyo German, DMY UTF8 from the pooler'

test('hold for clients that ask for nothing', async () => {
  const { user, password } = sharedPostgres()
  const client = await RawClient.connect({
    host: pooler.host,
    port: pooler.port,
    user,
    password,
    database: 'own',
  })
  expect(await client.value("SELECT current_setting('client_encoding')")).toBe('LATIN1')
  expect(client.parameters.get('client_encoding')).toBe('LATIN1')
  expect(client.parameters.get('TimeZone')).toBe('Asia/Tokyo')
  client.end()
  expect(await shown()).toBe(PLAIN)
})

test('give way to what a client asks for, and come back for the next', async () => {
  expect(await shown({ application_name: 'mine', options: '-c TimeZone=UTC' })).toBe(
    'UTC German, DMY UTF8 mine',
  )
  expect(await shown()).toBe(PLAIN)
  expect(await shown({}, "SET TimeZone = 'Europe/Vienna'")).toBe(PLAIN.replace('Asia/Tokyo', 'Europe/Vienna'))
  expect(await shown()).toBe(PLAIN)
  expect(await shown({}, 'DISCARD ALL')).toBe(PLAIN)
  expect(await shown({}, "SET work_mem = '8MB'; RESET ALL")).toBe(PLAIN)
})

test('are for connections that a reload opens anew', async () => {
  await pooler.reload(settings('Asia/Kolkata'))
  expect(await shown()).toContain('Asia/Kolkata')
})
