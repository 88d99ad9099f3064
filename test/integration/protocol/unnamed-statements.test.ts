import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { Stage } from '../../support/stage.ts'
import { stories } from '../../support/stories.ts'

/** prepare_unnamed where a plan made earlier might show: everything is as if it had been parsed just now. */

const { story, pooled } = stories()

const on = { pooler: { prepare_unnamed: true } }
const INT4 = 23

type Client = Awaited<ReturnType<Stage['connect']>>

async function times(client: Client, count: number, sql: string, values: (string | null)[] = []) {
  for (let i = 0; i < count; i++)
    await client.roundTrip(
      f.parse('', sql),
      f.bind('', { values }),
      f.describeMessage('P', ''),
      f.execute(),
      f.sync(),
    )
}

describe('behind a change of the schema', () => {
  for (const change of [
    'ALTER TABLE t ADD b int DEFAULT 7',
    'ALTER TABLE t ALTER a TYPE text',
    'DROP TABLE t',
    'DROP TABLE t; CREATE TABLE t AS SELECT 5::bigint AS c, 6 AS d',
  ]) {
    story(
      `${change}: the columns are the new ones`,
      async (stage) => {
        const client = await stage.connect()
        const other = await stage.connect()
        await client.query('CREATE TABLE t AS SELECT 1 AS a')
        await times(client, 3, 'SELECT * FROM t')
        await other.query(change)
        await times(client, 3, 'SELECT * FROM t')
      },
      on,
    )
    story(
      `${change} that the pooler has not seen: the columns are the new ones`,
      async (stage) => {
        const client = await stage.connect()
        await client.query('CREATE TABLE t AS SELECT 1 AS a')
        await client.query(
          `CREATE FUNCTION change() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ${change}; RETURN 1; END $$`,
        )
        await times(client, 3, 'SELECT * FROM t')
        await client.query('SELECT change()')
        await times(client, 3, 'SELECT * FROM t')
      },
      on,
    )
  }

  story(
    'the type of a parameter is inferred anew',
    async (stage) => {
      const client = await stage.connect()
      await client.query('CREATE TABLE t (a int)')
      await times(client, 3, 'INSERT INTO t VALUES ($1)', ['1'])
      await client.query('ALTER TABLE t ALTER a TYPE bigint')
      await times(client, 2, 'INSERT INTO t VALUES ($1)', ['5000000000'])
    },
    on,
  )

  story(
    'a transaction block is not aborted by it',
    async (stage) => {
      const client = await stage.connect()
      await client.query('CREATE TABLE t AS SELECT 1 AS a')
      await times(client, 3, 'SELECT * FROM t')
      await client.query('BEGIN')
      await client.query('ALTER TABLE t ADD b int')
      await times(client, 2, 'SELECT * FROM t')
      await client.query('COMMIT')
      await times(client, 2, 'SELECT * FROM t')
    },
    on,
  )
})

story(
  'under another search_path the text means the other table',
  async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE t AS SELECT 1 AS a')
    await client.query('CREATE SCHEMA other; CREATE TABLE other.t AS SELECT 2 AS a, 3 AS b')
    await times(client, 3, 'SELECT * FROM t')
    await client.query('SET search_path TO other')
    await times(client, 3, 'SELECT * FROM t')
    await client.query('RESET search_path')
    await times(client, 2, 'SELECT * FROM t')
    await client.query('SET client_min_messages TO warning; DROP SCHEMA other CASCADE')
  },
  on,
)

