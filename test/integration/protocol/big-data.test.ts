import { createHash } from 'node:crypto'
import { describe, expect } from 'vitest'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Messages and results of many megabytes: they pass whole, in pieces, and no faster than they are read. */

const { story, pooled } = stories()

const MEGABYTE = 1024 * 1024

describe('a large message', () => {
  // case 46
  story('of the server passes whole', async (stage) => {
    const client = await stage.connect()
    const reply = await client.query(`SELECT repeat('0123456789abcdef', ${MEGABYTE})`)
    expect(ofType(reply, 'D')[0]?.values[0]).toHaveLength(16 * MEGABYTE)
  })

  // case 46
  story('of the client passes whole', async (stage) => {
    const client = await stage.connect()
    const big = Buffer.alloc(12 * MEGABYTE)
    for (let at = 0; at < big.length; at += 4) big.writeUInt32BE((at * 2_654_435_761) >>> 0, at)
    client.send(
      f.parse('', 'SELECT md5($1::bytea)', [17]),
      f.bind('', { values: [big], formats: [1] }),
      f.execute(),
    )
    client.send(f.sync())
    expect(rows(await client.expect('12DCZ'))).toEqual([[createHash('md5').update(big).digest('hex')]])
  })

  story('of SQL passes whole, simple or prepared under a name', async (stage) => {
    const client = await stage.connect()
    const sql = `SELECT length('${'y'.repeat(3 * MEGABYTE)}')`
    client.send(f.query(sql), f.parse('big', sql), f.describeMessage('S', 'big'), f.run('big'), f.sync())
    await client.expect('TDCZ1tT2DCZ')
    client.send(f.parse('again', sql), f.run('again'), f.close('S', 'big'), f.sync())
    await client.expect('12DC3Z')
  })
})

describe('a large result', () => {
  story('of many small rows passes whole', async (stage) => {
    const client = await stage.connect()
    const reply = await client.query('SELECT n, n * 2 FROM generate_series(1, 100000) n')
    expect(reply).toHaveLength(100_003)
  })

  story('that is read in spurts passes whole', async (stage) => {
    const client = await stage.connect()
    client.send(f.query("SELECT n, repeat('z', 1000) FROM generate_series(1, 20000) n"))
    for (let spurt = 0; spurt < 20; spurt += 1) {
      await client.receive()
      client.stream.socket.pause()
      await stage.sql('SELECT 1')
      client.stream.socket.resume()
    }
    const reply = await client.receiveUntil('Z')
    expect(ofType(reply, 'D').length).toBeGreaterThan(19_000)
  })

  // case 51: A does not read 400 MB; the pooler must stop reading them, so PostgreSQL waits on its socket.
  pooled(
    'that nobody reads is not collected in memory, and other clients go on',
    async (stage) => {
      const a = await stage.connect()
      const b = await stage.connect()
      await b.query('SELECT 1')
      const before = process.memoryUsage().rss
      a.send(f.query("SELECT repeat('x', 100000) FROM generate_series(1, 4000)"))
      await a.receive('T')
      a.stream.socket.pause()
      await eventually(
        'the backend to wait for its client',
        () => stage.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"),
        (found) => found.length > 0,
      )
      for (let turn = 0; turn < 50; turn += 1) await b.query('SELECT 1')
      expect((process.memoryUsage().rss - before) / MEGABYTE).toBeLessThan(100)
      a.destroy()
      expect(await b.value('SELECT 2')).toBe('2')
    },
    { poolSize: 2 },
  )

  // case 49: the server writes a large result while the client writes a large pipeline: nobody may wait for ever.
  story('and a large pipeline at the same time do not block each other', async (stage) => {
    const client = await stage.connect()
    const value = 'v'.repeat(200_000)
    const messages = Array.from({ length: 60 }, () => f.extended('SELECT $1::text', [value]))
    client.send(...messages, f.sync())
    const reply = await client.receiveUntil('Z')
    expect(letters(reply)).toBe(`${'12TDC'.repeat(60)}Z`)
  })

  // case 49, case 51: the pipeline is written completely before anything is read.
  pooled('that is read only after the pipeline was written comes whole', async (stage) => {
    const client = await stage.connect()
    client.stream.socket.pause()
    const value = 'v'.repeat(100_000)
    for (let index = 0; index < 30; index += 1) client.send(f.extended('SELECT $1::text', [value]))
    client.send(f.sync())
    const other = await stage.connect()
    client.stream.socket.resume()
    expect(ofType(await client.receiveUntil('Z'), 'D')).toHaveLength(30)
    await other.query('SELECT 1')
  })
})

describe('a large COPY', () => {
  story('in both directions keeps every row', async (stage) => {
    await stage.sql('CREATE TABLE lines (n int, line text)')
    const client = await stage.connect()
    client.send(f.query('COPY lines FROM STDIN'))
    await client.expect('G')
    for (let chunk = 0; chunk < 100; chunk += 1) {
      const lines = Array.from({ length: 500 }, (_, index) => `${chunk * 500 + index}\t${'l'.repeat(100)}\n`)
      await client.sendBytes(f.copyData(lines.join('')))
    }
    client.send(f.copyDone())
    await client.expect('CZ')
    client.send(f.query('COPY lines TO STDOUT'))
    const reply = await client.receiveUntil('Z')
    expect(ofType(reply, 'd')).toHaveLength(50_000)
  })

  // Rows and messages need not end at the same places.
  story('cut at places of its own keeps every row', async (stage) => {
    await stage.sql('CREATE TABLE lines (n int, line text)')
    const client = await stage.connect()
    client.send(f.query('COPY lines FROM STDIN'))
    await client.expect('G')
    const text = Buffer.from(Array.from({ length: 300 }, (_, index) => `${index}\tline ${index}\n`).join(''))
    for (let at = 0; at < text.length; at += 77) client.send(f.copyData(text.subarray(at, at + 77)))
    client.send(f.copyDone())
    await client.expect('CZ')
    expect(await client.value('SELECT count(*) FROM lines')).toBe('300')
  })
})
