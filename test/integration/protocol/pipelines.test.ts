import { describe, expect } from 'vitest'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Extended protocol in every split: pipelines, errors inside them, Flush, Sync, FunctionCall. */

const { story, pooled } = stories()

const INT4_PLUS = 177
const BATCHES = 200

describe('an error inside a pipeline', () => {
  // case 1
  story('discards everything up to its Sync, and each Sync is answered once', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.extended('SELECT 1'),
      f.parse('', 'SELECT 1/0'),
      f.bind(),
      f.execute(),
      f.extended('SELECT 2'),
      f.sync(),
      f.extended('SELECT 3'),
      f.sync(),
    )
    await client.expect('12TDC1EZ')
    await client.expect('12TDCZ')
  })

  // case 1
  story('leaves no statement, portal or reply of the discarded part', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('broken', 'SELEC'),
      f.parse('late', 'SELECT 1'),
      f.close('S', 'late'),
      f.run('late'),
      f.sync(),
    )
    await client.expect('EZ')
    const [unknown] = ofType(await client.roundTrip(f.run('late'), f.sync()), 'E')
    expect(unknown?.code).toBe('26000')
    client.send(f.parse('late', 'SELECT 2'), f.run('late'), f.sync())
    await client.expect('12DCZ')
  })

  // case 1: the statements before the error were prepared and stay, as Parse is not transactional.
  story('leaves the statements parsed before it', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('early', 'SELECT 5'), f.parse('broken', 'SELEC'), f.sync())
    await client.expect('1EZ')
    client.send(f.run('early'), f.sync())
    await client.expect('2DCZ')
  })

  // case 2
  story('arrives although neither Sync nor Flush was sent', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('', 'SELEC'))
    const [error] = await client.expect('E')
    expect(error).toMatchObject({ code: '42601' })
    client.send(f.sync())
    await client.expect('Z')
  })

  // case 2
  story('arrives on Flush, and the Sync that follows later is answered', async (stage) => {
    const client = await stage.connect()
    client.send(f.extended('SELECT 1'), f.parse('', 'SELEC'), f.flush())
    await client.expect('12TDCE')
    client.send(f.extended('SELECT 2'), f.flush())
    client.send(f.sync())
    await client.expect('Z')
    await client.query('SELECT 3')
  })

  // case 3: after an error in extended protocol PostgreSQL ignores even a simple Query until Sync.
  story('makes the server ignore a simple Query that comes before Sync', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('', 'SELEC'), f.query('SELECT 1'), f.sync())
    await client.expect('EZ')
    client.send(f.query('SELECT 2'))
    await client.expect('TDCZ')
  })

  // case 3: several ignored queries and function calls, then two Syncs.
  story('makes the server ignore every kind of request before Sync', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.bind('unknown'),
      f.query('SELECT 1'),
      f.functionCall(INT4_PLUS, [f.int4(1), f.int4(2)]),
      f.query(''),
      f.flush(),
      f.sync(),
      f.sync(),
    )
    await client.expect('EZZ')
    client.send(f.query('SELECT 2'))
    await client.expect('TDCZ')
  })

  // case 1: in an explicit transaction the pipeline after the error fails too, one error per Sync.
  story('inside a transaction fails every later batch until ROLLBACK', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.extended('BEGIN'),
      f.sync(),
      f.extended('SELECT 1/0'),
      f.sync(),
      f.extended('SELECT 1'),
      f.sync(),
    )
    client.send(f.extended('ROLLBACK'), f.sync())
    const reply = await client.receiveReplies(4)
    expect(ofType(reply, 'Z').map((ready) => ready.status)).toEqual(['T', 'E', 'E', 'I'])
  })
})

