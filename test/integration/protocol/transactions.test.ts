import { describe, expect } from 'vitest'
import { isMessage, letters, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Transactions: the server stays until the status byte says so, failed ones too; portals live inside them. */

const { story, pooled } = stories()

describe('a transaction', () => {
  // A and B share one server; A's transaction keeps it through every pause, and B gets it right after COMMIT.
  pooled('keeps its server to the end, and the next client waits for it', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    const server = await a.value('SELECT pg_backend_pid()')
    b.send(f.query('SELECT pg_backend_pid()'))
    a.send(f.extended('SELECT 1'), f.sync())
    await a.expect('12TDCZ')
    expect(await a.value('SELECT pg_backend_pid()')).toBe(server)
    expect(b.stream.unread).toBe(0)
    await a.query('COMMIT')
    const reply = await b.expect('TDCZ')
    expect(rows(reply)).toEqual([[server]])
  })

  // A fails; the server waits in state 'E' for A's ROLLBACK and serves nobody else.
  pooled('that has failed keeps its server until it is ended', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    await a.query('SELECT 1/0')
    expect(a.status).toBe('E')
    b.send(f.query('SELECT 1'))
    expect(letters(await a.query('SELECT 2'))).toBe('EZ')
    expect(b.stream.unread).toBe(0)
    await a.query('ROLLBACK')
    await b.expect('TDCZ')
  })

  // Waiters are served in the order in which they came.
  pooled('hands its server to the client that has waited longest', async (stage) => {
    const a = await stage.connect()
    await a.query('BEGIN')
    await a.query('CREATE TABLE arrivals (at serial, who int)')
    const waiters = []
    for (let who = 0; who < 5; who += 1) {
      const waiter = await stage.connect()
      waiter.send(f.query(`INSERT INTO arrivals (who) VALUES (${who})`))
      waiters.push(waiter)
      // One more message of A has been answered, so the pooler has read the waiter's query as well.
      await a.query('SELECT 1')
    }
    await a.query('COMMIT')
    for (const waiter of waiters) await waiter.expect('CZ')
    const order = await stage.sql<{ who: number }>('SELECT who FROM arrivals ORDER BY at')
    expect(order.map(({ who }) => who)).toEqual([0, 1, 2, 3, 4])
  })

  // case 28
  story('begun twice warns, and begun when failed answers 25P02', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    const warned = await client.query('BEGIN')
    expect(ofType(warned, 'N')[0]?.code).toBe('25001')
    await client.query('SELECT 1/0')
    const refused = await client.query('BEGIN')
    expect(ofType(refused, 'E')[0]?.code).toBe('25P02')
    await client.query('ROLLBACK')
    const idle = await client.query('ROLLBACK')
    expect(letters(idle)).toBe('NCZ')
  })

  // case 29
  story('that has failed answers COMMIT with ROLLBACK', async (stage) => {
    await stage.sql('CREATE TABLE lost (id int)')
    const client = await stage.connect()
    await client.query('BEGIN')
    await client.query('INSERT INTO lost VALUES (1)')
    await client.query('SELECT 1/0')
    const reply = await client.query('COMMIT')
    expect(reply.find((message) => isMessage(message, 'C'))).toMatchObject({ tag: 'ROLLBACK' })
    expect(rows(await client.query('SELECT * FROM lost'))).toEqual([])
  })

  // case 31
  story('with savepoints is left and entered as PostgreSQL says', async (stage) => {
    await stage.sql('CREATE TABLE points (id int)')
    const client = await stage.connect()
    const statuses: string[] = []
    for (const text of [
      'BEGIN',
      'INSERT INTO points VALUES (1)',
      'SAVEPOINT a',
      'SELECT 1/0',
      'ROLLBACK TO a',
      'INSERT INTO points VALUES (2)',
      'RELEASE a',
      'COMMIT',
      'SELECT * FROM points',
      'SAVEPOINT outside',
    ]) {
      await client.query(text)
      statuses.push(client.status)
    }
    expect(statuses.join('')).toBe('TTTETTTIII')
  })

  // case 31: COMMIT AND CHAIN ends one transaction and begins the next: B does not get in between.
  pooled('chained to the next keeps the server', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    b.send(f.query('SELECT 1'))
    await a.query('COMMIT AND CHAIN')
    expect(a.status).toBe('T')
    await a.query('ROLLBACK AND CHAIN')
    await a.query('SELECT 2')
    expect(b.stream.unread).toBe(0)
    await a.query('COMMIT')
    await b.expect('TDCZ')
  })

  // case 37: what lives until the end of the transaction needs no session.
  story('may hold temporary tables, advisory locks and cursors', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    await a.query('CREATE TEMP TABLE own (id int) ON COMMIT DROP')
    await a.query('INSERT INTO own SELECT generate_series(1, 3)')
    await a.query('SELECT pg_advisory_xact_lock(77)')
    await a.query('DECLARE walk CURSOR FOR SELECT id FROM own ORDER BY id')
    await a.query('FETCH 2 FROM walk')
    await a.query('FETCH 2 FROM walk')
    await a.query('CLOSE walk')
    await a.query('COMMIT')
    await b.query('SELECT * FROM own')
    await b.query('SELECT pg_try_advisory_xact_lock(77)')
  })

  story('sees its own isolation level and nothing of the last one', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY')
    await a.query('SHOW transaction_isolation')
    await a.query('COMMIT')
    expect(await b.value('SHOW transaction_isolation')).toBe('read committed')
    await b.query('BEGIN')
    expect(await b.value('SHOW transaction_read_only')).toBe('off')
    await b.query('ROLLBACK')
  })

  // case 39: the server ends its own session; the client gets its FATAL once and is closed.
  story('left idle too long for PostgreSQL ends with 25P03 and the connection', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    await a.query("SET LOCAL idle_in_transaction_session_timeout = '30ms'")
    const [last, ...more] = await a.receiveRest()
    expect(last).toMatchObject({ type: 'E', code: '25P03' })
    expect(more).toEqual([])
    await b.query('SELECT 1')
  })
})

