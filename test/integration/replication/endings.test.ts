import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { BackendType } from '../../../src/protocol/message-type.ts'
import { letters, ofType } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { keepalive, standbyStatus } from '../../support/replication-messages.ts'
import {
  emit,
  noWalSender,
  receiveWal,
  replicate,
  STREAMING_SETTINGS,
} from '../../support/replication-stage.ts'
import { ScriptedServer } from '../../support/scripted-server.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** How replication ends: by the client, by PostgreSQL, by the pooler; and what does not end it: whoever reads slowly. */

const MEGABYTE = 1024 * 1024
/** CopyBothResponse: text, no columns. */
const COPY_BOTH = f.message(BackendType.CopyBothResponse, (body) => body.byte(0).int16(0))

describe('a stream of PostgreSQL', () => {
  let postgres: TestCluster
  let pooler: TestPooler

  beforeAll(async () => {
    postgres = await startPostgres({ settings: STREAMING_SETTINGS })
  })

  afterAll(() => postgres.stop())

  beforeEach(async () => {
    pooler = await startPooler({ server: postgres, pooler: { default_pool_size: 2 } })
  })

  afterEach(async () => {
    await pooler.stop()
    await noWalSender(postgres)
    await postgres.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots')
  })

  /** Streams from a slot that stays when its client goes. */
  async function stream(slot: string): Promise<RawClient> {
    const client = await replicate(pooler, 'database')
    await client.query(`CREATE_REPLICATION_SLOT ${slot} LOGICAL test_decoding`)
    client.send(f.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0`))
    await client.receive('W')
    await emit(postgres, slot)
    await receiveWal(client, slot)
    return client
  }

  async function nothingIsLeft(): Promise<void> {
    await noWalSender(postgres)
    expect(await postgres.query('SELECT active FROM pg_replication_slots')).toEqual([{ active: false }])
    await eventually(
      'the pooler to have forgotten the client',
      () => pooler.stats,
      ({ clients, pools }) => clients === 0 && pools.every(({ servers, active }) => servers + active === 0),
    )
  }

  const leavings: [string, (client: RawClient) => void][] = [
    ['resets its connection', (client) => client.reset()],
    ['closes it without a word', (client) => client.destroy()],
    ['sends FIN and still reads', (client) => client.stream.end()],
    ['sends Terminate', (client) => client.send(f.terminate())],
    ['leaves inside a message', (client) => client.send(standbyStatus(1n).subarray(0, 12))],
  ]
  test.each(leavings)('ends when the client %s, and its slot is free', async (_how, go) => {
    const client = await stream('left')
    go(client)
    if (_how === 'leaves inside a message') client.reset()
    await nothingIsLeft()
    await client.closed()
    expect(ofType(client.received, 'E')).toEqual([])
    client.destroy()
  })

  test('ends when the client is gone that waited for its connection', async () => {
    const [one, two] = [await replicate(pooler, 'database'), await replicate(pooler, 'database')]
    const third = replicate(pooler, 'database').catch((error: unknown) => error)
    await eventually(
      'the third to wait',
      () => pooler.stats.pools[0]?.waiting,
      (waiting) => waiting === 1,
    )
    expect(await pooler.stop().then(() => third)).toMatchObject({
      message: expect.stringMatching(/57P01 pooler is shutting down/),
    })
    for (const client of [one, two]) client.destroy()
  })

  test("ends with one error, PostgreSQL's own, when that ends it", async () => {
    const client = await stream('terminated')
    await postgres.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'",
    )
    const errors = ofType(await client.receiveRest(), 'E')
    expect(errors).toMatchObject([
      { code: '57P01', text: 'terminating connection due to administrator command' },
    ])
    await nothingIsLeft()
  })

  test('ends as without a pooler, without an error, when PostgreSQL is shut down', async () => {
    const client = await stream('stopped')
    const halted = postgres.halt('fast')
    // PostgreSQL waits until its standbys have everything.
    for (;;) {
      const message = await client.receive()
      const end = keepalive(message)
      if (end !== undefined) client.send(standbyStatus(end))
      if (message.type === 'C') break
    }
    expect(letters(await client.receiveRest())).toBe('')
    client.destroy()
    await halted
    await expect(replicate(pooler, 'database')).rejects.toThrow(/57P03 the server cannot be reached/)
    await postgres.resume()
    const again = await replicate(pooler, 'database')
    again.end()
    await again.closed()
  })

  test('ends at once with 57P01 when the pooler waits for its servers', async () => {
    const client = await stream('drained')
    const ended = pooler.control.shutdown('wait_for_servers')
    expect(ofType(await client.receiveRest(), 'E')).toMatchObject([
      { code: '57P01', text: 'server shutting down' },
    ])
    await ended
    client.destroy()
  })

  test('ends at once with 57P01 by PAUSE, which has not to wait for it; after RESUME it can go on', async () => {
    const client = await stream('paused')
    await pooler.control.pause()
    expect(ofType(await client.receiveRest(), 'E')).toMatchObject([
      { code: '57P01', text: 'the database is paused' },
    ])
    client.destroy()
    const back = replicate(pooler, 'database')
    await eventually(
      'the client to wait',
      () => pooler.stats.pools[0],
      (pool) => pool?.waiting === 1 && pool.servers === 0,
    )
    pooler.control.resume()
    const resumed = await back
    resumed.send(f.query('START_REPLICATION SLOT paused LOGICAL 0/0'))
    await resumed.receive('W')
    resumed.end()
    await resumed.closed()
  })

  test('ends with 57P01 by KILL', async () => {
    const client = await stream('killed')
    pooler.control.kill()
    expect(ofType(await client.receiveRest(), 'E')).toMatchObject([
      { code: '57P01', text: 'database removed' },
    ])
    client.destroy()
  })

  test('stands still while the pooler is suspended', async () => {
    const client = await stream('suspended')
    await pooler.control.suspend()
    await postgres.query(
      "SELECT pg_logical_emit_message(false, 'test', 'while suspended' || repeat('x', 100000))",
    )
    await eventually(
      'PostgreSQL to have sent it',
      () => postgres.query('SELECT 1 FROM pg_stat_replication WHERE sent_lsn >= pg_current_wal_insert_lsn()'),
      (found) => found.length === 1,
    )
    // What was on its way before may arrive.
    expect(client.stream.unread).toBeLessThan(100)
    pooler.control.resume()
    await receiveWal(client, 'while suspended')
    client.end()
    await client.closed()
  })

  /** More than all sockets on the way hold, in parts of a megabyte; PostgreSQL is held back when it returns. */
  async function fill(parts: number): Promise<void> {
    for (let part = 0; part < parts; part += 1) {
      await postgres.query(
        `SELECT pg_logical_emit_message(false, 'test', 'part ${part} ' || repeat('x', ${MEGABYTE}))`,
      )
    }
    await eventually(
      'PostgreSQL to wait for its client',
      () => postgres.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'WalSenderWriteData'"),
      (found) => found.length === 1,
    )
  }

  // case 51
  test('is held back by a client that does not read, and loses nothing', async () => {
    const client = await stream('slow')
    client.stream.socket.pause()
    const before = process.memoryUsage().rss
    await fill(48)
    // Under Bun the test's own socket keeps copies of what it could not send yet.
    const own = process.versions.bun === undefined ? 0 : 2 * 64
    expect((process.memoryUsage().rss - before) / MEGABYTE).toBeLessThan(32 + own)
    client.stream.socket.resume()
    for (let part = 0; part < 48; part += 1) {
      const { data } = await receiveWal(client, `part ${part} `)
      expect(data.length).toBeGreaterThan(MEGABYTE)
    }
    client.end()
    await client.closed()
  })

  test('that nobody reads ends with its client', async () => {
    const client = await stream('unread')
    client.stream.socket.pause()
    await fill(48)
    client.reset()
    await nothingIsLeft()
  })
})

describe('a stream of a server', () => {
  let server: ScriptedServer
  let pooler: TestPooler

  beforeEach(async () => {
    server = await ScriptedServer.listen()
    pooler = await startPooler({ server: server.address, pooler: { default_pool_size: 1 } })
  })

  afterEach(async () => {
    await pooler.stop()
    await server.stop()
  })

  async function stream() {
    const client = await replicate(pooler, 'database')
    const session = await server.session()
    client.send(f.query('START_REPLICATION'))
    await session.expectQuery()
    session.send(COPY_BOTH)
    await client.receive('W')
    return { client, session }
  }

  test('gets the startup parameters of its client and no others, and no query of the pooler', async () => {
    const options = '-c a=b --c-d=e\\ f'
    const client = await replicate(pooler, 'TRUE', {
      database: 'app',
      parameters: { options, Application_Name: 'Standby' },
    })
    const session = await server.session()
    expect(Object.fromEntries(session.startup)).toEqual({
      user: 'postgres',
      database: 'app',
      replication: 'TRUE',
      options,
      Application_Name: 'Standby',
    })
    client.send(f.query('IDENTIFY_SYSTEM'))
    expect(await session.expectQuery()).toBe('IDENTIFY_SYSTEM')
    client.end()
    await session.expect('X')
    session.stream.end()
    await client.closed()
  })

  test('that does not read holds its client back, and gets everything in the end', async () => {
    const { client, session } = await stream()
    session.stream.socket.pause()
    const part = f.copyData(Buffer.alloc(MEGABYTE, 'x'))
    const { socket } = client.stream
    const before = process.memoryUsage().rss
    for (let index = 0; index < 64; index += 1) socket.write(part)
    let last = -1
    await eventually(
      'the client to be held back',
      () => {
        const stands = socket.writableLength === last
        last = socket.writableLength
        return stands
      },
      (stands) => stands,
    )
    expect(last / MEGABYTE).toBeGreaterThan(40)
    // Under Bun the test's own socket keeps copies of what it could not send yet.
    const own = process.versions.bun === undefined ? 0 : 2 * 64
    expect((process.memoryUsage().rss - before) / MEGABYTE).toBeLessThan(32 + own)
    session.stream.socket.resume()
    await session.expect('d'.repeat(64))
    client.end()
    await session.expect('X')
    session.stream.end()
    await client.closed()
  })
})
