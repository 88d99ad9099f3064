import { describe, expect } from 'vitest'
import { isMessage, letters, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import type { Stage } from '../../support/stage.ts'
import { stories } from '../../support/stories.ts'

/** Prepared statements across servers: replay, eviction, DEALLOCATE, and plans that have become invalid. */

const { story, pooled } = stories()

const PID = 'SELECT pg_backend_pid()'

async function execute(client: RawClient, name: string): Promise<string | null | undefined> {
  const reply = await client.roundTrip(f.run(name), f.sync())
  const error = reply.find((message) => isMessage(message, 'E'))
  return error?.code ?? rows(reply)[0]?.[0]
}

/** Server-side statements of the pool's servers that this client can see on the next one it gets. */
async function preparedOnServer(client: RawClient): Promise<number> {
  return Number(await client.value('SELECT count(*) FROM pg_prepared_statements'))
}

/** A client that holds a server by a transaction, so that the next one to ask gets another server. */
async function holder(stage: Stage): Promise<RawClient> {
  const client = await stage.connect()
  await client.query('BEGIN')
  return client
}

describe('a statement on another server', () => {
  // case 7: A prepares on server 1; C holds server 1 in a transaction; A binds on server 2.
  pooled(
    'is prepared there silently',
    async (stage) => {
      const a = await stage.connect()
      a.send(f.parse('who', PID), f.describeMessage('S', 'who'), f.run('who'), f.sync())
      const first = rows(await a.expect('1tT2DCZ'))[0]?.[0]
      const c = await holder(stage)
      expect(await c.value(PID), 'the server that C holds').toBe(first)
      a.send(f.describeMessage('S', 'who'), f.run('who'), f.describeMessage('S', 'who'), f.sync())
      const second = rows(await a.expect('tT2DCtTZ'))[0]?.[0]
      expect(second).not.toBe(first)
      await c.query('COMMIT')
    },
    { poolSize: 2 },
  )

  // case 7: C holds the only server. pgbench -M prepared waits for the answer to each Parse before it lets its other
  // clients go on, those that hold servers among them: with more clients than servers it would wait for ever.
  pooled('that the pool has prepared before is parsed without waiting for a server', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('s', 'SELECT 42'), f.sync())
    const c = await holder(stage)
    b.send(f.parse('t', 'SELECT 42'), f.sync())
    await b.expect('1Z')
    b.send(f.run('t'), f.sync())
    await c.query('COMMIT')
    expect(rows(await b.expect('2DCZ'))).toEqual([['42']])
  })

  // case 7: the same, but the replayed Parse fails there because the table is gone: the error is the real one.
  pooled(
    'that can no longer be parsed answers with the real error, and the client lives on',
    async (stage) => {
      await stage.sql('CREATE TABLE short_lived (id int)')
      const a = await stage.connect()
      await a.roundTrip(f.parse('s', 'SELECT * FROM short_lived'), f.sync())
      const c = await holder(stage)
      await stage.sql('DROP TABLE short_lived')
      a.send(f.run('s'), f.sync())
      const [error] = await a.expect('EZ')
      expect(error).toMatchObject({ code: '42P01' })
      await stage.sql('CREATE TABLE short_lived (id int)')
      expect(letters(await a.roundTrip(f.run('s'), f.sync()))).toBe('2CZ')
      await c.query('COMMIT')
    },
    { poolSize: 2 },
  )

  // case 7: Describe in one batch, Bind in the next, Execute through a named portal in the third; servers change.
  story(
    'is described and bound as if nothing had happened',
    async (stage) => {
      const a = await stage.connect()
      await a.roundTrip(f.parse('s', 'SELECT $1::int4 AS number'), f.sync())
      const c = await holder(stage)
      a.send(f.describeMessage('S', 's'), f.sync())
      await a.expect('tTZ')
      await c.query('COMMIT')
      a.send(f.bind('s', { values: ['5'] }), f.describeMessage('P'), f.execute(), f.sync())
      await a.expect('2TDCZ')
    },
    { poolSize: 2 },
  )
})

