import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { pooledDatabase } from '../support/pooled-database.ts'

/** The package postgres through the pooler: it pipelines, prepares everything under names, and streams COPY. */

const POOL_SIZE = 4
const CLIENTS = 20
const place = pooledDatabase(POOL_SIZE)

let sql: postgres.Sql

beforeEach(() => {
  sql = postgres(place.ready.url, { max: CLIENTS, onnotice: () => {} })
})

afterEach(async () => {
  await sql.end()
  await place.ready.settled()
})

describe('twenty connections of postgres over four servers', () => {
  test('run pipelined, prepared queries', async () => {
    const work = Promise.all(
      Array.from({ length: 600 }, async (_, index) => {
        const [row] = await sql`SELECT ${index}::int + 1 AS next, ${`text ${index}`} AS text`
        expect(row).toEqual({ next: index + 1, text: `text ${index}` })
      }),
    )
    expect(await place.ready.watchServers(work)).toBeLessThanOrEqual(POOL_SIZE)
  })

  test('run many different statements', async () => {
    await Promise.all(
      Array.from({ length: 400 }, async (_, index) => {
        const [row] = await sql.unsafe(`SELECT $1::int AS v${index % 250}`, [index], { prepare: true })
        expect(row).toEqual({ [`v${index % 250}`]: index })
      }),
    )
  })

  test('keep transactions and savepoints apart', async () => {
    await sql`CREATE TABLE js_counter AS SELECT 0 AS value`
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, index) => {
        const transfer = sql.begin(async (tx) => {
          const [row] = await tx`SELECT value FROM js_counter FOR UPDATE`
          await tx
            .savepoint(async (inner) => {
              await inner`UPDATE js_counter SET value = 1000`
              throw new Error('back to the savepoint')
            })
            .catch(() => {})
          await tx`UPDATE js_counter SET value = ${(row?.value as number) + 1}`
          if (index % 4 === 0) throw new Error('rolled back')
        })
        if (index % 4 === 0) await expect(transfer).rejects.toThrow('rolled back')
        else await transfer
      }),
    )
    expect(await sql`SELECT value FROM js_counter`).toEqual([{ value: (CLIENTS / 4) * 3 }])
  })

  test('live on after errors', async () => {
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        await expect(sql`SELECT 1 / ${0}::int`).rejects.toMatchObject({ code: '22012' })
        await expect(sql`SELECT * FROM nowhere`).rejects.toMatchObject({ code: '42P01' })
        await expect(sql.unsafe('SELEC')).rejects.toMatchObject({ code: '42601' })
        expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }])
      }),
    )
  })
})

describe('a connection of postgres', () => {
  test('copies in and out as streams', async () => {
    await sql`CREATE TABLE js_copied (id int, name text)`
    const lines = Array.from({ length: 5000 }, (_, index) => `${index}\tname ${index}\n`)
    await pipeline(Readable.from(lines), await sql`COPY js_copied FROM STDIN`.writable())
    expect(await sql`SELECT count(*)::int AS count FROM js_copied`).toEqual([{ count: 5000 }])
    const chunks: Buffer[] = []
    for await (const chunk of await sql`COPY js_copied TO STDOUT`.readable()) chunks.push(chunk as Buffer)
    expect(Buffer.concat(chunks).toString()).toBe(lines.join(''))
  })

  test('reads rows in portions of a portal', async () => {
    const seen: number[] = []
    await sql`SELECT n FROM generate_series(1, 25) n`.cursor(10, (part) => {
      seen.push(part.length)
    })
    expect(seen).toEqual([10, 10, 5])
  })

  test('leaves a portal before its end', async () => {
    for await (const part of sql`SELECT n FROM generate_series(1, 1000) n`.cursor(5)) {
      expect(part).toHaveLength(5)
      break
    }
    expect(await sql`SELECT 2 AS two`).toEqual([{ two: 2 }])
  })

  test('cancels its query and lives on', async () => {
    const slow = sql`SELECT pg_sleep(20)`
    const outcome = expect(slow).rejects.toMatchObject({ code: '57014' })
    await eventually(
      'the query to run',
      () => place.ready.direct("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)'"),
      (running) => running.length > 0,
    )
    slow.cancel()
    await outcome
    expect(await sql`SELECT 1 AS one`).toEqual([{ one: 1 }])
  })

  test('describes statements without running them', async () => {
    const described = await sql`SELECT ${1}::int AS number, ${'x'}::text AS text`.describe()
    expect(described.types).toEqual([23, 25])
    expect(described.columns.map(({ name }) => name)).toEqual(['number', 'text'])
  })

  test('runs several statements in one simple query', async () => {
    const results = (await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b').simple()) as unknown as object[][]
    expect(results.map((rows) => rows[0])).toEqual([{ a: 1 }, { b: 2 }])
  })
})