describe('a portal', () => {
  // case 19
  story('with a row limit is suspended and continued in later batches', async (stage) => {
    const client = await stage.connect()
    client.send(f.query('BEGIN'), f.parse('s', 'SELECT generate_series(1, 5)'), f.bind('s', { portal: 'p' }))
    client.send(f.execute('p', 2), f.sync())
    await client.expect('CZ12DDsZ')
    client.send(f.execute('p', 2), f.sync())
    await client.expect('DDsZ')
    client.send(f.describeMessage('P', 'p'), f.execute('p', 2), f.close('P', 'p'), f.sync())
    await client.expect('TDC3Z')
    client.send(f.query('COMMIT'))
    await client.expect('CZ')
  })

  // case 19: two portals of one statement, told apart by their names.
  story('keeps its name', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    client.send(
      f.parse('s', 'SELECT $1::int4 + generate_series(1, 3)'),
      f.bind('s', { portal: 'one', values: ['10'] }),
    )
    client.send(f.bind('s', { portal: 'two', values: ['20'] }), f.sync())
    await client.expect('122Z')
    client.send(f.execute('two', 1), f.execute('one', 1), f.execute('two', 1), f.execute('one'), f.sync())
    const reply = await client.expect('DsDsDsDDCZ')
    expect(rows(reply)).toEqual([['21'], ['11'], ['22'], ['12'], ['13']])
    client.send(f.bind('s', { portal: 'one', values: ['30'] }), f.sync())
    const [duplicate] = await client.expect('EZ')
    expect(duplicate).toMatchObject({ code: '42P03' })
    await client.query('ROLLBACK')
  })

  // case 19
  story('ends with its transaction', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('s', 'SELECT generate_series(1, 3)'),
      f.bind('s', { portal: 'p' }),
      f.execute('p', 1),
      f.sync(),
    )
    await client.expect('12DsZ')
    client.send(f.execute('p', 1), f.sync())
    const [gone] = await client.expect('EZ')
    expect(gone).toMatchObject({ code: '34000' })
  })

  // case 19: without Sync there is no end of the implicit transaction, so the portal goes on after Flush.
  story('goes on after Flush', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('', 'SELECT generate_series(1, 3)'),
      f.bind('', { portal: 'p' }),
      f.execute('p', 1),
      f.flush(),
    )
    await client.expect('12Ds')
    client.send(f.execute('p', 1), f.flush())
    await client.expect('Ds')
    client.send(f.execute('p'), f.execute('p'), f.sync())
    await client.expect('DCCZ')
  })

  // case 19: the portal outlives the statement that it was bound from.
  story('outlives its statement', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    client.send(
      f.parse('s', 'SELECT generate_series(1, 3)'),
      f.bind('s', { portal: 'p' }),
      f.close('S', 's'),
      f.sync(),
    )
    await client.expect('123Z')
    client.send(f.execute('p'), f.sync())
    await client.expect('DDDCZ')
    await client.query('COMMIT')
  })

  // case 19: A's suspended portal keeps the only server; B waits for A's COMMIT.
  pooled('keeps the server while its transaction is open', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN')
    a.send(
      f.parse('s', 'SELECT generate_series(1, 3)'),
      f.bind('s', { portal: 'p' }),
      f.execute('p', 1),
      f.sync(),
    )
    await a.expect('12DsZ')
    b.send(f.query('SELECT 1'))
    a.send(f.execute('p', 1), f.sync())
    await a.expect('DsZ')
    expect(b.stream.unread).toBe(0)
    await a.query('COMMIT')
    await b.expect('TDCZ')
  })
})