describe('behind a table that comes to stand before the one it meant, the text means the new one', () => {
  const other = 'other.t AS SELECT 2 AS a, 3 AS b'
  const created: Record<string, (client: Client) => Promise<unknown>> = {
    'CREATE TABLE AS': (client) => client.query(`CREATE TABLE ${other}`),
    'CREATE TABLE AS behind a comment': (client) => client.query(`/* one */ -- two\nCREATE TABLE ${other}`),
    'CREATE TABLE AS behind another statement': (client) => client.query(`SELECT 1; CREATE TABLE ${other}`),
    'SELECT INTO': (client) => client.query('SELECT 2 AS a, 3 AS b INTO other.t'),
    'SELECT INTO as an unnamed statement': (client) => times(client, 1, 'SELECT 2 AS a, 3 AS b INTO other.t'),
    'WITH ... SELECT INTO behind a comment': (client) =>
      client.query('/* one */ WITH w AS (SELECT 2 AS a) SELECT a, 3 AS b INTO other.t FROM w'),
    'CREATE TABLE AS as a named statement': (client) =>
      client.roundTrip(f.parse('make', `CREATE TABLE ${other}`), f.run('make'), f.sync()),
    'CREATE TABLE AS with EXPLAIN ANALYZE': (client) =>
      client.query(
        `EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) CREATE TABLE ${other}`,
      ),
  }
  for (const [name, create] of Object.entries(created)) {
    story(
      name,
      async (stage) => {
        const client = await stage.connect({ parameters: { search_path: 'other, public' } })
        const maker = await stage.connect()
        await maker.query('SET client_min_messages TO warning; DROP SCHEMA IF EXISTS other CASCADE')
        await maker.query('CREATE SCHEMA other; CREATE TABLE t AS SELECT 1 AS a')
        await times(client, 3, 'SELECT * FROM t')
        await create(maker)
        await times(client, 2, 'SELECT * FROM t')
      },
      on,
    )
  }
})

// A Parse in front of the second Bind would end the command that the first portal is still in.
story(
  'bound twice in a batch means the same to both, whatever a suspended portal has changed',
  async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE t AS SELECT generate_series(1, 2) AS a')
    const parse = f.parse('', 'UPDATE t SET a = a + 10 RETURNING a')
    for (let i = 0; i < 2; i++) await client.roundTrip(parse, f.sync())
    await client.roundTrip(
      ...[parse, f.bind(), f.execute('', 2)],
      ...[f.bind('', { portal: 'second' }), f.execute('second'), f.sync()],
    )
  },
  on,
)

// Another client has the statement parsed anew elsewhere in between.
story(
  'bound twice in a batch is the same to both, although a table was created meanwhile',
  async (stage) => {
    const client = await stage.connect()
    const other = await stage.connect()
    await client.query('CREATE TABLE t AS SELECT generate_series(1, 2) AS a')
    const parse = f.parse('', 'UPDATE t SET a = a + 10 RETURNING a')
    for (let i = 0; i < 2; i++) await client.roundTrip(parse, f.sync())
    client.send(parse, f.bind(), f.execute('', 2), f.flush())
    await client.receiveUntil('s')
    await other.query('CREATE TABLE u (a int)')
    await other.roundTrip(parse, f.sync())
    await client.roundTrip(f.bind('', { portal: 'second' }), f.execute('second'), f.sync())
  },
  { ...on, poolSize: 2 },
)

// DEALLOCATE ALL takes away names, of which the client has used none.
for (const flushed of [true, false])
  story(
    `bound again behind a DEALLOCATE ALL of its batch is still there${flushed ? ', also when that was answered' : ''}`,
    async (stage) => {
      const client = await stage.connect()
      await client.roundTrip(f.parse('all', 'DEALLOCATE ALL'), f.sync())
      const parse = f.parse('', 'SELECT 42')
      for (let i = 0; i < 3; i++) await client.roundTrip(parse, f.bind(), f.execute(), f.sync())
      client.send(parse, f.bind(), f.execute(), f.run('all'))
      if (flushed) {
        client.send(f.flush())
        for (let i = 0; i < 2; i++) await client.receiveUntil('C')
      }
      await client.roundTrip(f.bind(), f.execute(), f.sync())
    },
    on,
  )

// The ROLLBACK that the pooler sends behind the one who left destroys it.
story('outlives a client that left the server in a transaction', async (stage) => {
  const other = await stage.connect()
  const client = await stage.connect()
  await other.roundTrip(f.parse('begin', 'BEGIN'), f.sync())
  await client.roundTrip(f.parse('', "SELECT 'mine'"), f.sync())
  await other.roundTrip(f.run('begin'), f.sync())
  other.destroy()
  await client.roundTrip(f.bind(), f.execute(), f.sync())
})

