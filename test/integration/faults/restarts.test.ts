import { describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError, signal } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'

/** PostgreSQL goes down and comes back, in every way it can: what clients in and outside of transactions see. */

const scene = faultScene({ poolSize: 2 })

/** Ends the postmaster as the system does when memory is short; its children end by themselves. */
async function killPostmaster(): Promise<void> {
  const { postgres } = scene
  signal(postgres.pid, 'SIGKILL')
  await eventually(
    'the postmaster to be gone',
    () => postgres.pid,
    (pid) => pid === undefined,
  )
}

/** Its children still hold the shared memory for a moment. */
async function resumeAfterKill(): Promise<void> {
  await eventually(
    'PostgreSQL to start again',
    () =>
      scene.postgres.resume().then(
        () => 'started',
        (error: Error) => error.message,
      ),
    (outcome) => outcome === 'started',
  )
}

const WAYS: Readonly<
  Record<string, { down: () => Promise<void>; up: () => Promise<void>; words: RegExp; of: string }>
> = {
  'a fast restart': {
    down: () => scene.postgres.halt('fast'),
    up: () => scene.postgres.resume(),
    words: /^57P01$/,
    of: 'terminating connection due to administrator command',
  },
  'an immediate restart': {
    down: () => scene.postgres.halt('immediate'),
    up: () => scene.postgres.resume(),
    words: /^08006$/,
    of: 'server conn crashed?',
  },
  'a killed postmaster': {
    down: killPostmaster,
    up: resumeAfterKill,
    words: /^(57P01|08006)$/,
    of: '',
  },
}

describe.each(Object.entries(WAYS))('%s', (_way, { down, up, words, of }) => {
  test('costs each client in a transaction one error, and nobody else anything', async () => {
    const { client: inTransaction } = await scene.inTransaction()
    const { client: inQuery } = await scene.inTransaction()
    inQuery.send(f.query('SELECT pg_sleep(60)'))
    const outside = await scene.connect({ parameters: { application_name: 'outside' } })
    const waiting = await scene.connect()
    await scene.waiting(waiting, 'SELECT 1')
    await down()
    for (const client of [inTransaction, inQuery]) {
      const error = await onlyError(client)
      expect(error.code).toMatch(words)
      expect(error.text).toContain(of)
    }
    await up()
    await waiting.expect('TDCZ')
    expect(await outside.value('SHOW application_name')).toBe('outside')
    expect(letters(outside.received)).toBe('TDCZ')
  })

  test('is survived by statements and parameters of the clients', async () => {
    const client = await scene.connect({ parameters: { statement_timeout: '54321' } })
    await client.query("SET TimeZone = 'Asia/Tokyo'")
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    await client.roundTrip(f.run('s'), f.sync())
    await down()
    await scene.serversLeft(0)
    client.send(f.run('s'), f.sync())
    await up()
    await client.expect('2DCZ')
    expect(await client.value('SHOW TimeZone')).toBe('Asia/Tokyo')
    expect(await client.value('SHOW statement_timeout')).toBe('54321ms')
  })

  test('is waited for by all who ask meanwhile, and the pool fills again', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => scene.connect()))
    for (const client of clients) await client.query('SELECT 1')
    await down()
    await scene.serversLeft(0)
    for (const client of clients) client.send(f.query('SELECT 2 FROM pg_sleep(0.05)'))
    await eventually(
      'all of them to be in the queue',
      () => scene.pooler.stats.pools[0]?.waiting,
      (count) => count === clients.length,
    )
    await up()
    for (const client of clients) expect(letters(await client.receiveUntil('Z'))).toBe('TDCZ')
    expect(scene.pooler.stats.pools).toMatchObject([{ servers: 2, active: 0, waiting: 0 }])
  })
})

describe('a PostgreSQL that stays down', () => {
  test('lets new clients in that it would have let in, and serves them when it is back', async () => {
    const before = await scene.connect()
    await before.query('SELECT 1')
    await scene.postgres.halt()
    await scene.serversLeft(0)
    const during = await scene.connect()
    during.send(f.query('SELECT 1'))
    await scene.postgres.resume()
    await during.expect('TDCZ')
  })

  test('refuses clients of a pool that never had a server, with the reason', async () => {
    await scene.postgres.halt()
    try {
      await expect(scene.connect({ database: 'template1' })).rejects.toThrow(/E\((57P03|08006) /)
    } finally {
      await scene.postgres.resume()
    }
    const later = await eventually(
      'the next attempt of the pooler',
      () => scene.connect({ database: 'template1' }).catch(() => undefined),
      (client) => client !== undefined,
    )
    expect(letters((await later?.query('SELECT 1')) ?? [])).toBe('TDCZ')
  })
})

describe('a postmaster that is stopped', () => {
  // The kernel goes on accepting connections for it.
  test('delays those who need a new server, not those whose server is there', async () => {
    const { client } = await scene.inTransaction()
    const newcomer = await scene.connect()
    const { pid } = scene.postgres
    signal(pid, 'SIGSTOP')
    try {
      await scene.waiting(newcomer, 'SELECT 1')
      expect(letters(await client.query('SELECT 2'))).toBe('TDCZ')
    } finally {
      signal(pid, 'SIGCONT')
    }
    await newcomer.expect('TDCZ')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
  })
})

describe('what PostgreSQL reports of itself', () => {
  test('is told anew to the clients that log in after a restart', async () => {
    const options = { parameters: { DateStyle: 'german' } }
    const before = await scene.connect(options)
    await before.query('SELECT 1')
    expect(before.startParameters.get('TimeZone')).not.toBe('Asia/Tokyo')
    await scene.postgres.query("ALTER SYSTEM SET timezone = 'Asia/Tokyo'")
    await scene.postgres.query("ALTER SYSTEM SET default_transaction_read_only = 'on'")
    await scene.postgres.restart()
    await scene.serversLeft(0)
    try {
      // Whoever was logged in keeps what it was told; it brings the first server of the new time.
      expect(await before.value('SHOW TimeZone')).toBe(before.startParameters.get('TimeZone'))
      const after = await scene.connect(options)
      expect(after.startParameters.get('TimeZone')).toBe('Asia/Tokyo')
      expect(after.startParameters.get('default_transaction_read_only')).toBe('on')
      expect(after.startParameters.get('DateStyle')).toBe('German, DMY')
      expect(await after.value('SHOW TimeZone')).toBe('Asia/Tokyo')
      expect(await after.value('SHOW default_transaction_read_only')).toBe('on')
    } finally {
      await scene.postgres.query('ALTER SYSTEM RESET ALL')
      await scene.postgres.restart()
    }
  })
})
