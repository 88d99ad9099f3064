import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import { CertificateAuthority, hasOpenssl } from '../../support/certificates.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** Who gets in and what the others are told, through the whole pooler. */

let folder: string
let pooler: TestPooler | undefined

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pooler-policy-'))
})
afterEach(async () => {
  await pooler?.stop()
  pooler = undefined
})
afterAll(() => rm(folder, { recursive: true }))

const USERS = { alice: { password: 'pencil' }, bob: { password: 'eraser' } }

type Settings = NonNullable<ConfigInput['pooler']>

function launch(settings: Settings, users: NonNullable<ConfigInput['users']> = USERS): Promise<TestPooler> {
  const server = sharedPostgres()
  const { host, port, user, password, database } = server
  const app = { host, port, user, password, dbname: database }
  return startPooler({
    server,
    pooler: settings,
    databases: { '*': app, app },
    users,
  })
}

/** Stops with the test. */
async function start(settings: Settings, users?: ConfigInput['users']): Promise<TestPooler> {
  pooler = await launch(settings, users)
  return pooler
}

async function startWithRules(rules: string, settings: Settings = {}): Promise<TestPooler> {
  const path = join(folder, 'pg_hba.conf')
  await writeFile(path, rules)
  return start({ auth_type: 'hba', auth_hba_file: path, auth_failure_delay: 0, ...settings })
}

async function logIn({ host, port }: TestPooler, user: string, database: string, password = 'pencil') {
  try {
    const client = await RawClient.connect({ host, port, user, database, password })
    client.end()
    return 'is in'
  } catch (error) {
    return (error as Error).message
  }
}

describe('pg_hba.conf', () => {
  test('decides by database, user and encryption; the first line that matches wins', async () => {
    const started = await startWithRules(`
      hostssl   secret all             all           trust
      host      app    alice           127.0.0.1/32  scram-sha-256
      host      open   all             samehost      trust
      host      app    all             all           reject
    `)
    expect(await logIn(started, 'alice', 'app')).toBe('is in')
    expect(await logIn(started, 'alice', 'app', 'pen')).toContain('28P01')
    expect(await logIn(started, 'bob', 'open')).toBe('is in')
    expect(await logIn(started, 'bob', 'app')).toMatch(/28000 pg_hba.conf rejects connection for host/)
    expect(await logIn(started, 'alice', 'secret')).toMatch(
      /28000 no pg_hba.conf entry for host "127.0.0.1", user "alice", database "secret", no encryption/,
    )
  })

  test('with a bad line stops the start, and says which', async () => {
    await expect(startWithRules('host all all all trust\nhost all all nowhere/99 md5\n')).rejects.toThrow(
      /pg_hba.conf.*2/,
    )
  })
})

describe('a refusal', () => {
  test.each(['plain', 'md5', 'scram-sha-256'] as const)(
    'by %s is the same for unknown users, databases and wrong passwords',
    async (authType) => {
      const started = await start({ auth_type: authType, auth_failure_delay: 0 })
      const transcripts = await Promise.all(
        [
          ['alice', 'app'],
          ['alice', 'pooler'],
          ['mallory', 'app'],
          ['mallory', 'pooler'],
        ].map(async ([user = '', database = '']) => {
          const client = await RawClient.open(started)
          client.send(f.startup({ user, database }))
          await client.finishLogin(user, 'wrong')
          await client.receiveRest()
          const words = client.stream.history.join(' ').replaceAll(user, 'USER')
          // Salts and nonces differ, also from one login to the next.
          return words.replaceAll(/R\([^E]*\)/g, 'R')
        }),
      )
      expect(new Set(transcripts).size, transcripts.join('\n')).toBe(1)
      expect(transcripts[0]).toContain('28P01 password authentication failed for user "USER"')
    },
  )

  test('names the unknown database to whoever has the password', async () => {
    const { host, port } = sharedPostgres()
    pooler = await startPooler({
      server: { host, port },
      pooler: { auth_type: 'scram-sha-256' },
      databases: { '*': undefined, app: { host, port } },
      users: USERS,
    })
    expect(await logIn(pooler, 'alice', 'other')).toContain('3D000 database "other" does not exist')
    expect(await logIn(pooler, 'alice', 'other', 'pen')).toContain('28P01')
  })

  test('from the admin console is told to whoever has the password', async () => {
    const started = await start({ auth_type: 'scram-sha-256' })
    expect(await logIn(started, 'alice', 'pooler')).toContain('42501 not allowed')
    expect(await logIn(started, 'alice', 'pooler', 'pen')).toContain('28P01')
  })
})

