import { describe, expect } from 'vitest'
import { isMessage, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { stories } from '../../support/stories.ts'

/** Names of prepared statements, as one client sees them: like PostgreSQL, whichever server is leased. */

const { story } = stories()

async function errorCode(client: RawClient, ...messages: readonly Buffer[]): Promise<string | undefined> {
  const reply = await client.roundTrip(...messages, f.sync())
  return reply.find((message) => isMessage(message, 'E'))?.code
}

describe('a name that is not known', () => {
  // case 8
  story('answers 26000 to Bind and Describe, and the client lives on', async (stage) => {
    const client = await stage.connect()
    expect(await errorCode(client, f.run('nobody'))).toBe('26000')
    expect(await errorCode(client, f.describeMessage('S', 'nobody'))).toBe('26000')
    expect(await errorCode(client, f.bind(), f.execute())).toBe('26000')
    expect(await errorCode(client, f.describeMessage('S'))).toBe('26000')
    await client.query('SELECT 1')
  })

  // case 8
  story('answers 34000 to Execute and Describe of a portal, and the client lives on', async (stage) => {
    const client = await stage.connect()
    expect(await errorCode(client, f.execute('nobody'))).toBe('34000')
    expect(await errorCode(client, f.describeMessage('P', 'nobody'))).toBe('34000')
    expect(await errorCode(client, f.execute())).toBe('34000')
    await client.query('SELECT 1')
  })

  // case 8
  story('makes the rest of its pipeline void up to Sync', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.extended('SELECT 1'),
      f.run('nobody'),
      f.parse('later', 'SELECT 2'),
      f.run('later'),
      f.sync(),
    )
    client.send(f.run('later'), f.sync(), f.extended('SELECT 3'), f.sync())
    await client.expect('12TDCEZEZ12TDCZ')
  })

  // case 8
  story('fails the transaction that it is used in', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    expect(await errorCode(client, f.run('nobody'))).toBe('26000')
    expect(client.status).toBe('E')
    expect(await errorCode(client, f.extended('SELECT 1'))).toBe('25P02')
    await client.query('ROLLBACK')
    expect(client.status).toBe('I')
  })

  // case 9: some drivers close statements that they never prepared.
  story('is closed with CloseComplete', async (stage) => {
    const client = await stage.connect()
    client.send(f.close('S', 'nobody'), f.close('P', 'nobody'), f.sync())
    await client.expect('33Z')
    client.send(f.close('S'), f.close('P'), f.sync(), f.close('S', 'nobody'), f.sync())
    await client.expect('33Z3Z')
    client.send(f.extended('SELECT 1'), f.close('S', 'nobody'), f.extended('SELECT 2'), f.sync())
    await client.expect('12TDC312TDCZ')
    client.send(f.close('S', 'nobody'), f.flush())
    await client.expect('3')
    client.send(f.sync())
    await client.expect('Z')
  })
})

describe('a name in use', () => {
  // case 16
  story('answers 42P05 and stays what it was', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    expect(await errorCode(client, f.parse('s', 'SELECT 2'))).toBe('42P05')
    expect(await errorCode(client, f.parse('s', 'SELECT 1'))).toBe('42P05')
    expect(rows(await client.roundTrip(f.run('s'), f.sync()))).toEqual([['1']])
  })

  // case 16
  story('answers 42P05 inside one pipeline', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('s', 'SELECT 1'),
      f.parse('s', 'SELECT 2'),
      f.run('s'),
      f.sync(),
      f.run('s'),
      f.sync(),
    )
    await client.expect('1EZ2DCZ')
  })

  // case 16
  story('is free again after Close, also inside one pipeline', async (stage) => {
    const client = await stage.connect()
    client.send(f.parse('s', 'SELECT 1'), f.close('S', 's'), f.parse('s', 'SELECT 2'), f.run('s'), f.sync())
    await client.expect('1312DCZ')
    await client.roundTrip(f.close('S', 's'), f.sync())
    client.send(f.parse('s', 'SELECT 3'), f.run('s'), f.sync())
    await client.expect('12DCZ')
  })

  // Two clients of one server use one name for two texts.
  story('by another client is no obstacle', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('s', "SELECT 'a'"), f.sync())
    await b.roundTrip(f.parse('s', "SELECT 'b'"), f.sync())
    expect(rows(await a.roundTrip(f.run('s'), f.sync()))).toEqual([['a']])
    expect(rows(await b.roundTrip(f.run('s'), f.sync()))).toEqual([['b']])
    await a.roundTrip(f.close('S', 's'), f.sync())
    expect(rows(await b.roundTrip(f.run('s'), f.sync()))).toEqual([['b']])
    expect(await errorCode(a, f.run('s'))).toBe('26000')
  })
})

