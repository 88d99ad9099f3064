import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ofType, rows } from '../../support/backend-message.ts'
import * as b from '../../support/backend-messages.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { RawClient } from '../../support/raw-client.ts'
import { ScriptedServer } from '../../support/scripted-server.ts'
import { stories } from '../../support/stories.ts'

/** CancelRequest: it reaches exactly the query that it was meant for. */

const { story, pooled } = stories()

describe('a CancelRequest', () => {
  // case 68
  story('ends the running query with 57014, and the client lives on', async (stage) => {
    const client = await stage.connect()
    const { release } = await stage.block(client)
    await client.cancel()
    const [, error] = await client.expect('TEZ')
    expect(error).toMatchObject({ code: '57014' })
    await release()
    await client.query('SELECT 1')
  })

  // case 68
  story('ends a query of the extended protocol, and the rest of its pipeline', async (stage) => {
    const client = await stage.connect()
    await stage.sql('SELECT pg_advisory_lock(1)')
    client.send(
      f.extended('SELECT pg_advisory_xact_lock(1)'),
      f.extended('SELECT 2'),
      f.sync(),
      f.query('SELECT 3'),
    )
    await stage.someoneIsBlocked()
    await client.cancel()
    await client.receiveUntil('Z')
    await client.expect('TDCZ')
    await stage.sql('SELECT pg_advisory_unlock(1)')
  })

  // case 68
  story('inside a transaction fails it, and the server stays', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    const { release } = await stage.block(client)
    await client.cancel()
    await client.receiveUntil('Z')
    expect(client.status).toBe('E')
    await release()
    await client.query('ROLLBACK')
  })

  // case 68
  story('for an idle client does nothing', async (stage) => {
    const client = await stage.connect()
    await client.query('SELECT 1')
    await client.cancel()
    await client.query('SELECT 2')
  })

  // case 68
  story('with a wrong key does nothing', async (stage) => {
    const client = await stage.connect()
    const { release } = await stage.block(client)
    const processId = client.key?.processId ?? 0
    const secret = Buffer.from(client.key?.secret ?? [])
    secret.writeUInt8(secret.readUInt8(0) ^ 1)
    await client.cancel({ processId, secret })
    await client.cancel({ processId: processId ^ 1, secret })
    await release()
    await client.expect('TDCZ')
  })

  // case 68: A's query runs on the server; C, whose key it is, sits idle; B waits. Nobody may be hit but C.
  pooled('of one client never ends the query of another', async (stage) => {
    const a = await stage.connect()
    const c = await stage.connect()
    await c.query('SELECT 1')
    const { release } = await stage.block(a)
    await c.cancel()
    await release()
    await a.expect('TDCZ')
  })

  // case 68: A holds the only server; B waits for it and is cancelled: the answer is the pooler's own.
  pooled('for a waiting client ends its wait with 57014', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    b.send(f.query('SELECT 1'))
    await a.query('SELECT 2')
    await b.cancel()
    const [error] = await b.expect('EZ')
    expect(error).toMatchObject({ code: '57014' })
    b.send(f.query('SELECT 3'))
    await a.query('COMMIT')
    expect(rows(await b.expect('TDCZ'))).toEqual([['3']])
  })

  // case 68, case 5: in extended protocol the rest of the batch is dropped and only Sync is answered.
  pooled('for a client that waits with a pipeline voids it up to Sync', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    b.send(f.parse('s', 'SELECT 1'), f.run('s'))
    await a.query('SELECT 2')
    await b.cancel()
    const [error] = await b.expect('E')
    expect(error).toMatchObject({ code: '57014' })
    b.send(f.run('s'), f.sync())
    await b.expect('Z')
    await a.query('COMMIT')
    b.send(f.run('s'), f.sync())
    const [unknown] = await b.expect('EZ')
    expect(unknown, 'the Parse was dropped too').toMatchObject({ code: '26000' })
    b.send(f.parse('s', 'SELECT 4'), f.run('s'), f.sync())
    await b.expect('12DCZ')
  })

  // case 68: cancels race with the end of A's short queries; B's queries on the same server are never hit.
  pooled('that comes too late never hits the next client of the server', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const hits: string[] = []
    for (let turn = 0; turn < 60; turn += 1) {
      a.send(f.query(`SELECT pg_sleep(${(turn % 3) / 1000})`))
      const cancelled = a.cancel()
      b.send(f.query('SELECT pg_sleep(0.002)'))
      await a.receiveUntil('Z')
      for (const error of ofType(await b.receiveUntil('Z'), 'E')) hits.push(`turn ${turn}: ${error.code}`)
      await cancelled
    }
    expect(hits).toEqual([])
  })

  // case 69
  pooled(
    'gets through when every client connection is taken',
    async (stage) => {
      const client = await stage.connect()
      const other = await stage.connect()
      await other.query('SELECT 1')
      const { release } = await stage.block(client)
      await client.cancel()
      const [, error] = await client.expect('TEZ')
      expect(error).toMatchObject({ code: '57014' })
      await release()
    },
    { pooler: { max_client_conn: 2 } },
  )
})

describe('while a cancel is under way', () => {
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

  const login = () => RawClient.connect({ ...pooler, user: 'postgres', database: 'scripted' })

  // case 68: A's query ends by itself just as its cancel has been sent; PostgreSQL's signal may still be on its
  // way as long as the cancel's connection is open. B must not get the server before that.
  test('its server is not given to the next client', async () => {
    const a = await login()
    const session = await server.session()
    a.send(f.query('SELECT 1'))
    await session.expectQuery()
    const cancelled = a.cancel()
    const request = await server.cancelRequest()
    expect(request.processId, 'the server’s own key').toBe(session.processId)
    session.send(b.oneRow('1'))
    await a.expect('TDCZ')
    const next = await login()
    next.send(f.query('SELECT 2'))
    next.send(f.sync())
    await a.cancel({ processId: 0, secret: Buffer.alloc(4) })
    expect(session.stream.unread, 'bytes of the next client at the server').toBe(0)
    request.close()
    await cancelled
    expect(await session.expectQuery()).toBe('SELECT 2')
    session.send(b.oneRow('2'))
    await next.expect('TDCZ')
    await session.expect('S')
    session.send(b.readyForQuery())
    await next.expect('Z')
    a.end()
    next.end()
  })
})
