import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { buildConfig, type ConfigInput } from '../../../src/config/config.ts'
import { createLogger } from '../../../src/log.ts'
import { Pooler } from '../../../src/pooler.ts'
import { rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { RawClient } from '../../support/raw-client.ts'
import {
  emit,
  noWalSender,
  receiveWal,
  replicate,
  STREAMING_SETTINGS,
  streamDecoded,
} from '../../support/replication-stage.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** Who gets a connection for replication, when, and who has to go or to wait for it. */

let postgres: TestCluster
let pooler: TestPooler | undefined
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replication-limits-'))
  postgres = await startPostgres({ settings: STREAMING_SETTINGS })
})

afterAll(async () => {
  await postgres.stop()
  await rm(folder, { recursive: true, force: true })
})

afterEach(async () => {
  await pooler?.stop()
  await noWalSender(postgres)
})

async function start(
  settings: NonNullable<ConfigInput['pooler']>,
  databases: NonNullable<ConfigInput['databases']> = {},
) {
  pooler = await startPooler({ server: postgres, pooler: settings, databases })
  return pooler
}

const ordinary = (address: TestPooler, database = 'postgres'): Promise<RawClient> =>
  replicate(address, 'off', { database })

/** Everything that the pooler has of servers and waiters. */
function counts({ stats }: TestPooler): { servers: number; active: number; waiting: number } {
  const sum = { servers: 0, active: 0, waiting: 0 }
  for (const { servers, active, waiting } of stats.pools) {
    sum.servers += servers
    sum.active += active
    sum.waiting += waiting
  }
  return sum
}