describe('names', () => {
  story('may be long, quoted, or anything but NUL', async (stage) => {
    const client = await stage.connect()
    for (const name of ['x'.repeat(300), 'é ü 語', '"quoted"', "it's", ' ', '1']) {
      client.send(
        f.parse(name, 'SELECT 1'),
        f.describeMessage('S', name),
        f.run(name),
        f.close('S', name),
        f.sync(),
      )
      await client.expect('1tT2DC3Z')
    }
  })

  story('differ by case', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.parse('S', 'SELECT 2'), f.sync())
    expect(rows(await client.roundTrip(f.run('S'), f.run('s'), f.sync()))).toEqual([['2'], ['1']])
  })

  // case 10
  story('of portals are not names of statements', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    client.send(
      f.parse('same', 'SELECT 1'),
      f.bind('same', { portal: 'same' }),
      f.close('P', 'same'),
      f.sync(),
    )
    await client.expect('123Z')
    expect(await errorCode(client, f.run('same'))).toBe(undefined)
    client.send(f.bind('same', { portal: 'same' }), f.close('S', 'same'), f.execute('same'), f.sync())
    await client.expect('23DCZ')
    await client.query('ROLLBACK')
    expect(await errorCode(client, f.run('same'))).toBe('26000')
  })
})

describe('Close', () => {
  // case 11
  story('right after Execute is answered in its place and forgets the name', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await b.roundTrip(f.parse('other', 'SELECT 1'), f.sync())
    a.send(f.parse('s', 'SELECT 1'), f.run('s'), f.close('S', 's'), f.extended('SELECT 2'), f.sync())
    await a.expect('12DC312TDCZ')
    expect(await errorCode(a, f.run('s'))).toBe('26000')
    expect(rows(await b.roundTrip(f.run('other'), f.sync()))).toEqual([['1']])
  })

  // case 11: the server ignores a Close after an error, so the name stays.
  story('that comes after an error has no effect', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    client.send(f.parse('', 'SELEC'), f.close('S', 's'), f.sync())
    await client.expect('EZ')
    expect(rows(await client.roundTrip(f.run('s'), f.sync()))).toEqual([['1']])
  })

  story('is allowed in a failed transaction', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    await client.query('BEGIN')
    await client.query('SELECT 1/0')
    client.send(f.close('S', 's'), f.sync())
    await client.expect('3Z')
    await client.query('ROLLBACK')
    expect(await errorCode(client, f.run('s'))).toBe('26000')
  })
})

describe('a Parse that fails', () => {
  // case 13
  story('leaves its name free', async (stage) => {
    const client = await stage.connect()
    expect(await errorCode(client, f.parse('s', 'SELECT * FROM not_yet'))).toBe('42P01')
    expect(await errorCode(client, f.run('s'))).toBe('26000')
    await stage.sql('CREATE TABLE not_yet (id int)')
    expect(await errorCode(client, f.parse('s', 'SELECT * FROM not_yet'), f.run('s'))).toBe(undefined)
  })

  // case 13: another client's good statement of the same name and text is not touched.
  story('is nobody else’s failure', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    expect(await errorCode(a, f.parse('s', 'SELECT * FROM later'))).toBe('42P01')
    await stage.sql('CREATE TABLE later (id int)')
    expect(await errorCode(b, f.parse('s', 'SELECT * FROM later'), f.run('s'))).toBe(undefined)
    expect(await errorCode(a, f.parse('s', 'SELECT * FROM later'), f.run('s'))).toBe(undefined)
  })

  // case 13
  story('in a failed transaction answers 25P02 and leaves the name free', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    await client.query('SELECT 1/0')
    expect(await errorCode(client, f.parse('s', 'SELECT 1'))).toBe('25P02')
    await client.query('ROLLBACK')
    client.send(f.parse('s', 'SELECT 1'), f.run('s'), f.sync())
    await client.expect('12DCZ')
  })

  story('with two commands in it answers 42601', async (stage) => {
    const client = await stage.connect()
    expect(await errorCode(client, f.parse('s', 'SELECT 1; SELECT 2'))).toBe('42601')
    expect(await errorCode(client, f.run('s'))).toBe('26000')
  })
})