describe('errors', () => {
  // The table is dropped past the pooler, which repeats the batch.
  for (const flushed of [true, false])
    pooled(
      `of a Parse that is repeated leave no unnamed statement${flushed ? ', also when it was answered before' : ', and come in its place'}`,
      async (stage) => {
        const client = await stage.connect()
        const other = await stage.connect()
        await stage.sql('CREATE TABLE t AS SELECT 1 AS a')
        const [first, second] = [f.parse('', "SELECT 'first'"), f.parse('', 'SELECT * FROM t')]
        for (const parse of [first, first, second, second]) await other.roundTrip(parse, f.sync())
        await stage.sql('DROP TABLE t')
        client.send(first, second, ...(flushed ? [f.flush()] : []))
        if (flushed) for (let i = 0; i < 2; i++) await client.receiveUntil('1')
        client.send(f.bind(), f.execute(), f.sync(), f.sync())
        expect(letters(await client.receiveReplies(2))).toBe(flushed ? 'EZZ' : '1EZZ')
        await other.query('SELECT 1')
        client.send(f.bind(), f.execute(), f.sync())
        expect(letters(await client.receiveUntil('Z'))).toBe('EZ')
      },
      on,
    )

  story(
    'of Bind name the statement as the client does',
    async (stage) => {
      const client = await stage.connect()
      await times(client, 4, 'SELECT $1::int', [])
    },
    on,
  )

  story(
    'of Bind come once behind several Parse, each of which is answered once',
    async (stage) => {
      const client = await stage.connect()
      const other = await stage.connect()
      const [first, second] = [f.parse('', 'SELECT 1'), f.parse('', 'SELECT $1')]
      for (const parse of [first, first, second, second]) await other.roundTrip(parse, f.sync())
      const wrong = [f.bind(), f.execute(), f.sync()]
      // The second Sync waits for the batch before it.
      client.send(first, second, ...wrong, f.sync())
      await client.receiveReplies(2)
      client.send(first, second, first, second, f.flush())
      for (let i = 0; i < 4; i++) await client.receiveUntil('1')
      await client.roundTrip(...wrong)
    },
    on,
  )

  story(
    'of Parse, plan and execution come at their places',
    async (stage) => {
      const client = await stage.connect()
      await times(client, 3, 'SELECT nope')
      await times(client, 3, 'SELECT 1/0')
      await times(client, 3, 'SELECT 1/a FROM (VALUES (0)) AS t (a)')
      await times(client, 3, 'SELECT $1::int', ['one'])
    },
    on,
  )
})

// PostgreSQL replaces such literals by the time of the Parse.
for (const text of [
  "SELECT 'now'::timestamptz = now()",
  "SELECT now() = timestamptz ' NOW '",
  'SELECT $1 = 1 AND now() = CAST($$now$$ AS timestamptz)',
]) {
  story(
    `the time in ${text} is that of its own Parse`,
    async (stage) => {
      const client = await stage.connect()
      await times(client, 4, text, text.includes('$1') ? ['1'] : [])
    },
    on,
  )
}

// PostgreSQL keeps int as the type of the parameter, and would store 7.
pooled(
  'a type that was inferred before a change past the pooler is forgotten two seconds later',
  async (stage) => {
    const client = await stage.connect()
    await client.query('CREATE TABLE t (a int)')
    await times(client, 3, 'INSERT INTO t VALUES ($1)', ['1'])
    await stage.sql('TRUNCATE t; ALTER TABLE t ALTER a TYPE text')
    await delay(2100)
    await times(client, 1, 'INSERT INTO t VALUES ($1)', ['007'])
    expect(await client.value('SELECT a FROM t')).toBe('007')
  },
  on,
)

pooled(
  'PostgreSQL has parsed it once, and other types are another statement',
  async (stage) => {
    const client = await stage.connect()
    await times(client, 5, 'SELECT $1', ['1'])
    for (let i = 0; i < 3; i++) {
      const answer = await client.roundTrip(
        f.parse('', 'SELECT $1', [INT4]),
        f.bind('', { values: ['1'] }),
        f.execute(),
        f.sync(),
      )
      expect(letters(answer)).toBe('12DCZ')
    }
    const count = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1'"
    expect(await client.value(count)).toBe('2')
  },
  on,
)
