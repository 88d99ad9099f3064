import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import { standbyStatus, walPosition } from '../../support/replication-messages.ts'
import {
  emit,
  noWalSender,
  receiveWal,
  replicate,
  STREAMING_SETTINGS,
  streamDecoded,
} from '../../support/replication-stage.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** What a replication client can do: everything that it can do without a pooler. */

let postgres: TestCluster
let pooler: TestPooler

beforeAll(async () => {
  postgres = await startPostgres({ settings: STREAMING_SETTINGS })
  await postgres.query(
    `CREATE ROLE plain LOGIN PASSWORD 'plain'; CREATE ROLE walker LOGIN REPLICATION PASSWORD 'w'`,
  )
})

afterAll(() => postgres.stop())

beforeEach(async () => {
  pooler = await startPooler({
    server: postgres,
    pooler: { default_pool_size: 5, ignore_startup_parameters: ['ignored_thing'] },
    users: { plain: { password: 'plain' }, walker: { password: 'w' } },
  })
})

afterEach(async () => {
  await pooler.stop()
  await noWalSender(postgres)
})

describe('a physical replication client', () => {
  test('asks for the system and for settings, as without a pooler', async () => {
    const direct = await replicate(postgres, 'true', { password: postgres.password })
    const expected = rows(await direct.query('IDENTIFY_SYSTEM'))
    direct.end()
    for (const mode of ['true', 'on', 'yes', '1']) {
      const client = await replicate(pooler, mode, { database: 'replication' })
      const [[system, timeline] = []] = rows(await client.query('IDENTIFY_SYSTEM'))
      expect([system, timeline]).toEqual(expected[0]?.slice(0, 2))
      expect(rows(await client.query('SHOW wal_segment_size'))).toEqual([['1MB']])
      client.end()
      await client.closed()
    }
  })

  test('streams WAL from where it wants, and ends the stream in good order', async () => {
    const client = await replicate(pooler, 'true', { user: 'walker' })
    const [row] = rows(await client.query('IDENTIFY_SYSTEM'))
    const position = row?.[2] ?? ''
    client.send(f.query(`START_REPLICATION PHYSICAL ${position} TIMELINE 1`))
    await client.receive('W')
    // Once it may be cut in two by the header of a page of WAL.
    await emit(postgres, 'through the pooler, '.repeat(3))
    const { start } = await receiveWal(client, 'through the pooler')
    client.send(standbyStatus(start + 1n))
    await eventually(
      'the status update to arrive',
      () =>
        postgres.query("SELECT coalesce(flush_lsn, '0/0')::text AS lsn, usename FROM pg_stat_replication"),
      ([sender]) => sender?.usename === 'walker' && walPosition(String(sender.lsn)) === start + 1n,
    )
    client.send(f.copyDone())
    const rest = await client.receiveUntil('Z')
    expect(letters(rest).replaceAll('d', '')).toMatch(/^cC+Z$/)
    expect(rows(await client.query('IDENTIFY_SYSTEM'))).toHaveLength(1)
    client.end()
    await client.closed()
  })

  test('is heard by PostgreSQL while it does not read its WAL', async () => {
    const client = await replicate(pooler, 'database')
    const [row] = rows(await client.query('IDENTIFY_SYSTEM'))
    const position = row?.[2] ?? ''
    await streamDecoded(client, 'slow')
    client.stream.socket.pause()
    await postgres.query(
      "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000)) FROM generate_series(1, 32)",
    )
    await eventually(
      'PostgreSQL to wait for its client',
      () => postgres.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'WalSenderWriteData'"),
      (found) => found.length === 1,
    )
    for (const further of [1n, 2n]) {
      const flushed = walPosition(position) + further
      client.send(standbyStatus(flushed))
      await eventually(
        'the status update to arrive',
        () => postgres.query("SELECT coalesce(flush_lsn, '0/0')::text AS lsn FROM pg_stat_replication"),
        ([sender]) => walPosition(String(sender?.lsn)) === flushed,
      )
    }
    client.destroy()
  })

  test('gets a whole base backup, as fast as it reads', async () => {
    const client = await replicate(pooler, 'true')
    client.stream.socket.pause()
    client.send(f.query("BASE_BACKUP (LABEL 'test', CHECKPOINT 'fast', WAL false, MANIFEST 'no')"))
    await eventually(
      'PostgreSQL to wait for its client',
      () =>
        postgres.query(
          "SELECT 1 FROM pg_stat_activity WHERE wait_event IN ('WalSenderWriteData', 'ClientWrite')",
        ),
      (found) => found.length === 1,
    )
    client.stream.socket.resume()
    const reply = await client.receiveUntil('Z')
    expect(letters(reply)).toMatch(/^TDC.*Hd+N?cTDC+Z$/)
    const bytes = ofType(reply, 'd').reduce((sum, { body }) => sum + body.length, 0)
    expect(bytes).toBeGreaterThan(10_000_000)
    client.end()
    await client.closed()
  })

  test('hears of a malformed command, and goes on', async () => {
    const client = await replicate(pooler, 'true')
    const reply = await client.query('START_REPLICATION NOWHERE')
    expect(letters(reply)).toBe('EZ')
    expect(reply[0]).toMatchObject({ code: '42601' })
    expect(letters(await client.query('IDENTIFY_SYSTEM'))).toBe('TDCZ')
    client.end()
  })
})

