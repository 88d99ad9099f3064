import { Client, Pool } from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { pooledDatabase } from '../support/pooled-database.ts'

/** The package pg through the pooler: its habits are simple queries, one Parse per name, and an end without haste. */

const POOL_SIZE = 3
const CLIENTS = 30
const place = pooledDatabase(POOL_SIZE)

let pool: Pool

beforeEach(() => {
  pool = new Pool({ connectionString: place.ready.url, max: CLIENTS })
})

afterEach(async () => {
  await pool.end()
  await place.ready.settled()
})

/** Runs `work` on as many clients as there may be, all at once. */
async function onAll(work: (client: Client, index: number) => Promise<unknown>): Promise<void> {
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, index) => {
      const client = await pool.connect()
      try {
        await work(client as unknown as Client, index)
      } finally {
        client.release()
      }
    }),
  )
}

describe('thirty clients of pg over three servers', () => {
  test('run simple and parameterised queries', async () => {
    const work = onAll(async (client, index) => {
      for (let turn = 0; turn < 10; turn += 1) {
        expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
        const { rows } = await client.query('SELECT $1::int + $2::int AS sum, $3::text AS text', [
          index,
          turn,
          'ä',
        ])
        expect(rows).toEqual([{ sum: index + turn, text: 'ä' }])
      }
    })
    expect(await place.ready.watchServers(work)).toBeLessThanOrEqual(POOL_SIZE)
  })

  test('share names of prepared statements with texts of their own', async () => {
    await onAll(async (client, index) => {
      for (let turn = 0; turn < 10; turn += 1) {
        const own = await client.query({
          name: 'own',
          text: `SELECT ${index} + $1::int AS sum`,
          values: [turn],
        })
        expect(own.rows).toEqual([{ sum: index + turn }])
        const same = await client.query({
          name: 'same',
          text: 'SELECT $1::text AS text',
          values: [`${index}`],
        })
        expect(same.rows).toEqual([{ text: `${index}` }])
      }
    })
  })

  test('keep transactions apart', async () => {
    await place.ready.direct('CREATE TABLE pg_counter AS SELECT 0 AS value')
    await onAll(async (client, index) => {
      await client.query('BEGIN')
      const before = await client.query('SELECT value FROM pg_counter FOR UPDATE')
      await client.query('UPDATE pg_counter SET value = $1', [before.rows[0].value + 1])
      await client.query(index % 3 === 0 ? 'ROLLBACK' : 'COMMIT')
    })
    const [row] = await place.ready.direct('SELECT value FROM pg_counter')
    expect(row).toEqual({ value: (CLIENTS / 3) * 2 })
  })

  test('live on after errors of every kind', async () => {
    await onAll(async (client) => {
      await expect(client.query('SELEC')).rejects.toMatchObject({ code: '42601' })
      await expect(client.query('SELECT 1/$1::int', [0])).rejects.toMatchObject({ code: '22012' })
      await expect(client.query({ name: 'bad', text: 'SELECT * FROM nowhere' })).rejects.toMatchObject({
        code: '42P01',
      })
      await expect(client.query({ name: 'bad', text: 'SELECT * FROM nowhere' })).rejects.toMatchObject({
        code: '42P01',
      })
      await client.query('BEGIN')
      await expect(client.query('SELECT $1::int', ['x'])).rejects.toMatchObject({ code: '22P02' })
      await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: '25P02' })
      await client.query('ROLLBACK')
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    })
  })

  test('get multiple results of one query', async () => {
    await onAll(async (client, index) => {
      const results = (await client.query(`SELECT ${index} AS a; SELECT 2 AS b`)) as unknown as {
        rows: unknown[]
      }[]
      expect(results.map(({ rows }) => rows)).toEqual([[{ a: index }], [{ b: 2 }]])
    })
  })
})

describe('a client of pg', () => {
  test('reads rows in portions of a cursor inside a transaction', async () => {
    const client = await pool.connect()
    await client.query('BEGIN')
    await client.query('DECLARE walk CURSOR FOR SELECT n FROM generate_series(1, 10) n')
    expect((await client.query('FETCH 4 FROM walk')).rows).toHaveLength(4)
    expect((await client.query('FETCH 9 FROM walk')).rows).toHaveLength(6)
    await client.query('COMMIT')
    client.release()
  })

  test('reads limited rows of a portal', async () => {
    const client = await pool.connect()
    const query = { text: 'SELECT n FROM generate_series(1, 10) n', rows: 3 } as { text: string }
    expect((await client.query(query)).rows).toHaveLength(10)
    client.release()
  })

  test('keeps its session parameters among others', async () => {
    const url = new URL(place.ready.url)
    url.searchParams.set('application_name', 'driver test')
    url.searchParams.set('options', '-c statement_timeout=4321')
    const client = new Client({ connectionString: url.href })
    await client.connect()
    await client.query("SET TimeZone = 'Asia/Tokyo'")
    await onAll((other) => other.query('SELECT 1'))
    const shown = await client.query(
      `SELECT current_setting('application_name') AS name, current_setting('statement_timeout') AS timeout,
        current_setting('TimeZone') AS zone`,
    )
    expect(shown.rows).toEqual([{ name: 'driver test', timeout: '4321ms', zone: 'Asia/Tokyo' }])
    await client.end()
  })

  test('is cancelled by its own statement_timeout and lives on', async () => {
    const client = new Client({ connectionString: place.ready.url, statement_timeout: 50 })
    await client.connect()
    await expect(client.query('SELECT pg_sleep(5)')).rejects.toMatchObject({ code: '57014' })
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
    await client.end()
  })

  test('hears its notices', async () => {
    const client = await pool.connect()
    const heard: (string | undefined)[] = []
    client.on('notice', (notice) => heard.push(notice.message))
    await client.query("DO $$ BEGIN RAISE NOTICE 'heard'; END $$")
    expect(heard).toEqual(['heard'])
    client.release()
  })

  test('that ends in the middle of a transaction leaves no trace', async () => {
    await place.ready.direct('CREATE TABLE pg_trace (id int)')
    for (let turn = 0; turn < 6; turn += 1) {
      const client = new Client({ connectionString: place.ready.url })
      await client.connect()
      await client.query('BEGIN')
      await client.query('INSERT INTO pg_trace VALUES (1)')
      await client.end()
    }
    const count = async () => (await pool.query('SELECT count(*)::int AS count FROM pg_trace')).rows[0].count
    expect(await eventually('the last transaction to be rolled back', count, (rows) => rows === 0)).toBe(0)
  })
})
