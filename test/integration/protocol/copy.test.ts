import { describe, expect } from 'vitest'
import { isMessage, letters, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { Stage } from '../../support/stage.ts'
import { stories } from '../../support/stories.ts'

/** COPY in and out, simple and extended, in every order of failure. */

const { story, pooled } = stories()

const COPY_IN = 'COPY copied FROM STDIN'
const MANY = 2000

async function table(stage: Stage): Promise<void> {
  await stage.sql('CREATE TABLE copied (id int, name text)')
}

describe('COPY FROM STDIN', () => {
  // case 42
  story('takes data and completes on CopyDone', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN))
    await client.expect('G')
    client.send(f.copyData('1\tone\n2\ttwo\n'), f.copyData('3\tth'), f.copyData('ree\n'), f.copyDone())
    const reply = await client.expect('CZ')
    expect(reply[0]).toMatchObject({ tag: 'COPY 3' })
    expect(rows(await client.query('SELECT * FROM copied ORDER BY id'))).toHaveLength(3)
  })

  // case 42
  story('may send everything in the segment of its Query', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(
      f.query(COPY_IN),
      f.copyData('1\tone\n'),
      f.copyDone(),
      f.query('SELECT count(*) FROM copied'),
    )
    await client.expect('GCZTDCZ')
  })

  // case 42: Sync and Flush within COPY are ignored by the server, so no ReadyForQuery is owed for them.
  story('ignores Sync and Flush', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN), f.sync(), f.copyData('1\tone\n'), f.flush(), f.sync(), f.copyDone())
    await client.expect('GCZ')
    client.send(f.query('SELECT 1'))
    await client.expect('TDCZ')
  })

  // case 42: libpq sends Sync together with Execute, and again after CopyDone: only the second is answered.
  story('in extended protocol is answered by the Sync after CopyDone only', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.parse('', COPY_IN), f.bind(), f.describeMessage('P'), f.execute(), f.sync())
    await client.expect('12nG')
    client.send(f.copyData('1\tone\n'), f.copyDone(), f.sync())
    await client.expect('CZ')
    client.send(f.extended('SELECT count(*) FROM copied'), f.sync())
    await client.expect('12TDCZ')
  })

  // case 42
  story('in extended protocol works in one segment and twice in a pipeline', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    const copy = (row: string) => [f.parse('', COPY_IN), f.bind(), f.execute(), f.copyData(row), f.copyDone()]
    client.send(...copy('1\tone\n'), f.sync())
    await client.expect('12GCZ')
    client.send(...copy('2\ttwo\n'), ...copy('3\tthree\n'), f.sync(), f.query('SELECT count(*) FROM copied'))
    expect(rows(await client.receiveReplies(2))).toEqual([['3']])
  })

  // case 43: the row is bad; the server answers at once and throws away what the client still sends.
  story('that fails answers once, and late data is thrown away', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN))
    await client.expect('G')
    client.send(f.copyData('not a number\tone\n'))
    const [error] = await client.expect('EZ')
    expect(error).toMatchObject({ code: '22P02' })
    client.send(f.copyData('1\tlate\n'), f.copyData('2\tlate\n'), f.copyDone())
    client.send(f.query('SELECT count(*) FROM copied'))
    expect(rows(await client.expect('TDCZ'))).toEqual([['0']])
  })

  // case 43
  story('that fails ends with the client’s CopyFail instead of CopyDone', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN), f.copyData('x\ty\n'), f.copyData('1\tlate\n'), f.copyFail('gave up'))
    await client.expect('GEZ')
    await client.query('SELECT 1')
  })

  // case 43: in extended protocol the failure is answered up to Sync.
  story('that fails in extended protocol is over at the next Sync', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.parse('', COPY_IN), f.bind(), f.execute(), f.flush())
    await client.expect('12G')
    client.send(f.copyData('x\ty\n'))
    await client.expect('E')
    client.send(f.copyData('1\tlate\n'), f.copyDone(), f.sync())
    await client.expect('Z')
    client.send(f.extended('SELECT 1'), f.sync())
    await client.expect('12TDCZ')
  })

  // case 43: the server is back in the pool after E and Z while A still sends; B's query must not meet A's data.
  pooled('that fails gives B a server that A’s late data does not reach', async (stage) => {
    await table(stage)
    const a = await stage.connect()
    const b = await stage.connect()
    a.send(f.query(COPY_IN))
    await a.expect('G')
    a.send(f.copyData('x\ty\n'))
    await a.expect('EZ')
    b.send(f.query('BEGIN'))
    a.send(f.copyData('1\tlate\n'), f.copyData('2\tlate\n'), f.copyDone())
    // B holds the server from here, or waits until A has finished its copy; either way nothing is mixed up.
    await b.expect('CZ')
    await b.query('SELECT 1')
    a.send(f.query('SELECT 2'))
    await b.query('COMMIT')
    await a.expect('TDCZ')
  })

  // case 44
  story('given up with CopyFail answers 57014 and lives on', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN), f.copyData('1\tone\n'), f.copyFail('changed my mind'))
    const [, error] = await client.expect('GEZ')
    expect(error).toMatchObject({ code: '57014' })
    expect(rows(await client.query('SELECT count(*) FROM copied'))).toEqual([['0']])
    client.send(f.parse('', COPY_IN), f.bind(), f.execute(), f.copyFail('again'), f.sync())
    await client.expect('12GEZ')
  })

  story('of nothing copies nothing', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(COPY_IN), f.copyDone())
    await client.expect('GCZ')
    client.send(f.query(COPY_IN), f.copyData(''), f.copyDone())
    await client.expect('GCZ')
  })

  story('in a transaction that fails leaves it failed', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    await client.query('BEGIN')
    client.send(f.query(COPY_IN), f.copyFail('no'))
    await client.expect('GEZ')
    expect(client.status).toBe('E')
    await client.query('ROLLBACK')
  })

  story('and other statements of one Query are answered in order', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    client.send(f.query(`SELECT 1; ${COPY_IN}; ${COPY_IN}; SELECT count(*) FROM copied`))
    await client.expect('TDCG')
    client.send(f.copyData('1\tone\n'), f.copyDone())
    await client.expect('CG')
    client.send(f.copyData('2\ttwo\n'), f.copyDone())
    await client.expect('CTDCZ')
  })

  // PostgreSQL has an error for the COPY and a FATAL one for the connection; the pooler may leave it at one.
  pooled('interrupted by another request ends the connection with 08P01', async (stage) => {
    await table(stage)
    const client = await stage.connect()
    const other = await stage.connect()
    client.send(f.query(COPY_IN))
    await client.expect('G')
    client.send(f.query('SELECT 1'))
    const codes = ofType(await client.receiveRest(), 'E').map(({ code }) => code)
    expect(new Set(codes)).toEqual(new Set(['08P01']))
    await other.query('SELECT 2')
  })

  // A's COPY has the server; B waits, and A's data goes on in many messages.
  pooled('keeps the server between its messages', async (stage) => {
    await table(stage)
    const a = await stage.connect()
    const b = await stage.connect()
    a.send(f.query(COPY_IN))
    await a.expect('G')
    b.send(f.query('SELECT count(*) FROM copied'))
    for (let id = 0; id < 50; id += 1) await a.sendBytes(f.copyData(`${id}\tx\n`), { every: 3 })
    expect(b.stream.unread).toBe(0)
    a.send(f.copyDone())
    await a.expect('CZ')
    expect(rows(await b.expect('TDCZ'))).toEqual([['50']])
  })

  // case 42: data that arrives without a COPY is ignored, as PostgreSQL does.
  story('that was never begun leaves its messages without effect', async (stage) => {
    const client = await stage.connect()
    client.send(f.copyData('1\tone\n'), f.copyDone(), f.copyFail('no'), f.query('SELECT 1'))
    await client.expect('TDCZ')
    await client.query('BEGIN')
    client.send(f.copyData('1\tone\n'), f.copyDone(), f.query('COMMIT'))
    await client.expect('CZ')
  })
})

