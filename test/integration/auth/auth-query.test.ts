import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AuthQueryCache } from '../../../src/auth/auth-query-cache.ts'
import { Credentials } from '../../../src/auth/credentials.ts'
import { PlainSecret } from '../../../src/auth/user-secret.ts'
import { type AuthQuerySource, authQuerySource } from '../../../src/config/auth-query-source.ts'
import { buildConfig } from '../../../src/config/config.ts'
import { PoolerError } from '../../../src/errors.ts'
import { createLogger } from '../../../src/log.ts'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import { AuthQueries } from '../../../src/server/auth-queries.ts'
import { openServer } from '../../../src/server/server-login.ts'
import { eventually } from '../../support/eventually.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'

/** auth_query against a real PostgreSQL, over the pooler's own sockets. */

const AUTH_USER = 'asker'
const AUTH_PASSWORD = 'of the asker'

let postgres: TestPostgres
const running: AuthQueries[] = []

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.query(`
    CREATE ROLE ${AUTH_USER} LOGIN SUPERUSER PASSWORD '${AUTH_PASSWORD}';
    CREATE ROLE scram_user LOGIN PASSWORD 'pencil';
    CREATE ROLE expired LOGIN PASSWORD 'pencil' VALID UNTIL '2001-01-01';
    CREATE ROLE still_valid LOGIN PASSWORD 'pencil' VALID UNTIL '2101-01-01';
    CREATE ROLE no_login NOLOGIN PASSWORD 'pencil';
    CREATE ROLE no_password LOGIN;
    CREATE ROLE "Robert'); DROP ROLE scram_user; --" LOGIN PASSWORD 'pencil';
    CREATE ROLE "ünïcode ☃" LOGIN PASSWORD 'pencil';
    SET password_encryption = md5;
    CREATE ROLE md5_user LOGIN PASSWORD 'pencil';
    CREATE TABLE asked (name text);
  `)
})
afterEach(() => {
  for (const queries of running.splice(0)) queries.stop(new PoolerError('57P01', 'end of the test'))
})
afterAll(() => postgres.stop())

interface Settings {
  readonly query?: string
  readonly dbname?: string
  readonly port?: number
  readonly timeoutMs?: number
}

/** A source of secrets and who asks it, as the composition root wires them. */
function ask({ query, dbname = 'postgres', port = postgres.port, timeoutMs = 5000 }: Settings = {}) {
  const config = buildConfig({
    pooler: { auth_user: AUTH_USER, ...(query === undefined ? {} : { auth_query: query }) },
    databases: { app: { host: postgres.host, port, dbname } },
  })
  const queue = new FlushQueue()
  const transport = createTransport(queue)
  const registry = new StatementRegistry()
  const secret = new PlainSecret(AUTH_PASSWORD)
  const queries = new AuthQueries({
    open: ({ database, user }, signal) => {
      const { port, dbname } = database
      const target = {
        endpoint: { host: postgres.host, port },
        dbname,
        user,
        secret,
        connectTimeoutMs: 5000,
        maxStatements: 0,
      }
      return openServer(target, transport, queue, registry, signal)
    },
    timeoutMs,
    idleTimeoutMs: 60_000,
    log: createLogger({ level: 'silent' }).log,
  })
  running.push(queries)
  const source = authQuerySource(config, 'app') as AuthQuerySource
  const fetch = (user: string, _database?: string, stillWanted?: () => boolean) =>
    queries.fetch(source, user, stillWanted)
  const cache = new AuthQueryCache({ ttlMs: 60_000, recheckMs: 1000, sourceOf: () => source.key, fetch })
  return { queries, fetch, credentials: new Credentials(new Map(), new Map(), cache) }
}

function failure(login: Promise<unknown>): Promise<string> {
  return login.then(
    () => 'accepted',
    ({ sqlState, message }) => `${sqlState} ${message}`,
  )
}

