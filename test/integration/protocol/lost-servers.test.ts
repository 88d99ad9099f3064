import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import * as b from '../../support/backend-messages.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { RawClient } from '../../support/raw-client.ts'
import { acceptLogin, echoQueries, ScriptedServer } from '../../support/scripted-server.ts'
import { stories } from '../../support/stories.ts'

/** Servers that end, refuse or vanish: who hears of it, how often, and with which SQLSTATE. */

const { pooled } = stories()

const TERMINATED =
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'

describe('a backend that is terminated', () => {
  // case 70
  pooled('while idle is replaced, and no client notices', async (stage) => {
    const a = await stage.connect()
    await a.query("SET TimeZone = 'Asia/Tokyo'")
    await a.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    for (let turn = 0; turn < 3; turn += 1) {
      await stage.sql(TERMINATED)
      await eventually(
        'the backend to be gone',
        () => stage.serverCount(),
        (count) => count === 0,
      )
      a.send(f.run('s'), f.sync())
      await a.expect('2DCZ')
      expect(await a.value('SHOW TimeZone')).toBe('Asia/Tokyo')
    }
  })

  // case 70: the client gets the server's own error once, and is closed as its query's fate is unknown.
  pooled('in the middle of a query is reported once with 57P01, and its client is closed', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const { release } = await stage.block(a)
    await stage.sql(TERMINATED)
    const errors = ofType(await a.receiveRest(), 'E')
    expect(errors.map(({ code }) => code)).toEqual(['57P01'])
    await release()
    await b.query('SELECT 1')
  })

  // case 70
  pooled('in a transaction between queries closes its client with 57P01', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    b.send(f.query('SELECT 1'))
    await a.query('SELECT 2')
    await stage.sql(TERMINATED)
    const errors = ofType(await a.receiveRest(), 'E')
    expect(errors.map(({ code }) => code)).toEqual(['57P01'])
    await b.expect('TDCZ')
  })
})

describe('a server', () => {
  let server: ScriptedServer
  let pooler: TestPooler

  beforeEach(async () => {
    server = await ScriptedServer.listen()
    pooler = await startPooler({
      server: server.address,
      pooler: { default_pool_size: 1, server_login_retry: '200ms', query_wait_timeout: '1s' },
    })
  })

  afterEach(async () => {
    await pooler.stop()
    await server.stop()
  })

  const login = () => RawClient.connect({ ...pooler, user: 'postgres', database: 'scripted' })

  // case 71
  test('that vanishes in the middle of a query is reported once with 08006', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('SELECT 1'))
    await session.expectQuery()
    session.send(b.rowDescription('value'), b.dataRow('1'))
    await a.expect('TD')
    session.stream.reset()
    const rest = await a.receiveRest()
    expect(letters(rest)).toBe('E')
    expect(rest[0]).toMatchObject({ code: '08006' })
  })

  // case 71: FIN instead of RST, and inside a message that will never be completed.
  test('that closes inside a message does not leave its client waiting', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('SELECT 1'))
    await session.expectQuery()
    session.send(b.rowDescription('value'), b.dataRow('x'.repeat(2000)).subarray(0, 700))
    await a.expect('T')
    session.stream.end()
    await a.closed()
    a.destroy()
  })

  // case 71
  test('that vanishes inside a transaction closes its client and nobody else', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('BEGIN'))
    await session.expectQuery()
    session.send(b.commandComplete('BEGIN'), b.readyForQuery('T'))
    await a.expect('CZ')
    const other = await login()
    session.stream.destroy()
    const rest = await a.receiveRest()
    expect(rest.map(({ type }) => type)).toEqual(['E'])
    expect(rest[0]).toMatchObject({ code: '08006' })
    server.onSession = echoQueries
    expect(rows(await other.query('SELECT 2'))).toEqual([['SELECT 2']])
    other.end()
  })

  // case 70
  test('that says a FATAL word in the middle of a query is quoted once', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.extended('SELECT 1'), f.sync())
    await session.expect('PBDES')
    session.send(b.parseComplete(), b.errorResponse('57P02', 'crash of another server process', 'FATAL'))
    session.stream.end()
    const rest = await a.receiveRest()
    expect(letters(rest)).toBe('1E')
    expect(rest[1]).toMatchObject({ code: '57P02', text: 'crash of another server process' })
  })

  // The server's own words reach the client that waits for it.
  test('that refuses the login passes on its SQLSTATE and message', async () => {
    server.login = () => [b.errorResponse('3D000', 'database "scripted" does not exist', 'FATAL')]
    await expect(login()).rejects.toThrow('3D000 database "scripted" does not exist')
    server.login = acceptLogin
    server.onSession = echoQueries
    const client = await eventually(
      'the next attempt of the pooler',
      () => login().catch(() => undefined),
      (found) => found !== undefined,
    )
    client?.end()
  })

  // case 54: also a notice may come before AuthenticationOk.
  test('that sends a notice during its login is accepted', async () => {
    server.login = (processId) => [b.noticeResponse('early'), ...acceptLogin(processId)]
    server.onSession = echoQueries
    const client = await login()
    expect(rows(await client.query('SELECT 1'))).toEqual([['SELECT 1']])
    expect(client.greeting.map(({ type }) => type)).not.toContain('N')
    client.end()
  })

  // case 72: starting up: worth waiting for.
  test('that is starting up is tried again', async () => {
    let refusals = 2
    server.login = (processId) =>
      refusals-- > 0
        ? [b.errorResponse('57P03', 'the database system is starting up', 'FATAL')]
        : acceptLogin(processId)
    server.onSession = echoQueries
    const client = await eventually(
      'the server to have started',
      () => login().catch(() => undefined),
      (found) => found !== undefined,
    )
    expect(rows((await client?.query('SELECT 1')) ?? [])).toEqual([['SELECT 1']])
    client?.end()
  })

  test('that breaks the protocol is closed, and its client is told', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('SELECT 1'))
    await session.expectQuery()
    session.send(Buffer.from([0x43, 0xff, 0xff, 0xff, 0xff, 0, 0, 0]))
    await session.closed()
    const rest = await a.receiveRest()
    expect(letters(rest)).toBe('E')
    server.onSession = echoQueries
    const next = await login()
    await next.query('SELECT 2')
    next.end()
  })

  // case 5: the pool of one is taken; B's wait ends with an error, and B is not left with half a pipeline.
  test('that stays busy lets a waiting client know when its time is up', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('BEGIN'))
    await session.expectQuery()
    session.send(b.commandComplete('BEGIN'), b.readyForQuery('T'))
    await a.expect('CZ')
    const waiting = await login()
    waiting.send(f.extended('SELECT 1'), f.sync())
    const [error, ...more] = await waiting.receiveRest()
    expect(error).toMatchObject({ type: 'E' })
    expect(more).toEqual([])
    a.send(f.query('COMMIT'))
    await session.expectQuery()
    session.send(b.commandComplete('COMMIT'), b.readyForQuery())
    await a.expect('CZ')
    a.end()
  })
})

describe('a server that cannot be reached', () => {
  test('is reported to the clients that try, and found again when it is there', async () => {
    const server = await ScriptedServer.listen()
    const { port } = server.address
    await server.stop()
    const pooler = await startPooler({
      server: { host: '127.0.0.1', port },
      pooler: { server_login_retry: '100ms', query_wait_timeout: '1s', client_login_timeout: '2s' },
    })
    try {
      const login = () => RawClient.connect({ ...pooler, user: 'postgres', database: 'scripted' })
      await expect(login()).rejects.toThrow(/login refused: E\((57P03|08006)/)
    } finally {
      await pooler.stop()
    }
  })
})