describe('more statements than a server may keep', () => {
  const few = { pooler: { max_prepared_statements: 2 } }

  // case 15: the first name is evicted and used again inside the same batch.
  story(
    'are evicted and come back within one batch',
    async (stage) => {
      const client = await stage.connect()
      const names = ['a', 'b', 'c', 'd']
      client.send(...names.map((name) => f.parse(name, `SELECT '${name}'`)), f.sync())
      await client.expect('1111Z')
      client.send(...[...names, ...names, 'a', 'd', 'a'].map((name) => f.run(name)), f.sync())
      await client.expect(`${'2DC'.repeat(11)}Z`)
      client.send(
        f.run('b'),
        f.parse('e', 'SELECT 1'),
        f.run('b'),
        f.parse('', 'SELEC'),
        f.run('a'),
        f.sync(),
      )
      await client.expect('2DC12DCEZ')
      for (const name of names) expect(await execute(client, name)).toBe(name)
    },
    few,
  )

  // case 15
  pooled(
    'do not pile up on the server',
    async (stage) => {
      const client = await stage.connect()
      for (let index = 0; index < 30; index += 1) {
        await client.roundTrip(f.parse(`s${index}`, `SELECT ${index}`), f.sync())
      }
      expect(await execute(client, 's0')).toBe('0')
      expect(await preparedOnServer(client)).toBeLessThanOrEqual(3)
    },
    few,
  )

  // case 15: pairs of clients, one name each, different texts, random order, two servers of two statements each.
  story(
    'of many clients never answer for each other',
    async (stage) => {
      const clients = await Promise.all(Array.from({ length: 6 }, () => stage.connect()))
      const seen: (string | null | undefined)[] = []
      await Promise.all(
        clients.map(async (client, owner) => {
          for (const name of ['x', 'y', 'z']) {
            await client.roundTrip(f.parse(name, `SELECT '${owner}${name}'`), f.sync())
          }
          for (let turn = 0; turn < 20; turn += 1) {
            const name = 'xyz'.charAt((turn * 7 + owner) % 3)
            const answer = await execute(client, name)
            if (answer !== `${owner}${name}`) seen.push(answer)
          }
        }),
      )
      expect(seen).toEqual([])
    },
    { ...few, poolSize: 2 },
  )
})

describe('DEALLOCATE', () => {
  // case 35
  story('ALL and DISCARD ALL forget every name of this client', async (stage) => {
    const client = await stage.connect()
    for (const sql of ['DEALLOCATE ALL', 'DEALLOCATE PREPARE ALL', 'DISCARD ALL', 'discard all;']) {
      await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
      await client.query(sql)
      expect(await execute(client, 's'), sql).toBe('26000')
    }
    client.send(f.parse('s', 'SELECT 1'), f.run('s'), f.sync())
    await client.expect('12DCZ')
  })

  // case 35
  story('ALL in extended protocol forgets every name at its place in the pipeline', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.parse('s', 'SELECT 1'),
      f.extended('DEALLOCATE ALL'),
      f.parse('s', 'SELECT 2'),
      f.run('s'),
      f.sync(),
    )
    await client.expect('112nC12DCZ')
    expect(await execute(client, 's')).toBe('2')
    client.send(f.extended('DISCARD ALL'), f.sync())
    await client.expect('12nCZ')
    expect(await execute(client, 's')).toBe('26000')
  })

  // case 35: A's DEALLOCATE ALL on the shared server; B had prepared the same text and another one there.
  story('ALL of one client leaves the names of the other', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.roundTrip(f.parse('same', 'SELECT 1'), f.sync())
    await b.roundTrip(f.parse('same', 'SELECT 1'), f.parse('own', 'SELECT 2'), f.sync())
    await a.query('DEALLOCATE ALL')
    expect(await execute(b, 'same')).toBe('1')
    expect(await execute(b, 'own')).toBe('2')
    await a.query('DISCARD ALL')
    expect(await execute(b, 'own')).toBe('2')
    expect(await execute(a, 'same')).toBe('26000')
  })

  // case 35
  story('of one name forgets that name, simple or extended', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(
      f.parse('one', 'SELECT 1'),
      f.parse('Two', 'SELECT 2'),
      f.parse('three', 'SELECT 3'),
      f.sync(),
    )
    await client.query('DEALLOCATE one')
    await client.query('DEALLOCATE PREPARE "Two"')
    expect(await execute(client, 'one')).toBe('26000')
    expect(await execute(client, 'Two')).toBe('26000')
    expect(await execute(client, 'three')).toBe('3')
    client.send(f.extended('DEALLOCATE three'), f.sync())
    await client.expect('12nCZ')
    expect(await execute(client, 'three')).toBe('26000')
  })

  // case 35
  story('of a name that is not known answers 26000', async (stage) => {
    const client = await stage.connect()
    expect(letters(await client.query('DEALLOCATE nobody'))).toBe('EZ')
    client.send(f.extended('DEALLOCATE nobody'), f.sync(), f.extended('SELECT 1'), f.sync())
    await client.expect('12nEZ12TDCZ')
  })

  // case 35: preparing is not transactional, so ROLLBACK brings nothing back.
  story('inside a transaction that is rolled back stays done', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    await client.query('BEGIN')
    await client.query('DEALLOCATE ALL')
    await client.query('ROLLBACK')
    expect(await execute(client, 's')).toBe('26000')
  })

  // case 35
  story('by DISCARD ALL inside a transaction fails and changes nothing', async (stage) => {
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
    await client.query('BEGIN')
    expect(letters(await client.query('DISCARD ALL'))).toBe('EZ')
    await client.query('ROLLBACK')
    expect(await execute(client, 's')).toBe('1')
    client.send(f.extended('SELECT 1'), f.extended('DISCARD ALL'), f.sync())
    await client.receiveUntil('Z')
    expect(await execute(client, 's')).toBe('1')
  })
})