describe('auth_type', () => {
  test('any takes every name, and all of them share one pool', async () => {
    const started = await start({ auth_type: 'any' })
    for (const user of ['alice', 'mallory', 'trent']) expect(await logIn(started, user, 'app')).toBe('is in')
    expect(started.stats.pools.map(({ user }) => user)).toEqual([sharedPostgres().user])
  })

  test('trust takes users without a password, and none that are not listed', async () => {
    const started = await start({ auth_type: 'trust' }, { ...USERS, carol: {} })
    expect(await logIn(started, 'carol', 'app')).toBe('is in')
    expect(await logIn(started, 'mallory', 'app')).toContain('28000 role "mallory" is not known')
  })

  test.each([
    [{ auth_type: 'cert' }, /auth_type cert needs client_tls_ca_file/],
    [{ auth_type: 'hba' }, /auth_type hba needs auth_hba_file/],
    [{ auth_type: 'md5', auth_hba_file: '/etc/pg_hba.conf' }, /auth_hba_file has no effect/],
  ] as const)('%j is refused at the start', async (settings, reason) => {
    await expect(start(settings)).rejects.toThrow(reason)
  })
})

describe('guessers', () => {
  test('wait for their answer, and take no place from honest clients', async () => {
    const delayMs = 1500
    const started = await start({
      auth_type: 'plain',
      auth_failure_delay: delayMs / 1000,
      max_client_conn: 1,
    })
    const guesser = await RawClient.open(started)
    guesser.send(f.startup({ user: 'alice', database: 'app' }))
    await guesser.receive('R')
    const startedMs = performance.now()
    guesser.send(f.password('pen'))
    await eventually(
      'a place',
      () => logIn(started, 'alice', 'app'),
      (answer) => answer === 'is in',
    )
    expect(performance.now() - startedMs).toBeLessThan(delayMs)
    expect(await guesser.receive('E')).toMatchObject({ code: '28P01' })
    expect(performance.now() - startedMs).toBeGreaterThan(delayMs - 50)
    guesser.destroy()
  })

  test.each(['plain', 'md5', 'scram-sha-256'] as const)(
    'by %s who hang up early learn no more than max_failed_logins_per_address passwords at a time',
    async (authType) => {
      const started = await start({
        auth_type: authType,
        auth_failure_delay: '60s',
        max_failed_logins_per_address: 3,
      })
      const guessers = await Promise.all([1, 2, 3].map(() => RawClient.open(started)))
      for (const guesser of guessers) {
        guesser.send(f.startup({ user: 'alice', database: 'app' }))
        guesser.finishLogin('alice', 'guess').catch(() => {})
      }
      const refused = /53300 too many wrong passwords came from your address/
      await eventually(
        'a refusal',
        () => logIn(started, 'alice', 'app'),
        (answer) => refused.test(answer),
      )
      for (const guesser of guessers) guesser.destroy()
      await eventually(
        'their end',
        () => started.stats.clients,
        (clients) => clients === 0,
      )
      expect(await logIn(started, 'alice', 'app')).toMatch(refused)
      expect(await logIn(started, 'bob', 'app', 'guess')).toMatch(refused)
    },
  )

  test('may have so many unfinished logins of one address', async () => {
    const started = await start({ auth_type: 'scram-sha-256', max_pending_logins_per_address: 2 })
    const idle = [await RawClient.open(started), await RawClient.open(started)]
    await eventually(
      'both',
      () => started.stats.clients,
      (clients) => clients === 2,
    )
    expect(await logIn(started, 'alice', 'app')).toContain('53300 too many logins from your address')
    idle[0]?.destroy()
    await eventually(
      'one less',
      () => started.stats.clients,
      (clients) => clients === 1,
    )
    expect(await logIn(started, 'alice', 'app')).toBe('is in')
    idle[1]?.destroy()
  })
})

describe.runIf(hasOpenssl())('client_login_timeout ends', () => {
  const password = f.startup({ user: 'alice', database: 'app' })
  const half = password.subarray(0, 6)
  const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])
  let started: TestPooler

  beforeAll(async () => {
    const authority = await CertificateAuthority.create(join(folder, 'authority'))
    const own = await authority.issue('pooler')
    started = await launch({
      auth_type: 'scram-sha-256',
      client_login_timeout: 1,
      client_tls_sslmode: 'prefer',
      client_tls_key_file: own.key,
      client_tls_cert_file: own.certificate,
    })
  })
  afterAll(() => started.stop())

  // All of them wait for the same second.
  test.concurrent.each([
    ['a connection that says nothing', []],
    ['half a startup packet', [half]],
    ['TLS that is asked for and not begun', [f.sslRequest()]],
    ['half a handshake', [f.sslRequest(), hello]],
    ['half a handshake of direct TLS', [hello]],
    ['a password that does not come', [password]],
  ])('%s', async (_what, pieces) => {
    const client = await RawClient.open(started)
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) expect(await client.receiveByte()).toBe('S')
      client.send(piece)
    }
    await client.closed()
    await eventually(
      'the end',
      () => started.stats.clients,
      (clients) => clients === 0,
    )
    client.destroy()
  })
})
