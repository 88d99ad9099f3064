import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError } from '../../support/fault-scene.ts'

/** Logins around a restart of PostgreSQL: they wait for it, and hear what it reports of itself now. */

const scene = faultScene({ poolSize: 1 })

afterEach(async () => {
  await scene.postgres.query('ALTER SYSTEM RESET ALL')
  await scene.postgres.restart()
})

async function changeZone(): Promise<void> {
  await scene.postgres.query("ALTER SYSTEM SET timezone = 'Asia/Tokyo'")
}

describe('a login while PostgreSQL restarts', () => {
  // All clients were in transactions, so all are gone; the pool must not be forgotten with them.
  test('is not refused because the clients before were all lost', async () => {
    const { client } = await scene.inTransaction()
    await scene.postgres.halt()
    expect(await onlyError(client)).toMatchObject({ code: '57P01' })
    await eventually(
      'the lost client to be forgotten',
      () => scene.pooler.stats,
      ({ clients, pools }) => clients === 0 && pools.every(({ servers }) => servers === 0),
    )
    // A tick of the janitor, which nothing announces, decides whether the pool is still known.
    await pause(500)
    const login = scene.connect()
    // A refusal is reported by the await below.
    login.catch(() => {})
    await scene.postgres.resume()
    expect(letters(await (await login).query('SELECT 1'))).toBe('TDCZ')
  })
})

describe('a changed default', () => {
  test('is told to the first client after a restart, though the pool has no server yet', async () => {
    const before = await scene.connect()
    await before.query('SELECT 1')
    await changeZone()
    await scene.postgres.restart()
    await scene.serversLeft(0)
    const after = await scene.connect()
    expect(after.startParameters.get('TimeZone')).toBe('Asia/Tokyo')
    expect(await after.value('SHOW TimeZone')).toBe('Asia/Tokyo')
  })
})
