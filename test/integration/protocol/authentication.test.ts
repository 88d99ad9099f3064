import { createHash } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { isMessage, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { sharedPostgres, startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Passwords on both sides: of clients at the pooler, and of the pooler at PostgreSQL. */

const USER = 'postgres'
/** What clients say to the pooler; the pooler says something else to PostgreSQL. */
const CLIENT_PASSWORD = 'of the client'

const running: TestPooler[] = []

afterEach(async () => {
  for (const pooler of running.splice(0)) await pooler.stop()
})

async function pooler(
  authType: 'trust' | 'plain' | 'md5' | 'scram-sha-256',
  secret: string,
): Promise<TestPooler> {
  const { host, port, user, password } = sharedPostgres()
  const started = await startPooler({
    server: { host, port, user },
    pooler: { auth_type: authType },
    databases: { '*': { host, port, user, password } },
    users: { [USER]: { password: secret } },
  })
  running.push(started)
  return started
}

const md5Secret = `md5${createHash('md5')
  .update(CLIENT_PASSWORD + USER)
  .digest('hex')}`

/** AuthenticationCleartextPassword, AuthenticationMD5Password, AuthenticationSASL. */
const METHODS = { plain: 3, md5: 5, 'scram-sha-256': 10 } as const

describe('a client', () => {
  const cases = [
    ['plain', 'a plain secret', CLIENT_PASSWORD, 3],
    ['plain', 'an md5 secret', md5Secret, 3],
    ['md5', 'a plain secret', CLIENT_PASSWORD, 5],
    ['md5', 'an md5 secret', md5Secret, 5],
    ['scram-sha-256', 'a plain secret', CLIENT_PASSWORD, 10],
  ] as const

  for (const [authType, kind, secret, method] of cases) {
    test(`logs in with ${authType} against ${kind}, and not with another password`, async () => {
      const { host, port } = await pooler(authType, secret)
      const options = { host, port, user: USER, database: 'postgres' }
      const client = await RawClient.connect({ ...options, password: CLIENT_PASSWORD })
      expect(ofType(client.greeting, 'R')[0]?.method).toBe(method)
      expect(rows(await client.query('SELECT 1'))).toEqual([['1']])
      client.end()
      for (const password of ['of the client ', '', CLIENT_PASSWORD.toUpperCase()]) {
        await expect(RawClient.connect({ ...options, password })).rejects.toThrow('28P01')
      }
    })
  }

  test('that nobody knows is refused like one with a wrong password', async () => {
    for (const authType of Object.keys(METHODS) as (keyof typeof METHODS)[]) {
      const { host, port } = await pooler(authType, CLIENT_PASSWORD)
      const client = await RawClient.open({ host, port })
      client.send(f.startup({ user: 'nobody', database: 'postgres' }))
      const refusal = await client.finishLogin('nobody', CLIENT_PASSWORD)
      expect(refusal?.code, authType).toBe('28P01')
      expect(refusal?.text, authType).toContain('"nobody"')
      await client.closed()
      client.destroy()
    }
  })

  // The password message is bounded before anything is allocated, and everything but a password is refused.
  test('that sends something else than a password is closed', async () => {
    const { host, port } = await pooler('scram-sha-256', CLIENT_PASSWORD)
    for (const answer of [
      f.query('SELECT 1'),
      f.password('x'.repeat(70_000)),
      f.saslInitialResponse('SCRAM-SHA-512', 'n,,n=,r=abc'),
      f.saslInitialResponse('SCRAM-SHA-256', 'nonsense'),
      f.saslInitialResponse('SCRAM-SHA-256', ''),
      f.message('p'.charCodeAt(0), (body) => body.cstring('SCRAM-SHA-256').int32(0x7fffffff).string('n,,')),
      f.message('p'.charCodeAt(0)),
    ]) {
      const client = await RawClient.open({ host, port })
      client.send(f.startup({ user: USER, database: 'postgres' }))
      await client.receive('R')
      client.send(answer)
      const rest = await client.receiveRest()
      expect(rest.length).toBeLessThanOrEqual(1)
      if (isMessage(rest[0], 'E')) expect(['08P01', '28P01', '28000']).toContain(rest[0].code)
      client.destroy()
    }
  })
})

describe('the pooler', () => {
  for (const auth of ['trust', 'password', 'md5', 'scram-sha-256'] as const) {
    test(`logs in to a server that wants ${auth}`, async () => {
      const cluster = await startPostgres({ auth })
      try {
        const { host, port, user, password } = cluster
        const started = await startPooler({ server: { host, port, user, password } })
        running.push(started)
        const client = await RawClient.connect({
          host: started.host,
          port: started.port,
          user,
          database: 'postgres',
        })
        expect(rows(await client.query('SELECT 1'))).toEqual([['1']])
        client.end()
      } finally {
        await cluster.stop()
      }
    })
  }

  test('passes on the server’s words when its password is wrong there', async () => {
    const { host, port, user } = sharedPostgres()
    const started = await startPooler({ server: { host, port, user, password: 'wrong' } })
    running.push(started)
    const login = RawClient.connect({ host: started.host, port: started.port, user, database: 'postgres' })
    await expect(login).rejects.toThrow('28P01')
  })

  test('passes on the server’s words when the database does not exist there', async () => {
    const { host, port, user, password } = sharedPostgres()
    const started = await startPooler({ server: { host, port, user, password } })
    running.push(started)
    const login = RawClient.connect({
      host: started.host,
      port: started.port,
      user,
      database: 'no such place',
    })
    await expect(login).rejects.toThrow('3D000 database "no such place" does not exist')
  })
})
