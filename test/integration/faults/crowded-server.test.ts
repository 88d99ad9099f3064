import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene } from '../../support/fault-scene.ts'

/** PostgreSQL has no connection left for the pooler because others have taken them. */

const MAX_CONNECTIONS = 6

const scene = faultScene({
  poolSize: 10,
  postgres: { max_connections: String(MAX_CONNECTIONS), superuser_reserved_connections: '0' },
})

const crowd: Client[] = []

/** Takes connections past the pooler until there is none left; returns how many there were. */
async function crowdIn(): Promise<number> {
  for (let taken = 0; ; taken += 1) {
    const client = new Client({ connectionString: scene.postgres.url })
    try {
      await client.connect()
    } catch (error) {
      expect((error as { code?: string }).code).toBe('53300')
      return taken
    }
    crowd.push(client)
  }
}

async function crowdOut(): Promise<void> {
  await Promise.all(crowd.splice(0).map((client) => client.end()))
}

beforeEach(async () => {
  await eventually(
    'the sessions of the last test to be gone',
    () => scene.backends(),
    (found) => found.length === 0,
  )
})

afterEach(crowdOut)

describe('a PostgreSQL that is out of connections', () => {
  test('makes clients wait for the servers that the pool has', async () => {
    const { client } = await scene.inTransaction()
    const others = await Promise.all([scene.connect(), scene.connect()])
    expect(await crowdIn()).toBe(MAX_CONNECTIONS - 1)
    for (const other of others) await scene.waiting(other, 'SELECT 1')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
    for (const other of others) await other.expect('TDCZ')
    expect(scene.pooler.stats.pools).toMatchObject([{ servers: 1, waiting: 0 }])
  })

  test('makes logged-in clients of a pool without servers wait until there is room', async () => {
    const client = await scene.connect()
    const pid = await client.value('SELECT pg_backend_pid()')
    await scene.postgres.query(`SELECT pg_terminate_backend(${pid})`)
    await scene.serversLeft(0)
    await crowdIn()
    await scene.waiting(client, 'SELECT 1')
    await crowdOut()
    await client.expect('TDCZ')
  })

  test('is quoted to new clients of a pool that never had a server', async () => {
    await crowdIn()
    await expect(scene.connect()).rejects.toThrow('login refused: E(53300 sorry, too many clients already)')
    await crowdOut()
    const client = await eventually(
      'the next attempt of the pooler',
      () => scene.connect().catch(() => undefined),
      (found) => found !== undefined,
    )
    expect(letters((await client?.query('SELECT 1')) ?? [])).toBe('TDCZ')
  })
})