describe('the unnamed statement', () => {
  // case 17
  story('is replaced by each Parse and destroyed by a simple Query', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('', 'SELECT 1'), f.sync())
    await client.roundTrip(f.parse('', 'SELECT 2'), f.sync())
    expect(rows(await client.roundTrip(f.run(''), f.sync()))).toEqual([['2']])
    expect(rows(await client.roundTrip(f.run(''), f.sync()))).toEqual([['2']])
    await client.query('SELECT 3')
    expect(await errorCode(client, f.run(''))).toBe('26000')
  })

  // case 17
  story('is destroyed by a Parse that fails and by Close', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('', 'SELECT 1'), f.sync())
    expect(await errorCode(client, f.parse('', 'SELEC'))).toBe('42601')
    await errorCode(client, f.run(''))
    await client.roundTrip(f.parse('', 'SELECT 1'), f.close('S'), f.sync())
    expect(await errorCode(client, f.run(''))).toBe('26000')
  })

  // case 18: A parses and describes; B uses the server with its own; A binds in its next batch.
  story('of one batch is there in the next, whoever used the server in between', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('', 'SELECT $1::int4 + 1'), f.describeMessage('S'), f.sync())
    await b.roundTrip(f.extended("SELECT 'b'"), f.sync())
    await b.query("SELECT 'simple'")
    a.send(f.bind('', { values: ['41'] }), f.describeMessage('P'), f.execute(), f.sync())
    await a.expect('2TDCZ')
    expect(await errorCode(b, f.run(''))).toBe('26000')
  })

  // case 18: the type OIDs of the Parse belong to it.
  story('keeps its parameter types across batches', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('', 'SELECT $1', [23]), f.sync())
    await b.roundTrip(f.parse('', 'SELECT $1', [25]), f.sync())
    a.send(f.describeMessage('S'), f.run('', ['1']), f.sync())
    b.send(f.describeMessage('S'), f.run('', ['x']), f.sync())
    await a.expect('tT2DCZ')
    await b.expect('tT2DCZ')
  })
})

describe('one text', () => {
  // case 25
  story('with other parameter types is another statement', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('s', 'SELECT $1', [23]), f.parse('t', 'SELECT $1', [25]), f.sync())
    await b.roundTrip(f.parse('s', 'SELECT $1', [20]), f.parse('t', 'SELECT $1'), f.sync())
    for (const client of [a, b, a]) {
      const reply = await client.roundTrip(f.describeMessage('S', 's'), f.describeMessage('S', 't'), f.sync())
      expect(ofType(reply, 't')).toHaveLength(2)
    }
  })

  // case 25
  story('under another search_path reads the other schema', async (stage) => {
    await stage.sql(`CREATE SCHEMA IF NOT EXISTS first; CREATE SCHEMA IF NOT EXISTS second;
      DROP TABLE IF EXISTS first.place, second.place;
      CREATE TABLE first.place AS SELECT 'first' AS name; CREATE TABLE second.place AS SELECT 'second' AS name`)
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('SET search_path = first')
    await b.query('SET search_path = second')
    const text = 'SELECT name FROM place'
    for (const client of [a, b]) await client.roundTrip(f.parse('s', text), f.sync())
    for (let turn = 0; turn < 3; turn += 1) {
      expect(rows(await a.roundTrip(f.run('s'), f.sync()))).toEqual([['first']])
      expect(rows(await b.roundTrip(f.run('s'), f.sync()))).toEqual([['second']])
    }
  })
})

describe('an empty statement', () => {
  // case 21
  story('is parsed, described and executed to EmptyQueryResponse', async (stage) => {
    const client = await stage.connect()
    for (const text of ['', ';', '-- nothing', ' /* nothing */ ']) {
      client.send(
        f.parse('s', text),
        f.describeMessage('S', 's'),
        f.bind('s'),
        f.describeMessage('P'),
        f.execute(),
      )
      client.send(f.close('S', 's'), f.sync())
      await client.expect('1tn2nI3Z')
    }
  })
})