describe('the default query', () => {
  test('finds SCRAM and md5 secrets', async () => {
    const { credentials } = ask()
    expect((await credentials.lookup('scram_user', 'app'))?.kind).toBe('scram')
    expect((await credentials.lookup('md5_user', 'app'))?.kind).toBe('md5')
    expect((await credentials.lookup('still_valid', 'app'))?.kind).toBe('scram')
  })

  test.each([
    ['who does not exist', 'nobody', undefined],
    ['who may not log in', 'no_login', undefined],
    ['whose VALID UNTIL is over', 'expired', null],
    ['without a password', 'no_password', null],
    ['with a name of 70 letters', 'x'.repeat(70), undefined],
    ['with an empty name', '', undefined],
  ])('lets nobody in %s', async (_what, user, secret) => {
    const { fetch, credentials } = ask()
    expect(await fetch(user)).toBe(secret)
    expect(await credentials.lookup(user, 'app')).toBeUndefined()
  })

  test('takes any name as a name', async () => {
    const { fetch } = ask()
    for (const user of ["Robert'); DROP ROLE scram_user; --", 'ünïcode ☃', 'scram_user']) {
      expect(await fetch(user), user).toMatch(/^SCRAM-SHA-256\$/)
    }
  })

  test('is asked once by fifty logins at once, over one connection', async () => {
    const { credentials, queries } = ask({
      query: 'INSERT INTO public.asked VALUES ($1) RETURNING name, md5(name)',
    })
    const secrets = await Promise.all(
      Array.from({ length: 50 }, () => credentials.lookup('scram_user', 'app')),
    )
    expect(new Set(secrets).size).toBe(1)
    expect(await postgres.query('SELECT name FROM asked')).toEqual([{ name: 'scram_user' }])
    expect(queries.size).toBe(1)
    const connections = await postgres.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = '${AUTH_USER}'`,
    )
    expect(connections).toEqual([{ n: 1 }])
  })

  test('brings a changed password in after a failed login', async () => {
    await postgres.query("CREATE ROLE changing LOGIN PASSWORD 'old'")
    const { credentials } = ask()
    const before = await credentials.lookup('changing', 'app')
    await postgres.query("ALTER ROLE changing PASSWORD 'new'")
    expect(credentials.lookup('changing', 'app')).toBe(before)
    const after = await credentials.refresh('changing', 'app')
    expect(after).not.toBe(before)
    expect(credentials.lookup('changing', 'app')).toBe(after)
  })
})

describe('what the operator set for the role or the database', () => {
  test('cannot change what the names in the query mean', async () => {
    await postgres.query('CREATE DATABASE hostile')
    await postgres.query(
      `CREATE SCHEMA evil;
       CREATE TABLE evil.pg_authid (rolname name, rolpassword text, rolvaliduntil timestamptz, rolcanlogin bool);
       INSERT INTO evil.pg_authid VALUES ('intruder', 'known', NULL, true), ('scram_user', 'known', NULL, true);
       CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''epoch''::timestamptz';
       ALTER DATABASE hostile SET search_path = evil, pg_catalog`,
      'hostile',
    )
    const { fetch } = ask({ dbname: 'hostile' })
    expect(await fetch('intruder')).toBeUndefined()
    expect(await fetch('scram_user')).toMatch(/^SCRAM-SHA-256\$/)
    expect(await fetch('expired')).toBeNull()
  })

  test('cannot change how names are read', async () => {
    await postgres.query('CREATE DATABASE latin')
    await postgres.query("ALTER DATABASE latin SET client_encoding = 'LATIN1'")
    expect(await ask({ dbname: 'latin' }).fetch('ünïcode ☃')).toMatch(/^SCRAM-SHA-256\$/)
  })
})

describe('a query of the operator', () => {
  test('may return a plain password', async () => {
    const { credentials } = ask({ query: "SELECT $1, 'plain'" })
    expect((await credentials.lookup('anybody', 'app'))?.kind).toBe('plain')
  })

  test.each([
    ['with one column', 'SELECT $1', 'F0000 auth_query is of no use: it returns 1 columns'],
    ['with three columns', "SELECT $1, 'a', 'b'", 'F0000 auth_query is of no use: it returns 3 columns'],
    [
      'with two rows',
      "SELECT $1, 'a' UNION ALL SELECT $1, 'b'",
      'F0000 auth_query is of no use: it returned more',
    ],
    [
      'with another name',
      "SELECT $1 || 'x', 'a'",
      'F0000 auth_query is of no use: its row is not of the user',
    ],
    [
      'with no name',
      "SELECT NULL, 'a' WHERE $1 <> ''",
      'F0000 auth_query is of no use: its row is not of the user',
    ],
    [
      'without rows at all',
      'DELETE FROM public.asked WHERE name = $1',
      'F0000 auth_query is of no use: it returns 0',
    ],
    [
      'with a giant secret',
      "SELECT $1, repeat('x', 70000)",
      'F0000 auth_query is of no use: it returned more than',
    ],
    ['with a syntax error', 'SELECT FROM WHERE $1', '42601 syntax error'],
    ['that fails', 'SELECT $1, (1 / (length($1) - length($1)))::text', '22012 division by zero'],
    ['of two parameters', 'SELECT $1, $2', '08P01 bind message supplies 1 parameters'],
    ['of two statements', "SELECT $1, 'a'; SELECT 1", '42601 cannot insert multiple commands'],
    [
      'that copies',
      'COPY pg_catalog.pg_authid TO STDOUT',
      'F0000 auth_query is of no use: it led to CopyOutResponse',
    ],
    [
      'that ends its own session',
      'SELECT $1, pg_terminate_backend(pg_backend_pid())::text',
      '57P01 terminating',
    ],
  ])('%s is an error, and the next user is asked for as ever', async (_what, query, message) => {
    const { fetch, credentials } = ask({ query })
    for (const user of ['scram_user', 'md5_user']) expect(await failure(fetch(user))).toContain(message)
    expect(await failure(Promise.resolve(credentials.lookup('scram_user', 'app')))).toBe(
      '57P03 the pooler cannot look up users at the moment',
    )
  })

  test('that is too slow is given up', async () => {
    const { fetch } = ask({ query: 'SELECT $1, pg_sleep(60)::text', timeoutMs: 200 })
    const startedMs = performance.now()
    const answers = await Promise.all(['scram_user', 'a', 'b', 'c', 'd'].map((user) => failure(fetch(user))))
    expect(new Set(answers)).toEqual(
      new Set(['57P03 auth_query was not answered in time (server_connect_timeout)']),
    )
    // Who waited behind the first is not asked for one after the other.
    expect(performance.now() - startedMs).toBeLessThan(800)
  })

  test('is not asked for those who have hung up', async () => {
    await postgres.query('TRUNCATE asked')
    const { fetch } = ask({ query: 'INSERT INTO public.asked VALUES ($1) RETURNING name, md5(name)' })
    const gone = Array.from({ length: 20 }, (_, n) =>
      fetch(`stranger ${n}`, 'app', () => false).catch(({ name }) => name),
    )
    expect(await fetch('scram_user')).toMatch(/^[0-9a-f]{32}$/)
    expect(new Set(await Promise.all(gone))).toEqual(new Set(['AbandonedQuestion']))
    expect(await postgres.query('SELECT name FROM asked')).toEqual([{ name: 'scram_user' }])
  })
})

describe('a server', () => {
  test('that was restarted is asked over a new connection', async () => {
    const { fetch, queries } = ask()
    expect(await fetch('scram_user')).toMatch(/^SCRAM/)
    await postgres.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '${AUTH_USER}'`,
    )
    await eventually(
      'the end of the connection',
      () => queries.size,
      (size) => size === 0,
    )
    expect(await fetch('scram_user')).toMatch(/^SCRAM/)
  })

  test('that cannot be reached fails all that wait at once', async () => {
    const { fetch } = ask({ port: 1 })
    const answers = await Promise.all(['a', 'b', 'c'].map((user) => failure(fetch(user))))
    for (const answer of answers)
      expect(answer).toMatch(/^57P03 the server cannot be reached \(ECONNREFUSED\)/)
  })

  test('without the database knows no users there', async () => {
    expect(await ask({ dbname: 'no such place' }).fetch('scram_user')).toBeUndefined()
  })

  test('is left in peace when nobody asked for server_idle_timeout', async () => {
    const { fetch, queries } = ask()
    await fetch('scram_user')
    queries.tick(Date.now() + 59_000)
    expect(queries.size).toBe(1)
    queries.tick(Date.now() + 61_000)
    expect(queries.size).toBe(0)
    expect(await fetch('scram_user')).toMatch(/^SCRAM/)
  })
})