describe('extended messages without Sync', () => {
  // case 3: a driver in "savepoint mode" sends Query after Parse/Bind/Execute without Sync.
  story('are completed by a simple Query', async (stage) => {
    const client = await stage.connect()
    client.send(f.query('BEGIN'), f.query('SAVEPOINT a'))
    await client.expect('CZCZ')
    client.send(f.parse('s', 'SELECT 1'), f.run('s'), f.query('RELEASE a'))
    await client.expect('12DCCZ')
    client.send(f.run('s'), f.query('COMMIT'))
    await client.expect('2DCCZ')
  })

  // case 6
  story('are answered on Flush, message group by message group', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('s', 'SELECT $1::int4'), f.describeMessage('S', 's'), f.flush())
    await client.expect('1tT')
    client.send(f.bind('s', { values: ['7'] }), f.execute(), f.flush())
    await client.expect('2DC')
    client.send(f.bind('s', { values: ['8'] }), f.execute(), f.flush())
    await client.expect('2DC')
    client.send(f.sync())
    await client.expect('Z')
  })

  // case 6: A has an unfinished batch on the only server; B waits for it until A's Sync.
  pooled('keep the server until their Sync', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    a.send(f.parse('s', 'SELECT 1'), f.flush())
    await a.expect('1')
    b.send(f.query('SELECT 2'))
    a.send(f.run('s'), f.flush())
    await a.expect('2DC')
    a.send(f.run('s'), f.flush())
    await a.expect('2DC')
    expect(b.stream.unread, 'bytes that B received while A held the server').toBe(0)
    a.send(f.sync())
    await a.expect('Z')
    await b.expect('TDCZ')
  })

  // case 6: Flush alone owes no reply, so nothing may wait for one.
  story('may be a Flush alone', async (stage) => {
    const client = await stage.connect()
    client.send(f.flush())
    client.send(f.query('SELECT 1'))
    await client.expect('TDCZ')
    client.send(f.flush(), f.sync(), f.flush())
    await client.expect('Z')
  })
})

describe('Sync', () => {
  // case 22
  story('with nothing before it is answered once', async (stage) => {
    const client = await stage.connect()
    client.send(f.sync())
    await client.expect('Z')
    client.send(f.sync(), f.sync(), f.sync())
    await client.expect('ZZZ')
  })

  // case 22
  story('followed by other messages in the same segment does not swallow them', async (stage) => {
    const client = await stage.connect()
    client.send(f.sync(), f.query('SELECT 1'), f.sync(), f.extended('SELECT 2'), f.sync(), f.sync())
    await client.expect('ZTDCZZ12TDCZZ')
  })

  // case 23: the deferred constraint is checked by the commit that Sync causes.
  story('may itself fail, and is still answered by one ReadyForQuery', async (stage) => {
    await stage.sql('CREATE TABLE unique_late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)')
    const client = await stage.connect()
    client.send(f.parse('put', 'INSERT INTO unique_late VALUES (1)'), f.run('put'), f.run('put'), f.sync())
    const reply = await client.expect('12C2CEZ')
    expect(reply.at(-2)).toMatchObject({ code: '23505' })
    client.send(f.run('put'), f.sync())
    await client.expect('2CZ')
  })
})

describe('a pipeline', () => {
  story('of many batches in one segment is answered batch by batch', async (stage) => {
    const client = await stage.connect()
    const batches = Array.from({ length: BATCHES }, (_, index) => [
      f.bind('echo', { values: [String(index)] }),
      f.execute(),
      f.sync(),
    ])
    client.send(f.parse('echo', 'SELECT $1::int4'), ...batches.flat())
    const reply = await client.receiveReplies(BATCHES)
    expect(rows(reply).map(([cell]) => Number(cell))).toEqual(batches.map((_, index) => index))
  })

  story('of many statements in one batch is answered in order', async (stage) => {
    const client = await stage.connect()
    const messages = Array.from({ length: BATCHES }, (_, index) =>
      f.extended('SELECT $1::int4', [String(index)]),
    )
    const reply = await client.roundTrip(...messages, f.sync())
    expect(rows(reply)).toHaveLength(BATCHES)
  })

  story('that arrives byte by byte is answered like one that arrives at once', async (stage) => {
    const client = await stage.connect()
    const bytes = Buffer.concat([
      f.parse('s', 'SELECT $1::text, $2::text'),
      f.describeMessage('S', 's'),
      f.bind('s', { values: ['a', null] }),
      f.execute(),
      f.close('S', 's'),
      f.sync(),
      f.query('SELECT 1; SELECT 2'),
      f.bind('s'),
      f.sync(),
    ])
    await client.sendBytes(bytes, { every: 1 })
    await client.expect('1tT2DC3Z')
    await client.expect('TDCTDCZ')
    await client.expect('EZ')
  })

  // Every split of two messages into two segments.
  pooled('cut in two at any byte is understood', async (stage) => {
    const client = await stage.connect()
    const bytes = Buffer.concat([f.parse('s', 'SELECT 1'), f.run('s'), f.close('S', 's'), f.sync()])
    for (let cut = 1; cut < bytes.length; cut += 1) {
      await client.sendBytes(bytes.subarray(0, cut))
      client.send(bytes.subarray(cut))
      await client.expect('12DC3Z')
    }
  })

  // A second client has the statement on the server already: ParseComplete is made up at its own place (case 12).
  story('with statements that the server already has keeps the order of replies', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('one', 'SELECT 1'), f.parse('two', 'SELECT $1::int4'), f.sync())
    b.send(
      f.parse('first', 'SELECT 1'),
      f.bind('first'),
      f.describeMessage('P'),
      f.parse('second', 'SELECT $1::int4'),
      f.describeMessage('S', 'second'),
      f.execute(),
      f.parse('third', 'SELECT 1'),
      f.parse('fourth', "SET application_name = 'x'"),
      f.describeMessage('S', 'fourth'),
      f.run('second', ['4']),
      f.close('S', 'second'),
      f.run('third'),
      f.sync(),
    )
    await b.expect('12T1tTDC11tn2DC32DCZ')
  })
})

