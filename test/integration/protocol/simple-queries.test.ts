import { describe, expect } from 'vitest'
import { isMessage, letters, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Simple queries: several in a segment, several statements in one, empty ones, and those that want no block. */

const { story, pooled } = stories()

describe('several Query messages in one segment', () => {
  // case 4
  story('are answered one by one', async (stage) => {
    const client = await stage.connect()
    const texts = ['SELECT 1', 'SELECT 2', 'BEGIN', 'SELECT 3', 'COMMIT', 'SELEC', 'SELECT 4']
    client.send(...texts.map((text) => f.query(text)))
    const reply = await client.receiveReplies(texts.length)
    expect(letters(reply)).toBe('TDCZTDCZCZTDCZCZEZTDCZ')
    expect(ofType(reply, 'Z').map((ready) => ready.status)).toEqual(['I', 'I', 'T', 'T', 'I', 'I', 'I'])
  })

  // case 4: A's and B's queries share the only server; each gets its own answers in its own order.
  story('of several clients are never mixed up', async (stage) => {
    const clients = await Promise.all(['a', 'b', 'c', 'd'].map(() => stage.connect()))
    for (const [index, client] of clients.entries()) {
      client.send(...[1, 2, 3].map((number) => f.query(`SELECT ${index * 10 + number}`)))
    }
    for (const [index, client] of clients.entries()) {
      const reply = await client.receiveReplies(3)
      expect(rows(reply).map(([cell]) => Number(cell))).toEqual(
        [1, 2, 3].map((number) => index * 10 + number),
      )
    }
  })

  // case 4: the middle one leaves a transaction open, so the third belongs to it.
  story('stay on one server while a transaction is open', async (stage) => {
    await stage.sql('CREATE TABLE counted (id int)')
    const a = await stage.connect()
    const b = await stage.connect()
    a.send(f.query('BEGIN; INSERT INTO counted VALUES (1)'), f.query('INSERT INTO counted VALUES (2)'))
    a.send(f.query('ROLLBACK'), f.query('SELECT count(*) FROM counted'))
    const reply = await a.receiveReplies(4)
    expect(rows(reply)).toEqual([['0']])
    await b.query('SELECT count(*) FROM counted')
  })
})

describe('several statements in one Query', () => {
  // case 27
  story('may end and begin transactions: only the last status counts', async (stage) => {
    await stage.sql('CREATE TABLE kept (id int)')
    const client = await stage.connect()
    for (const text of [
      'SELECT 1; SELECT 2',
      'BEGIN; SELECT 1; COMMIT; BEGIN; INSERT INTO kept VALUES (1)',
      'COMMIT; SELECT count(*) FROM kept; BEGIN',
      'SELECT 1/0; COMMIT; BEGIN',
      'ROLLBACK; SELECT 3; BEGIN; COMMIT; SELECT 4',
      'INSERT INTO kept VALUES (2); SELECT 1/0',
      'SELECT count(*) FROM kept',
      'BEGIN; SELECT 1/0',
      'SELECT 1; ROLLBACK',
      'COMMIT AND CHAIN; SELECT 1',
      'ROLLBACK',
      'SELECT 1;; ;SELECT 2;',
    ]) {
      await client.query(text)
    }
  })

  // case 27: A's text leaves a transaction open after an inner COMMIT, so B must not get in.
  pooled('that leave a transaction open keep the server', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN; COMMIT; BEGIN; SELECT 1')
    b.send(f.query('SELECT 2'))
    await a.query('SELECT 3; SELECT 4')
    expect(b.stream.unread).toBe(0)
    await a.query('COMMIT; SELECT 5')
    await b.expect('TDCZ')
  })
})

describe('an empty query', () => {
  // case 21
  story('is answered by EmptyQueryResponse', async (stage) => {
    const client = await stage.connect()
    for (const text of ['', ';', ' ;; ', '-- a comment', '/* another */']) client.send(f.query(text))
    await client.expect('IZ'.repeat(5))
  })

  // case 21
  story('in a transaction leaves it open', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    client.send(f.query(''))
    await client.expect('IZ')
    expect(client.status).toBe('T')
    await client.query('ROLLBACK')
  })
})

describe('a command that cannot run in a transaction block', () => {
  // case 41: both clients have parameters of their own, which the pooler must not set in the same command.
  story('works for clients with parameters of their own', async (stage) => {
    await stage.sql('CREATE TABLE indexed (id int)')
    const a = await stage.connect({ parameters: { application_name: 'a', TimeZone: 'Asia/Tokyo' } })
    const b = await stage.connect({ parameters: { application_name: 'b', DateStyle: 'German' } })
    await a.query('SELECT 1')
    expect(letters(await b.query('VACUUM indexed'))).toBe('CZ')
    expect(letters(await a.query('CREATE INDEX CONCURRENTLY ON indexed (id)'))).toBe('CZ')
    b.send(f.extended('VACUUM indexed'), f.sync())
    await b.expect('12nCZ')
  })

  // case 41
  story('fails inside one as PostgreSQL says', async (stage) => {
    await stage.sql('CREATE TABLE indexed (id int)')
    const client = await stage.connect()
    await client.query('BEGIN')
    expect(letters(await client.query('VACUUM indexed'))).toBe('EZ')
    await client.query('ROLLBACK')
    expect(letters(await client.query('VACUUM indexed; VACUUM indexed'))).toBe('EZ')
  })
})

describe('an error', () => {
  story('carries every field that PostgreSQL gives', async (stage) => {
    await stage.sql(`CREATE TABLE checked (id int CONSTRAINT positive CHECK (id > 0));
      CREATE FUNCTION complain() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ123', DETAIL = 'a detail', HINT = 'a hint', TABLE = 'checked';
      END $$`)
    const client = await stage.connect()
    await client.query('INSERT INTO checked VALUES (-1)')
    const reply = await client.query('SELECT complain()')
    const error = reply.find((message) => isMessage(message, 'E'))
    expect(error?.fields).toMatchObject({ C: 'ZZ123', D: 'a detail', H: 'a hint', t: 'checked' })
    await client.query('SELECT nothing')
  })

  story('of one client is not seen by the next on the same server', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    for (let turn = 0; turn < 5; turn += 1) {
      expect(letters(await a.query('SELECT 1/0'))).toBe('EZ')
      expect(letters(await b.query('SELECT 1'))).toBe('TDCZ')
    }
  })
})