describe('COPY TO STDOUT', () => {
  story('sends its rows and completes', async (stage) => {
    const client = await stage.connect()
    client.send(f.query('COPY (SELECT generate_series(1, 3)) TO STDOUT'))
    await client.expect('HdddcCZ')
    client.send(f.extended('COPY (SELECT 1) TO STDOUT'), f.sync(), f.query('SELECT 1'))
    await client.expect('12nHdcCZTDCZ')
  })

  story('in binary format keeps every byte', async (stage) => {
    const client = await stage.connect()
    const reply = await client.query(
      "COPY (SELECT n, repeat('x', n) FROM generate_series(1, 40) n) TO STDOUT (FORMAT binary)",
    )
    expect(letters(reply)).toBe(`H${'d'.repeat(41)}cCZ`)
  })

  story('that fails half way answers its error after the rows', async (stage) => {
    const client = await stage.connect()
    const sql = `COPY (SELECT 10 / (n - ${MANY}) FROM generate_series(1, 2 * ${MANY}) n) TO STDOUT`
    const reply = await client.query(sql)
    expect(ofType(reply, 'd')).toHaveLength(MANY - 1)
    expect(reply.at(-2)).toMatchObject({ type: 'E', code: '22012' })
    await client.query('SELECT 1')
  })

  story('in a pipeline is followed by the replies after it', async (stage) => {
    const client = await stage.connect()
    client.send(f.extended('COPY (SELECT 1) TO STDOUT'), f.extended('SELECT 2'), f.sync())
    const reply = await client.receiveUntil('Z')
    expect(reply.find((message) => isMessage(message, 'D'))?.values[0]?.toString()).toBe('2')
  })
})