describe('a logical replication client', () => {
  /** One conversation; returns what was received, as far as it is the same each time. */
  async function converse(client: RawClient, slot: string): Promise<string[]> {
    const created = await client.query(`CREATE_REPLICATION_SLOT ${slot} LOGICAL test_decoding`)
    client.send(f.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0`))
    const started = await client.receive()
    await emit(postgres, `for ${slot}`)
    const { start } = await receiveWal(client, `for ${slot}`)
    client.send(standbyStatus(start + 1n))
    await eventually(
      'the slot to be confirmed',
      () => postgres.query(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots`),
      ([found]) => walPosition(String(found?.lsn)) >= start,
    )
    client.send(f.copyDone())
    const ended = await client.receiveUntil('Z')
    const selected = await client.query('SELECT current_database()')
    const dropped = await client.query(`DROP_REPLICATION_SLOT ${slot}`)
    return [
      letters(created),
      started.type,
      letters(ended).replaceAll('d', ''),
      letters(selected),
      String(rows(selected)),
      letters(dropped),
    ]
  }

  test('decodes changes from a slot, confirms them and ends the stream, as without a pooler', async () => {
    const direct = await replicate(postgres, 'database', { password: postgres.password })
    const expected = await converse(direct, 'direct')
    direct.end()
    const client = await replicate(pooler, 'database')
    expect(await converse(client, 'pooled')).toEqual(expected)
    client.end()
    await client.closed()
  })

  test('streams with several others and an ordinary client at a time', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => replicate(pooler, 'database')))
    await Promise.all(clients.map((client, index) => streamDecoded(client, `many_${index}`)))
    const ordinary = await replicate(pooler, 'false')
    for (const text of ['one', 'two', 'three']) {
      await ordinary.query(`SELECT pg_logical_emit_message(false, 'test', '${text}')`)
      await Promise.all(clients.map((client) => receiveWal(client, text)))
    }
    expect(pooler.stats.pools).toMatchObject([{ servers: 4, active: 3 }])
    expect(pooler.stats.clients).toBe(4)
    for (const client of [...clients, ordinary]) client.end()
  })

  test('keeps its messages in order whatever way they are cut', async () => {
    const client = await replicate(pooler, 'database')
    await client.query('CREATE_REPLICATION_SLOT cut TEMPORARY LOGICAL test_decoding')
    await client.sendBytes(f.query('START_REPLICATION SLOT cut LOGICAL 0/0'), { every: 3 })
    await client.receive('W')
    const updates = Array.from({ length: 20 }, () => standbyStatus(1n))
    await client.sendBytes(Buffer.concat([...updates, f.copyDone(), f.query('SELECT 7')]), { every: 7 })
    const [ended, selected] = [await client.receiveUntil('Z'), await client.receiveUntil('Z')]
    expect(letters(ended).replaceAll('d', '')).toMatch(/^cC+Z$/)
    expect(rows(selected)).toEqual([['7']])
    client.end()
  })
})

