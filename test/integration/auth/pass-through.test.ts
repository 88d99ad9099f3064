import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ScramClient } from '../../../src/auth/scram-client.ts'
import { ScramServer } from '../../../src/auth/scram-server.ts'
import { PlainSecret, parseSecret, type UserSecret } from '../../../src/auth/user-secret.ts'
import { PoolerError } from '../../../src/errors.ts'
import { createTransport } from '../../../src/net/create-transport.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import { openServer } from '../../../src/server/server-login.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'

/** Logins to a real PostgreSQL with nothing but its own SCRAM verifier and what a client proved. */

let postgres: TestPostgres

beforeAll(async () => {
  postgres = await startPostgres()
  await postgres.query("CREATE ROLE alice LOGIN PASSWORD 'pencil'; CREATE ROLE bob LOGIN PASSWORD 'pencil'")
})
afterAll(() => postgres.stop())

async function storedSecret(user: string): Promise<UserSecret> {
  const [row] = await postgres.query(`SELECT rolpassword FROM pg_authid WHERE rolname = '${user}'`)
  return parseSecret(String(row?.rolpassword))
}

/** A client logs in to the pooler, against the stored secret. */
async function clientLogIn(secret: UserSecret, password: string): Promise<boolean> {
  if (secret.kind !== 'scram') throw new Error('not a SCRAM secret')
  const server = new ScramServer(await secret.scramVerifier())
  const client = new ScramClient(new PlainSecret(password))
  const serverFirst = server.firstMessage(Buffer.from(client.firstMessage()))
  server.finalMessage(Buffer.from(await client.finalMessage(Buffer.from(serverFirst))))
  if (server.clientKey !== undefined) secret.learnClientKey(server.clientKey)
  return server.clientKey !== undefined
}

/** The pooler logs in to PostgreSQL: "ok", or the refusal. */
async function serverLogIn(user: string, secret: UserSecret): Promise<string> {
  const { host, port } = postgres
  const queue = new FlushQueue()
  const target = {
    endpoint: { host, port },
    dbname: 'postgres',
    user,
    secret,
    connectTimeoutMs: 5000,
    maxStatements: 0,
  }
  try {
    const signal = new AbortController().signal
    const server = await openServer(target, createTransport(queue), queue, new StatementRegistry(), signal)
    server.handler = { ...server.handler, onServerClosed: () => {} }
    server.close(new PoolerError('57P01', 'end of the test'))
    return 'ok'
  } catch (error) {
    return error instanceof PoolerError ? `${error.sqlState} ${error.message}` : String(error)
  }
}

describe('with the verifier that PostgreSQL stores', () => {
  test('the pooler logs in once a client has proved its password', async () => {
    const secret = await storedSecret('alice')
    expect(await serverLogIn('alice', secret)).toMatch(/^28000 .*no client has logged in with it yet/)
    expect(await clientLogIn(secret, 'pencils')).toBe(false)
    expect(await serverLogIn('alice', secret)).toMatch(/^28000 /)
    expect(await clientLogIn(secret, 'pencil')).toBe(true)
    expect(await serverLogIn('alice', secret)).toBe('ok')
    expect(await serverLogIn('alice', secret)).toBe('ok')
  })

  test('the key of one user opens nothing for another with the same password', async () => {
    const secret = await storedSecret('alice')
    await clientLogIn(secret, 'pencil')
    expect(await serverLogIn('bob', secret)).toMatch(/^28000 .*stores another SCRAM secret/)
  })

  test('the pooler does not get in after the password was changed, even to the same one', async () => {
    const secret = await storedSecret('alice')
    await clientLogIn(secret, 'pencil')
    await postgres.query("ALTER ROLE alice PASSWORD 'pencil'")
    expect(await serverLogIn('alice', secret)).toMatch(/^28000 .*stores another SCRAM secret/)
    const renewed = await storedSecret('alice')
    await clientLogIn(renewed, 'pencil')
    expect(await serverLogIn('alice', renewed)).toBe('ok')
  })

  test('other iteration counts are no obstacle', async () => {
    await postgres.query("SET scram_iterations = 1; ALTER ROLE alice PASSWORD 'pencil'")
    const secret = await storedSecret('alice')
    await clientLogIn(secret, 'pencil')
    expect(await serverLogIn('alice', secret)).toBe('ok')
  })
})