describe('PREPARE in SQL', () => {
  // case 36: inside one transaction the server stays, so it works there as anywhere.
  story('works within a transaction', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    await client.query('PREPARE p (int) AS SELECT $1 + 1')
    expect(rows(await client.query('EXECUTE p (41)'))).toEqual([['42']])
    await client.query('DEALLOCATE p')
    await client.query('COMMIT')
    await client.query('PREPARE q AS SELECT 1; EXECUTE q; DEALLOCATE q')
  })
})

describe('a plan whose result type has changed', () => {
  const TABLE = 'CREATE TABLE changing (id int); INSERT INTO changing VALUES (1)'
  const CHANGE = 'ALTER TABLE changing ADD COLUMN more int DEFAULT 2'

  // case 24: PostgreSQL alone answers 0A000 here, for ever. The client asks for the columns, so it can be repeated.
  pooled('is made again without the client noticing if it asks for the columns', async (stage) => {
    await stage.sql(TABLE)
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT * FROM changing'), f.run('s'), f.sync())
    await stage.sql(CHANGE)
    client.send(f.bind('s'), f.describeMessage('P'), f.execute(), f.sync())
    expect(rows(await client.expect('2TDCZ'))).toEqual([['1', '2']])
    client.send(f.run('s'), f.sync())
    await client.expect('2DCZ')
  })

  // case 24: a client that was never told the columns cannot have remembered them.
  pooled('is made again for a client that was never told the columns', async (stage) => {
    await stage.sql(TABLE)
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT * FROM changing'), f.run('s'), f.sync())
    await stage.sql(CHANGE)
    client.send(f.run('s'), f.sync())
    expect(rows(await client.expect('2DCZ'))).toEqual([['1', '2']])
  })

  // case 24: these clients remember the columns of old; each must hear that they have changed, or ask for them.
  pooled('is an error once for a client that relies on the columns it was told', async (stage) => {
    await stage.sql(TABLE)
    const a = await stage.connect()
    const b = await stage.connect()
    const text = 'SELECT * FROM changing'
    for (const client of [a, b]) {
      await client.roundTrip(f.parse('s', text), f.describeMessage('S', 's'), f.run('s'), f.sync())
    }
    await stage.sql(CHANGE)
    a.send(f.run('s'), f.sync())
    const [error] = await a.expect('EZ')
    expect(error).toMatchObject({ code: '0A000' })
    a.send(f.describeMessage('S', 's'), f.run('s'), f.sync())
    expect(rows(await a.expect('tT2DCZ'))).toEqual([['1', '2']])
    b.send(f.bind('s'), f.describeMessage('P'), f.execute(), f.sync())
    await b.expect('2TDCZ')
  })

  // case 24: the transaction has failed on the server, so the client must hear of it; the next use works.
  pooled('fails a transaction once and works in the next', async (stage) => {
    await stage.sql(TABLE)
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT * FROM changing'), f.run('s'), f.sync())
    await stage.sql(CHANGE)
    await client.query('BEGIN')
    client.send(f.run('s'), f.sync())
    const [error] = await client.expect('EZ')
    expect(error).toMatchObject({ code: '0A000' })
    await client.query('ROLLBACK')
    client.send(f.run('s'), f.sync())
    expect(rows(await client.expect('2DCZ'))).toEqual([['1', '2']])
  })

  // case 24: rows of an earlier statement of the batch are out already, so nothing can be repeated.
  pooled('after replies of the same batch is an error once', async (stage) => {
    await stage.sql(TABLE)
    const client = await stage.connect()
    await client.roundTrip(f.parse('s', 'SELECT * FROM changing'), f.run('s'), f.sync())
    await stage.sql(CHANGE)
    client.send(f.extended('SELECT 1'), f.flush())
    await client.expect('12TDC')
    client.send(f.run('s'), f.sync())
    const [error] = await client.expect('EZ')
    expect(error).toMatchObject({ code: '0A000' })
    client.send(f.run('s'), f.sync())
    await client.expect('2DCZ')
  })
})