describe('the login of a replication client', () => {
  test('passes its parameters and options on as they are', async () => {
    const client = await replicate(pooler, 'database', {
      parameters: {
        application_name: 'my standby',
        options: '-c statement_timeout=1234 -c geqo=off',
        search_path: 'somewhere',
        DateStyle: 'German',
      },
    })
    expect(await client.value('SHOW statement_timeout')).toBe('1234ms')
    expect(await client.value('SHOW geqo')).toBe('off')
    expect(await client.value('SHOW search_path')).toBe('somewhere')
    expect(client.parameters.get('DateStyle')).toBe('German, DMY')
    expect(client.parameters.get('application_name')).toBe('my standby')
    expect(await postgres.query('SELECT application_name FROM pg_stat_replication')).toEqual([
      { application_name: 'my standby' },
    ])
    client.end()
  })

  test('leaves nothing of them to other clients', async () => {
    const client = await replicate(pooler, 'database', { parameters: { TimeZone: 'Asia/Tokyo' } })
    const ordinary = await replicate(pooler, 'off')
    expect(ordinary.parameters.get('TimeZone')).not.toBe('Asia/Tokyo')
    expect(await ordinary.value('SHOW TimeZone')).toBe(ordinary.parameters.get('TimeZone'))
    client.end()
    ordinary.end()
  })

  test('leaves out what ignore_startup_parameters lists', async () => {
    const client = await replicate(pooler, 'true', { parameters: { ignored_thing: '1' } })
    client.end()
  })

  test('ends with the very error of PostgreSQL where that refuses it', async () => {
    const attempts: [string, Parameters<typeof replicate>[2], RegExp][] = [
      ['true', { user: 'plain' }, /42501 permission denied to start WAL sender/],
      ['database', { user: 'plain' }, /42501 permission denied to start WAL sender/],
      ['database', { database: 'nowhere' }, /3D000 database "nowhere" does not exist/],
      ['true', { parameters: { options: '-c no_such=1' } }, /42704 unrecognized configuration parameter/],
      ['true', { parameters: { server_version: '1' } }, /55P02 parameter "server_version" cannot be changed/],
      ['true', { parameters: { options: '-x' } }, /42601 invalid command-line argument/],
      ['maybe', {}, /22023 invalid value for parameter "replication": "maybe"/],
    ]
    for (const [mode, options, error] of attempts) {
      await expect(replicate(pooler, mode, options)).rejects.toThrow(error)
      const direct = { password: options?.user ?? postgres.password, ...options }
      await expect(replicate(postgres, mode, direct)).rejects.toThrow(error)
    }
    // Nobody else suffers for it.
    const ordinary = await replicate(pooler, 'off')
    expect(await ordinary.value('SELECT 1')).toBe('1')
    ordinary.end()
    expect(pooler.stats.pools.every(({ waiting }) => waiting === 0)).toBe(true)
  })

  test('brings a cancel key of the pooler, with which its commands can be canceled', async () => {
    const client = await replicate(pooler, 'database')
    const pid = await client.value('SELECT pg_backend_pid()')
    expect(client.key?.processId).not.toBe(Number(pid))
    client.send(f.query('SELECT pg_sleep(60)'))
    await eventually(
      'the query to run',
      () => postgres.query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${pid} AND wait_event = 'PgSleep'`),
      (found) => found.length === 1,
    )
    await client.cancel()
    expect(ofType(await client.receiveUntil('Z'), 'E')).toMatchObject([{ code: '57014' }])
    await streamDecoded(client, 'canceled')
    await client.cancel()
    const rest = await client.receiveUntil('Z')
    expect(ofType(rest, 'E')).toMatchObject([{ code: '57014' }])
    client.end()
  })

  test('takes messages that were sent before it was over', async () => {
    const eager = await RawClient.open(pooler)
    eager.send(
      f.startup({ user: 'postgres', database: 'postgres', replication: 'database' }),
      f.query('SELECT 1'),
      f.query('IDENTIFY_SYSTEM'),
    )
    expect(await eager.finishLogin('postgres')).toBeUndefined()
    expect(letters(await eager.receiveReplies(2))).toBe('TDCZTDCZ')
    eager.end()
  })
})