describe('Bind', () => {
  // case 20
  story('keeps none, one or as many format codes as there are values', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('sum', 'SELECT $1::int4 + $2::int4, $1::text'), f.sync())
    const binary = [f.int4(3), f.int4(4)]
    const reply = await client.roundTrip(
      ...[
        f.bind('sum', { values: ['3', '4'] }),
        f.bind('sum', { values: binary, formats: [1] }),
        f.bind('sum', { values: ['3', f.int4(4)], formats: [0, 1] }),
        f.bind('sum', { values: binary, formats: [1, 1], resultFormats: [1] }),
        f.bind('sum', { values: [null, '4'], formats: [0], resultFormats: [1, 0] }),
      ].flatMap((message) => [message, f.execute()]),
      f.sync(),
    )
    expect(letters(reply)).toBe('2DC2DC2DC2DC2DCZ')
  })

  story('with the wrong number of values answers 08P01 and the client lives on', async (stage) => {
    const client = await stage.connect()
    const reply = await client.roundTrip(f.parse('', 'SELECT $1::int4'), f.bind(), f.execute(), f.sync())
    expect(ofType(reply, 'E')[0]?.code).toBe('08P01')
    await client.query('SELECT 1')
  })

  story('carries values of any bytes and of many kilobytes', async (stage) => {
    const client = await stage.connect()
    const big = Buffer.alloc(300_000, 'x')
    const bytes = Buffer.from([0, 1, 2, 255])
    const statement = f.parse('', 'SELECT $1::bytea, length($2::text)', [17, 25])
    client.send(
      statement,
      f.bind('', { values: [bytes, big], formats: [1, 0], resultFormats: [1, 0] }),
      f.execute(),
    )
    client.send(f.sync())
    await client.expect('12DCZ')
  })
})

describe('FunctionCall', () => {
  // case 26
  story('is answered by its result and one ReadyForQuery', async (stage) => {
    const client = await stage.connect()
    client.send(f.functionCall(INT4_PLUS, [f.int4(20), f.int4(22)]))
    const [result] = await client.expect('VZ')
    expect(result).toMatchObject({ value: f.int4(42) })
    client.send(f.functionCall(INT4_PLUS, [f.int4(1), null]))
    await client.expect('VZ')
  })

  // case 26
  story('that fails is answered by an error and one ReadyForQuery, and needs no Sync', async (stage) => {
    const client = await stage.connect()
    client.send(f.functionCall(1, []), f.query('SELECT 1'))
    await client.expect('EZTDCZ')
  })

  // case 26: drivers read and write large objects this way.
  story('works inside a transaction and between other requests', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.query('BEGIN'),
      f.functionCall(INT4_PLUS, [f.int4(1), f.int4(2)]),
      f.extended('SELECT 1'),
      f.sync(),
    )
    client.send(f.functionCall(INT4_PLUS, [f.int4(3), f.int4(4)]), f.query('COMMIT'))
    await client.expect('CZVZ12TDCZVZCZ')
  })
})
