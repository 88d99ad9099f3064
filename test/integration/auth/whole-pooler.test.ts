import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { rows } from '../../support/backend-message.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Clients whose secrets only PostgreSQL knows, through the whole pooler. */

const AUTH_USER = 'asker'
const AUTH_PASSWORD = 'of the asker'

let postgres: TestPostgres
const running: TestPooler[] = []

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.query(`
    CREATE ROLE ${AUTH_USER} LOGIN SUPERUSER PASSWORD '${AUTH_PASSWORD}';
    CREATE ROLE alice LOGIN PASSWORD 'pencil';
    CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
    CREATE TABLE asked (name text);
  `)
})
afterEach(async () => {
  for (const pooler of running.splice(0)) await pooler.stop()
})
afterAll(() => postgres.stop())

async function pooler(settings: ConfigInput['pooler'] = {}): Promise<TestPooler> {
  const { host, port } = postgres
  const started = await startPooler({
    server: { host, port, user: AUTH_USER, password: AUTH_PASSWORD },
    pooler: { auth_type: 'scram-sha-256', auth_user: AUTH_USER, auth_dbname: 'postgres', ...settings },
  })
  running.push(started)
  return started
}

async function logIn({ host, port }: TestPooler, user: string, password: string): Promise<string> {
  try {
    const client = await RawClient.connect({ host, port, user, database: 'postgres', password })
    const name = rows(await client.query('SELECT session_user'))[0]?.[0]
    client.end()
    return `is ${name}`
  } catch (error) {
    return String(error)
  }
}

describe('a client that only PostgreSQL knows', () => {
  test('logs in with the same keys to the pooler and to PostgreSQL', async () => {
    const started = await pooler()
    expect(await logIn(started, 'alice', 'pencil')).toBe('is alice')
    expect(await logIn(started, 'alice', 'pencils')).toContain('28P01')
  })

  test('is refused in the same words whether unknown, expired or wrong', async () => {
    const started = await pooler()
    for (const user of ['nobody', 'expired']) {
      const refusal = `28P01 password authentication failed for user "${user}"`
      expect(await logIn(started, user, 'pencil')).toContain(refusal)
    }
  })

  test('gets in with a changed password at its first attempt, and no more with the old one', async () => {
    await postgres.query("CREATE ROLE changing LOGIN PASSWORD 'old'")
    const started = await pooler({ auth_query_recheck: 0 })
    expect(await logIn(started, 'changing', 'old')).toBe('is changing')
    await postgres.query("ALTER ROLE changing PASSWORD 'new'")
    expect(await logIn(started, 'changing', 'new')).toBe('is changing')
    expect(await logIn(started, 'changing', 'old')).toContain('28P01')
  })

  test('gets in with a changed password after a failed attempt where answers are rechecked seldom', async () => {
    await postgres.query("CREATE ROLE seldom LOGIN PASSWORD 'old'")
    const started = await pooler({ auth_query_recheck: '60s' })
    expect(await logIn(started, 'seldom', 'old')).toBe('is seldom')
    await postgres.query("ALTER ROLE seldom PASSWORD 'new'")
    expect(await logIn(started, 'seldom', 'new')).toContain('28P01')
    // The refresh may have to wait until the last query is a second old; attempts meanwhile fail.
    let attempt = ''
    const deadline = Date.now() + 10_000
    while (attempt !== 'is seldom' && Date.now() < deadline) attempt = await logIn(started, 'seldom', 'new')
    expect(attempt).toBe('is seldom')
  })

  test('gets in by the last answer while auth_query cannot be answered', async () => {
    await postgres.query(
      "CREATE TABLE secrets AS SELECT 'alice'::name AS name, rolpassword FROM pg_authid WHERE rolname = 'alice'",
    )
    const started = await pooler({
      auth_query: 'SELECT name, rolpassword FROM public.secrets WHERE name = $1',
      auth_query_recheck: 0,
    })
    expect(await logIn(started, 'alice', 'pencil')).toBe('is alice')
    await postgres.query('DROP TABLE secrets')
    expect(await logIn(started, 'alice', 'pencil')).toBe('is alice')
    expect(await logIn(started, 'alice', 'pen')).toContain('28P01')
    expect(await logIn(started, 'changing', 'new')).toContain('57P03')
  })

  test('costs one query, however often it logs in at once', async () => {
    const query = `INSERT INTO public.asked VALUES ($1)
      RETURNING name, (SELECT rolpassword FROM pg_authid WHERE rolname = $1)`
    const started = await pooler({ auth_query: query })
    const logins = await Promise.all(Array.from({ length: 50 }, () => logIn(started, 'alice', 'pencil')))
    expect(new Set(logins)).toEqual(new Set(['is alice']))
    expect(await postgres.query('SELECT name FROM asked')).toEqual([{ name: 'alice' }])
  })

  test('is not told why users cannot be looked up', async () => {
    const started = await pooler({ auth_query: 'SELECT no_such_column, $1' })
    expect(await logIn(started, 'alice', 'pencil')).toMatch(
      /57P03 the pooler cannot look up users at the moment/,
    )
  })
})
