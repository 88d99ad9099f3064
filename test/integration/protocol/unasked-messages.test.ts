import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rows } from '../../support/backend-message.ts'
import * as b from '../../support/backend-messages.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { ServerSession } from '../../support/scripted-server.ts'
import { echoQueries, ScriptedServer } from '../../support/scripted-server.ts'

/** What a scripted server sends at moments that a real PostgreSQL chooses only now and then. */

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

async function connect(): Promise<{ client: RawClient; session: ServerSession }> {
  const [client, session] = await Promise.all([
    RawClient.connect({ ...pooler, user: 'postgres', database: 'scripted' }),
    server.session(),
  ])
  return { client, session }
}

async function another(): Promise<RawClient> {
  return RawClient.connect({ ...pooler, user: 'postgres', database: 'scripted' })
}

async function answer(client: RawClient, session: ServerSession, value: string): Promise<void> {
  client.send(f.query(`SELECT ${value}`))
  expect(await session.expectQuery()).toBe(`SELECT ${value}`)
  session.send(b.oneRow(value))
  expect(rows(await client.receiveUntil('Z'))).toEqual([[value]])
}

describe('an idle server', () => {
  // case 54
  test('may send a notice, and the next client does not get it', async () => {
    const { client, session } = await connect()
    await answer(client, session, '1')
    session.send(b.noticeResponse('nobody is here'))
    const next = await another()
    await answer(next, session, '2')
    await answer(client, session, '3')
    expect(next.received.map(({ type }) => type).join('')).not.toContain('N')
    client.end()
    next.end()
  })

  // case 56
  test('may send a notification, and no client gets it', async () => {
    const { client, session } = await connect()
    await answer(client, session, '1')
    session.send(b.notificationResponse(7, 'channel', 'payload'))
    // The pooler may go on with this server or take a new one; the client must not see the difference.
    server.onSession = echoQueries
    const echo = echoQueries(session)
    expect(rows(await client.query('SELECT 2'))).toEqual([['SELECT 2']])
    expect(client.received.map(({ type }) => type)).not.toContain('A')
    client.end()
    await pooler.stop()
    await echo
  })

  // case 55: the server's value has changed by itself; a client that asked for another keeps its own.
  test('may report a changed parameter, and clients keep the values that they asked for', async () => {
    const { client, session } = await connect()
    client.send(f.query("SET TimeZone = 'Asia/Tokyo'"))
    await session.expectQuery()
    session.send(b.commandComplete('SET'), b.parameterStatus('TimeZone', 'Asia/Tokyo'), b.readyForQuery())
    await client.expect('CSZ')
    session.send(b.parameterStatus('TimeZone', 'Mars'))
    await eventually(
      'the server to be idle again',
      () => session.stream.unread,
      (unread) => unread === 0,
    )
    // The status message needs a turn of its own to be read before the client's query arrives.
    const other = await another()
    client.send(f.query('SELECT 1'))
    const first = await session.expectQuery()
    if (first !== 'SELECT 1') {
      expect(first).toMatch(/timezone.*Asia\/Tokyo/i)
      session.send(b.rowDescription('set_config'), b.dataRow('Asia/Tokyo'), b.commandComplete('SELECT 1'))
      session.send(b.parameterStatus('TimeZone', 'Asia/Tokyo'), b.readyForQuery())
      expect(await session.expectQuery()).toBe('SELECT 1')
    }
    session.send(b.oneRow('1'))
    const reply = await client.receiveUntil('Z')
    expect(rows(reply)).toEqual([['1']])
    expect(client.parameters.get('TimeZone')).toBe('Asia/Tokyo')
    client.end()
    other.end()
  })

  // case 70: an error on an idle server is the server's own affair.
  test('that says goodbye is replaced, and its clients notice nothing', async () => {
    const { client, session } = await connect()
    await answer(client, session, '1')
    session.send(b.errorResponse('57P01', 'terminating connection due to administrator command', 'FATAL'))
    session.stream.end()
    await session.closed()
    client.send(f.query('SELECT 2'))
    const replacement = await server.session()
    expect(await replacement.expectQuery()).toBe('SELECT 2')
    replacement.send(b.oneRow('2'))
    expect(rows(await client.expect('TDCZ'))).toEqual([['2']])
    client.end()
  })

  // case 78: bytes that nobody asked for make the frame of the next reply uncertain.
  test('that sends rows nobody asked for is not used again', async () => {
    const { client, session } = await connect()
    await answer(client, session, '1')
    session.send(b.oneRow('stray'))
    await session.closed()
    client.send(f.query('SELECT 2'))
    const replacement = await server.session()
    await replacement.expectQuery()
    replacement.send(b.oneRow('2'))
    expect(rows(await client.expect('TDCZ'))).toEqual([['2']])
    client.end()
  })

  // case 78: the stray reply comes in the same segment as the good one, before the release.
  test('that sent more than was asked for is closed, and the next client gets another', async () => {
    const { client, session } = await connect()
    client.send(f.query('SELECT 1'))
    await session.expectQuery()
    session.send(b.oneRow('1'), b.oneRow('stray'))
    expect(rows(await client.receiveUntil('Z'))).toEqual([['1']])
    await session.closed()
    client.end()
    const next = await another()
    next.send(f.query('SELECT 2'))
    const replacement = await server.session()
    expect(await replacement.expectQuery()).toBe('SELECT 2')
    replacement.send(b.oneRow('2'))
    expect(rows(await next.expect('TDCZ'))).toEqual([['2']])
    next.end()
  })
})

describe('a server in use', () => {
  // case 55
  test('may report a parameter in the middle of a result', async () => {
    const { client, session } = await connect()
    client.send(f.query('SELECT 1'))
    await session.expectQuery()
    session.send(b.rowDescription('a'), b.dataRow('1'), b.parameterStatus('TimeZone', 'Mars'), b.dataRow('2'))
    session.send(b.noticeResponse('half way'), b.commandComplete('SELECT 2'), b.readyForQuery())
    await client.expect('TDSDNCZ')
    expect(client.parameters.get('TimeZone')).toBe('Mars')
    client.end()
  })

  // case 56
  test('may deliver a notification inside its client’s transaction', async () => {
    const { client, session } = await connect()
    client.send(f.query('BEGIN; LISTEN channel'))
    await session.expectQuery()
    session.send(b.commandComplete('BEGIN'), b.commandComplete('LISTEN'), b.readyForQuery('T'))
    await client.expect('CCZ')
    session.send(b.notificationResponse(7, 'channel', 'payload'))
    await client.expect('A')
    client.end()
  })

  // Every message is cut into single bytes on its way.
  test('may send its reply byte by byte', async () => {
    const { client, session } = await connect()
    client.send(f.parse('s', 'SELECT 1'), f.run('s'), f.sync())
    await session.expect('PBES')
    const reply = [b.parseComplete(), b.bindComplete(), b.dataRow('1', null), b.commandComplete('SELECT 1')]
    await session.stream.sendBytes(Buffer.concat([...reply, b.readyForQuery()]), { every: 1 })
    expect(rows(await client.expect('12DCZ'))).toEqual([['1', null]])
    client.end()
  })

  // case 71
  test('may send an error that has no SQLSTATE or no fields at all', async () => {
    const { client, session } = await connect()
    for (const fields of [{}, { M: 'only a text' }, { C: '' }]) {
      client.send(f.query('SELECT 1'))
      await session.expectQuery()
      session.send(b.fieldsMessage('E'.charCodeAt(0), fields), b.readyForQuery())
      await client.expect('EZ')
    }
    await answer(client, session, '2')
    client.end()
  })
})
