import { Client } from 'pg'
import { describe, expect, test } from 'vitest'
import { createDatabase, sharedPostgres, startPostgres } from '../../support/postgres.ts'

describe('test clusters', () => {
  test.each(['trust', 'scram-sha-256', 'md5', 'password'] as const)(
    'a private cluster with method %s lets its superuser in',
    async (auth) => {
      const postgres = await startPostgres({ auth })
      try {
        const client = new Client({ connectionString: postgres.url })
        await client.connect()
        const { rows } = await client.query('SELECT 1 AS one')
        await client.end()
        expect(rows).toEqual([{ one: 1 }])
      } finally {
        await postgres.stop()
      }
    },
  )

  test('a private cluster keeps its port and data over restarts', async () => {
    const postgres = await startPostgres({ settings: { log_statement: 'all' } })
    try {
      const { port, pid } = postgres
      await postgres.query('CREATE TABLE kept AS SELECT 42 AS answer')
      await postgres.restart('fast')
      await postgres.restart('immediate')
      expect(postgres.port).toBe(port)
      expect(postgres.pid).not.toBe(pid)
      expect(await postgres.query('SELECT answer FROM kept')).toEqual([{ answer: 42 }])
      expect(await postgres.query('SHOW log_statement')).toEqual([{ log_statement: 'all' }])
    } finally {
      await postgres.stop()
    }
  })

  test('a pg_hba.conf that rejects everybody leaves the query method working', async () => {
    const postgres = await startPostgres({ hba: 'host all all 0.0.0.0/0 reject' })
    try {
      const client = new Client({ connectionString: postgres.url })
      await expect(client.connect()).rejects.toMatchObject({ code: '28000' })
      expect(await postgres.query('SHOW max_connections')).toEqual([{ max_connections: '200' }])
    } finally {
      await postgres.stop()
    }
  })

  test('a database in the shared cluster is empty and goes away', async () => {
    const database = await createDatabase()
    const client = new Client({ connectionString: database.url })
    await client.connect()
    const { rows } = await client.query(
      "SELECT count(*)::int AS tables FROM pg_tables WHERE schemaname = 'public'",
    )
    expect(rows).toEqual([{ tables: 0 }])
    await client.end()
    await database.drop()
    const late = new Client({ connectionString: database.url })
    await expect(late.connect()).rejects.toMatchObject({ code: '3D000' })
    expect(sharedPostgres().database).toBe('postgres')
  })
})
