import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Weaknesses that other poolers had at login, each by the number it is known by, through the whole pooler. */

const AUTH_USER = 'asker'
const AUTH_PASSWORD = 'of the asker'
const LONG_PASSWORD = 'x'.repeat(60_000)

let postgres: TestPostgres
let pooler: TestPooler | undefined

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.query(`
    CREATE ROLE ${AUTH_USER} LOGIN SUPERUSER PASSWORD '${AUTH_PASSWORD}';
    CREATE ROLE alice LOGIN PASSWORD 'pencil';
    CREATE ROLE owner LOGIN PASSWORD 'of the owner';
    CREATE ROLE long LOGIN PASSWORD '${LONG_PASSWORD}';
    CREATE TABLE seen (path text, name text);
  `)
})
afterEach(async () => {
  await pooler?.stop()
  pooler = undefined
})
afterAll(() => postgres.stop())

async function start(input: ConfigInput = {}): Promise<TestPooler> {
  const { host, port } = postgres
  pooler = await startPooler({
    server: { host, port, user: AUTH_USER, password: AUTH_PASSWORD },
    ...input,
    pooler: {
      auth_type: 'scram-sha-256',
      auth_user: AUTH_USER,
      auth_dbname: 'postgres',
      auth_query_recheck: 0,
      ...input.pooler,
    },
  })
  return pooler
}

interface Login {
  user: string
  password: string
  database?: string
  parameters?: Record<string, string>
}

async function logIn(to: TestPooler, { user, password, database = 'postgres', parameters = {} }: Login) {
  try {
    const { host, port } = to
    const client = await RawClient.connect({ host, port, user, database, password, parameters })
    const name = rows(await client.query('SELECT session_user'))[0]?.[0]
    client.end()
    return `is ${name}`
  } catch (error) {
    return (error as Error).message
  }
}

test('CVE-2025-12819: no startup parameter of a client reaches the connection of auth_query', async () => {
  const to = await start({
    pooler: {
      auth_query: `INSERT INTO public.seen VALUES (current_setting('search_path'), current_setting('application_name'))
        RETURNING $1, (SELECT rolpassword FROM pg_authid WHERE rolname = $1)`,
    },
  })
  const parameters = {
    search_path: 'evil',
    application_name: 'evil',
    options: '-c search_path=worse -c role=postgres',
  }
  await logIn(to, { user: 'alice', password: 'pencil', parameters })
  expect(await postgres.query('SELECT DISTINCT path, name FROM seen')).toEqual([
    { path: 'pg_catalog, pg_temp', name: '' },
  ])
})

test('CVE-2015-6817: an unknown user is nobody, and not the auth_user', async () => {
  const to = await start()
  for (const password of ['', AUTH_PASSWORD, 'guess']) {
    expect(await logIn(to, { user: 'nobody', password })).toMatch(/28P01|empty password/)
  }
})

test.each([63, 64, 65, 4096])('CVE-2012-4575: names of %i bytes are names that nobody has', async (bytes) => {
  const to = await start()
  const name = 'n'.repeat(bytes)
  expect(await logIn(to, { user: name, password: 'guess' })).toContain('28P01')
  expect(await logIn(to, { user: 'alice', password: 'guess', database: name })).toContain('28P01')
  expect(await logIn(to, { user: 'alice', password: 'pencil', database: name })).toContain('3D000')
  expect(await logIn(to, { user: 'alice', password: 'pencil' })).toBe('is alice')
})

describe('PgBouncer #1215: a long password', () => {
  test.each([
    ['works for the client, and for the pooler at PostgreSQL', LONG_PASSWORD, 'is long'],
    ['is wrong in its last byte', `${LONG_PASSWORD.slice(0, -1)}y`, '28P01'],
    ['is refused when it is longer than a message may be', 'x'.repeat(70_000), '08P01'],
  ])('%s', async (_what, password, expected) => {
    const to = await start({ pooler: { auth_type: 'plain' }, users: { long: { password: LONG_PASSWORD } } })
    expect(await logIn(to, { user: 'long', password })).toContain(expected)
    expect(await logIn(to, { user: 'alice', password: 'pencil' })).toBe('is alice')
  })
})

test('PgBouncer #1459: a newer protocol is negotiated once, also where auth_query is asked first', async () => {
  const to = await start()
  const client = await RawClient.open(to)
  client.send(f.startup({ user: 'alice', database: 'postgres', '_pq_.unknown': '1' }, (3 << 16) | 9999))
  await client.finishLogin('alice', 'pencil')
  expect(client.stream.history.filter((message) => /^\W*v/.test(message))).toHaveLength(1)
  client.end()
})

describe('PgBouncer #1461: a forced user', () => {
  test('keeps its own secret, whatever its clients prove', async () => {
    const { host, port } = postgres
    const forced = { host, port, dbname: 'postgres', user: 'owner', password: 'of the owner' }
    const to = await start({ databases: { forced } })
    const login = { user: 'alice', password: 'pencil' }
    for (let round = 0; round < 2; round++) {
      expect(await logIn(to, { ...login, database: 'forced' })).toBe('is owner')
      expect(await logIn(to, login)).toBe('is alice')
      await postgres.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'owner'",
      )
    }
    expect(await logIn(to, { user: 'owner', password: 'pencil' })).toContain('28P01')
  })

  test('without a secret on file does not log in with the key of its client', async () => {
    const { host, port } = postgres
    const to = await start({ databases: { forced: { host, port, dbname: 'postgres', user: 'owner' } } })
    expect(await logIn(to, { user: 'alice', password: 'pencil', database: 'forced' })).toMatch(
      /28000 .*no client has logged in with it yet/,
    )
  })
})

test('PgBouncer #1418: a verifier made up for a plain password is none to log in to PostgreSQL with', async () => {
  const to = await start({ users: { alice: { password: 'pencil' } } })
  for (let round = 0; round < 3; round++) {
    expect(await logIn(to, { user: 'alice', password: 'pencil' })).toBe('is alice')
    await postgres.query(
      "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'alice'",
    )
  }
})
