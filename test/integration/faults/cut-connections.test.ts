import { describe, expect, test } from 'vitest'
import { letters, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'

/** The connection to a server ends in the middle of something, or is slow: at every byte, with RST and with FIN. */

const scene = faultScene({ poolSize: 1 })

/** Everything that a client received until its connection ended, also half a message. */
async function untilCut(client: RawClient): Promise<{ whole: string; half: number }> {
  await client.stream.closed()
  let whole = ''
  for (;;) {
    try {
      const message = await client.stream.readMessage('what came before the cut')
      if (message === undefined) return { whole, half: 0 }
      whole += message.type
    } catch {
      return { whole, half: client.stream.unread }
    }
  }
}

describe('a connection to a server that is cut', () => {
  // case 71: T(30) D(12) C(13) Z(6) bytes; after the last one the query is over.
  test.each(['reset', 'close'] as const)(
    'at any byte of a reply costs its client one error, or none behind half a message: %s',
    async (ending) => {
      const outside = await scene.connect()
      const reply = await outside.query('SELECT 1 AS x')
      const sizes = reply.map(({ body }) => body.length + 5)
      const total = sizes.reduce((sum, size) => sum + size, 0)
      for (let bytes = 1; bytes < total; bytes += 1) {
        const client = await scene.connect()
        scene.proxy.cutAfter('toClient', bytes, ending)
        client.send(f.query('SELECT 1 AS x'))
        const { whole, half } = await untilCut(client)
        expect(whole, `cut after ${bytes} of ${total} bytes`).toMatch(/^(T?|TD|TDC)E?$/)
        // Whoever got half a message cannot be told anything more; everybody else is told once.
        expect(half > 0, `cut after ${bytes}: ${whole} and ${half} bytes`).toBe(!whole.endsWith('E'))
        client.destroy()
        expect(letters(await outside.query('SELECT 1 AS x'))).toBe('TDCZ')
      }
    },
  )

  test('behind the last byte of a reply is noticed by nobody', async () => {
    const client = await scene.connect()
    const reply = await client.query('SELECT 1 AS x')
    const total = reply.reduce((sum, { body }) => sum + body.length + 5, 0)
    for (const ending of ['reset', 'close'] as const) {
      await client.query('SELECT 1')
      scene.proxy.cutAfter('toClient', total, ending)
      expect(letters(await client.query('SELECT 1 AS x'))).toBe('TDCZ')
      await scene.serversLeft(0)
    }
    expect(letters(await client.query('SELECT 1 AS x'))).toBe('TDCZ')
  })

  test('in the middle of a large row costs its client the connection', async () => {
    const client = await scene.connect()
    scene.proxy.cutAfter('toClient', 200_000, 'reset')
    client.send(f.query("SELECT repeat('x', 1000000)"))
    const { whole, half } = await untilCut(client)
    expect(whole).toBe('T')
    expect(half).toBeGreaterThan(0)
    const next = await scene.connect()
    expect(letters(await next.query('SELECT 1'))).toBe('TDCZ')
  })

  test('in the middle of a request costs its client one error, and the request has no effect', async () => {
    await scene.postgres.query('CREATE TABLE requests (id int)')
    const client = await scene.connect()
    await client.query('SELECT 1')
    scene.proxy.cutAfter('toServer', 40_000, 'reset')
    client.send(f.query(`INSERT INTO requests VALUES (1); SELECT '${'x'.repeat(100_000)}'`))
    expect(await onlyError(client)).toMatchObject({ code: '08006' })
    const next = await scene.connect()
    expect(rows(await next.query('SELECT count(*) FROM requests'))).toEqual([['0']])
  })

  test('in COPY, both ways, costs its client one error', async () => {
    await scene.postgres.query('CREATE TABLE lines (line text)')
    const copyIn = await scene.connect()
    copyIn.send(f.query('COPY lines FROM STDIN'))
    await copyIn.expect('G')
    scene.proxy.cut('reset')
    expect(await onlyError(copyIn)).toMatchObject({ code: '08006' })
    const copyOut = await scene.connect()
    // PostgreSQL sends what it has when its buffer of 8 KiB is full.
    const rows = `SELECT repeat('x', 5000), pg_sleep(CASE n WHEN 3 THEN 60 ELSE 0 END) FROM generate_series(1, 3) n`
    copyOut.send(f.query(`COPY (${rows}) TO STDOUT`))
    await copyOut.expect('Hd')
    scene.proxy.cut('close')
    const { whole, half } = await untilCut(copyOut)
    expect({ whole, half: half > 0 }).toEqual({ whole: '', half: true })
    const next = await scene.connect()
    expect(await next.value('SELECT count(*) FROM lines')).toBe('0')
  })

  // What the pooler asks for itself must not reach the client, not even its failure.
  test('while it is prepared for a client costs that client one error', async () => {
    const first = await scene.connect()
    await first.query("SET TimeZone = 'Asia/Tokyo'")
    const second = await scene.connect()
    scene.proxy.cutAfter('toClient', 3, 'reset')
    second.send(f.query('SHOW TimeZone'))
    expect(await onlyError(second)).toMatchObject({ code: '08006' })
    expect(await first.value('SHOW TimeZone')).toBe('Asia/Tokyo')
  })

  test('during its login is opened once more, and whoever waits for it is served', async () => {
    const client = await scene.connect()
    await client.query('SELECT 1')
    for (const [bytes, ending] of [
      [1, 'reset'],
      [30, 'close'],
      [200, 'reset'],
    ] as const) {
      scene.proxy.cut('reset')
      await scene.serversLeft(0)
      scene.proxy.cutAfter('toClient', bytes, ending)
      client.send(f.query('SELECT 1'))
      await client.expect('TDCZ')
    }
  })
})

describe('a slow network', () => {
  async function work(client: RawClient): Promise<void> {
    expect(rows(await client.query("SELECT 'simple'"))).toEqual([['simple']])
    client.send(
      f.parse('s', 'SELECT $1::text'),
      f.run('s', ['prepared']),
      f.sync(),
      f.run('s', ['again']),
      f.sync(),
    )
    expect(rows(await client.receiveUntil('Z'))).toEqual([['prepared']])
    expect(rows(await client.receiveUntil('Z'))).toEqual([['again']])
    await client.query('BEGIN; CREATE TEMP TABLE slow (line text) ON COMMIT DROP')
    client.send(f.query('COPY slow FROM STDIN'), f.copyData('one\ntwo\n'), f.copyDone())
    await client.expect('GCZ')
    expect(rows(await client.query('SELECT * FROM slow; COMMIT'))).toEqual([['one'], ['two']])
    expect(letters(await client.query('SELECT 1/0'))).toBe('EZ')
  }

  test('that brings every byte alone changes nothing', async () => {
    scene.proxy.trickle('toClient')
    scene.proxy.trickle('toServer')
    const [a, b] = await Promise.all([scene.connect(), scene.connect()])
    await Promise.all([work(a), work(b)])
  })

  test('that delays everything changes nothing', async () => {
    scene.proxy.delay('toClient', 5)
    scene.proxy.delay('toServer', 5)
    const [a, b] = await Promise.all([scene.connect(), scene.connect()])
    await Promise.all([work(a), work(b)])
  })

  test('that stands still for one server keeps its client waiting and loses nothing', async () => {
    const { client } = await scene.inTransaction()
    scene.proxy.stall('toClient')
    const before = scene.proxy.bytes('toClient')
    client.send(f.query("SELECT repeat('x', 30000000)"), f.query('COMMIT'))
    await eventually(
      'PostgreSQL to wait for its reader',
      () => scene.postgres.query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"),
      (found) => found.length > 0,
    )
    expect(scene.proxy.bytes('toClient')).toBe(before)
    await scene.proxy.heal()
    const [row] = rows(await client.receiveUntil('Z'))
    expect(row?.[0]?.length).toBe(30_000_000)
    await client.expect('CZ')
  })
})