describe('pool_size', () => {
  test('counts replication connections: an idle server is closed in favour of one', async () => {
    const place = await start({ default_pool_size: 1 })
    const client = await ordinary(place)
    const before = await client.value('SELECT pg_backend_pid()')
    const standby = await replicate(place, 'database')
    expect(counts(place)).toEqual({ servers: 1, active: 1, waiting: 0 })
    await eventually(
      'the idle server to be gone',
      () => postgres.query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${before}`),
      (found) => found.length === 0,
    )
    standby.end()
    await standby.closed()
    expect(await client.value('SELECT 1')).toBe('1')
    client.end()
  })

  test('makes a replication client wait for a busy server, and others for the replication client', async () => {
    const place = await start({ default_pool_size: 1 })
    const client = await ordinary(place)
    await client.query('BEGIN')
    const standby = replicate(place, 'database')
    await eventually(
      'the replication client to wait',
      () => counts(place),
      ({ waiting }) => waiting === 1,
    )
    await client.query('SELECT 1')
    expect(counts(place)).toEqual({ servers: 1, active: 1, waiting: 1 })
    await client.query('COMMIT')
    const served = await standby
    const reply = client.query('SELECT 2')
    await eventually(
      'the other client to wait',
      () => counts(place),
      ({ waiting }) => waiting === 1,
    )
    await streamDecoded(served, 'waited')
    await emit(postgres, 'streamed')
    await receiveWal(served, 'streamed')
    expect(counts(place)).toEqual({ servers: 1, active: 1, waiting: 1 })
    served.end()
    expect((await reply).map(({ type }) => type).join('')).toBe('TDCZ')
    client.end()
  })

  test('lets a replication client wait up to query_wait_timeout', async () => {
    const place = await start({ default_pool_size: 1, query_wait_timeout: '300ms' })
    const client = await ordinary(place)
    await client.query('BEGIN')
    await expect(replicate(place, 'database')).rejects.toThrow(/53300 query_wait_timeout/)
    await client.query('COMMIT')
    client.end()
  })

  test('is not exceeded while many of both kinds come and go', async () => {
    const size = 3
    const place = await start({ default_pool_size: size })
    let largest = 0
    const look = (): void => {
      largest = Math.max(largest, counts(place).servers)
    }
    const standbys = Array.from({ length: 12 }, async (_, index) => {
      const client = await replicate(place, index % 2 === 0 ? 'database' : 'true')
      look()
      await client.query('IDENTIFY_SYSTEM')
      look()
      client.end()
      await client.closed()
    })
    const clients = Array.from({ length: 12 }, async () => {
      const client = await ordinary(place)
      for (let turn = 0; turn < 10; turn += 1) {
        expect(await client.value('SELECT 1')).toBe('1')
        look()
      }
      client.end()
    })
    await Promise.all([...standbys, ...clients])
    expect(largest).toBe(size)
  })
})

test('SHOW CLIENTS tells the kind of replication', async () => {
  const place = await start({ admin_users: 'postgres' })
  const standbys = [await replicate(place, 'database'), await replicate(place, 'true')]
  const console = await replicate(place, 'off', { database: 'pgbouncer' })
  const shown = rows(await console.query('SHOW CLIENTS')).map((row) => row.slice(0, 5).join(' '))
  expect(shown).toContain('C postgres postgres logical active')
  expect(shown).toContain('C postgres postgres physical active')
  for (const client of [...standbys, console]) client.end()
})

describe('other limits', () => {
  test('max_db_connections counts them, over all users', async () => {
    const place = await start({ default_pool_size: 5, max_db_connections: 1, query_wait_timeout: '300ms' })
    const standby = await replicate(place, 'database')
    await expect(ordinary(place)).rejects.toThrow(/53300 query_wait_timeout/)
    standby.end()
    await standby.closed()
  })

  test('max_client_conn and max_db_client_connections count them', async () => {
    const place = await start({ max_db_client_connections: 1 })
    const standby = await replicate(place, 'database')
    await expect(replicate(place, 'database')).rejects.toThrow(/53300 .*max_db_client_connections/)
    standby.end()
    await standby.closed()
    await eventually(
      'a place to be free',
      () => place.stats.clients,
      (clients) => clients === 0,
    )
    ;(await replicate(place, 'database')).end()
  })

  test('timeouts of sessions do not apply', async () => {
    const place = await start({
      client_idle_timeout: '200ms',
      query_timeout: '200ms',
      transaction_timeout: '200ms',
      idle_transaction_timeout: '200ms',
    })
    const standby = await replicate(place, 'database')
    await streamDecoded(standby, 'idle')
    // Who comes later and is idle is gone; who came earlier and replicates is not.
    const client = await ordinary(place)
    expect((await client.receiveRest())[0]).toMatchObject({ code: '57P05' })
    await emit(postgres, 'still there')
    await receiveWal(standby, 'still there')
    standby.end()
  })
})

describe('databases', () => {
  test('physical replication needs one of the name that the client sends', async () => {
    const { host, port, user, password } = postgres
    const config = buildConfig({
      pooler: { auth_type: 'trust', listen_addr: '127.0.0.1', listen_port: 0 },
      databases: { replication: { host, port } },
      users: { [user]: { password } },
    })
    const place = new Pooler(config, createLogger({ level: 'silent' }).log)
    await place.start()
    const standby = await replicate(place.address, 'true', { database: 'replication' })
    expect(place.stats.pools).toMatchObject([{ database: 'replication', user: 'postgres', active: 1 }])
    standby.end()
    // Without a name it is the user's, as for all clients.
    for (const database of ['other', ''])
      await expect(replicate(place.address, 'true', { database })).rejects.toThrow(
        `3D000 database "${database || 'postgres'}" does not exist`,
      )
    await place.stop()
  })

  test('with a timezone of its own has it for replication clients, unless they ask for another', async () => {
    const { host, port } = postgres
    const place = await start({}, { app: { host, port, dbname: 'postgres', timezone: 'Asia/Tokyo' } })
    for (const [asked, held] of [
      [{}, 'Asia/Tokyo'],
      [{ TimeZone: 'UTC' }, 'UTC'],
    ] as const) {
      const client = await replicate(place, 'database', { database: 'app', parameters: asked })
      expect(await client.value('SHOW timezone')).toBe(held)
      client.end()
    }
  })

  test('a disabled one takes no replication clients', async () => {
    const place = await start({}, { app: { host: postgres.host, port: postgres.port, dbname: 'postgres' } })
    place.control.disable('app')
    await expect(replicate(place, 'database', { database: 'app' })).rejects.toThrow(/57P03 .* disabled/)
    place.control.enable('app')
    ;(await replicate(place, 'database', { database: 'app' })).end()
  })
})

describe('pg_hba.conf', () => {
  test('has the keyword "replication" for physical clients; logical ones are as others', async () => {
    const path = join(folder, 'pg_hba.conf')
    await writeFile(path, 'host replication postgres all trust\nhost app all all trust\n')
    const app = { host: postgres.host, port: postgres.port, dbname: 'postgres' }
    const place = await start({ auth_type: 'hba', auth_hba_file: path }, { app })
    for (const [mode, database] of [
      ['true', 'anything'],
      ['database', 'app'],
    ] as const) {
      const client = await replicate(place, mode, { database })
      client.end()
    }
    await expect(replicate(place, 'true', { user: 'other', database: 'app' })).rejects.toThrow(
      /28000 no pg_hba.conf entry for replication connection from host "127.0.0.1", user "other"/,
    )
    await expect(replicate(place, 'database', { database: 'replication' })).rejects.toThrow(
      /28000 no pg_hba.conf entry for host "127.0.0.1", user "postgres", database "replication"/,
    )
  })
})
