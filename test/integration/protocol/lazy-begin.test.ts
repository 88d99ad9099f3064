import { describe, expect } from 'vitest'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** lazy_begin with a real PostgreSQL: the same answers, fewer round trips. */

const { story, pooled } = stories()
const on = { pooler: { lazy_begin: true } }

const told: Record<string, readonly string[]> = {
  'a transaction that commits': [
    'CREATE TABLE t (a int)',
    'BEGIN',
    'INSERT INTO t VALUES (1)',
    'COMMIT',
    'TABLE t',
  ],
  'a transaction that rolls back': [
    'CREATE TABLE t (a int)',
    'BEGIN',
    'INSERT INTO t VALUES (1)',
    'ROLLBACK',
    'TABLE t',
  ],
  'an empty transaction': ['BEGIN', 'COMMIT', 'START TRANSACTION', 'ROLLBACK', 'begin;', 'END'],
  'a BEGIN in a transaction': ['BEGIN', 'BEGIN', 'SELECT 1', 'COMMIT'],
  'a COMMIT outside of one': ['COMMIT', 'BEGIN', 'COMMIT', 'ROLLBACK'],
  'a statement that fails first': ['BEGIN', 'SELECT 1/0', 'SELECT 1', 'BEGIN', 'COMMIT', 'SELECT 2'],
  'SET TRANSACTION first': [
    'BEGIN',
    'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'SHOW transaction_isolation',
    'COMMIT',
  ],
  'SET LOCAL first': [
    'BEGIN',
    "SET LOCAL TimeZone = 'Asia/Tokyo'",
    'SHOW TimeZone',
    'COMMIT',
    'SHOW TimeZone',
  ],
  'SET that is rolled back': ['BEGIN', "SET application_name = 'other'", 'ROLLBACK', 'SHOW application_name'],
  savepoints: ['BEGIN', 'SAVEPOINT a', 'SELECT 1/0', 'ROLLBACK TO a', 'SELECT 1', 'COMMIT'],
  'a chain': ['BEGIN', 'COMMIT AND CHAIN', 'SELECT 1', 'COMMIT'],
}
for (const [name, texts] of Object.entries(told)) {
  story(
    name,
    async (stage) => {
      const client = await stage.connect({ parameters: { application_name: 'teller' } })
      for (const text of texts) await client.query(text)
    },
    on,
  )
}

describe('behind a BEGIN', () => {
  story(
    'the extended protocol is in the transaction, and the unnamed statement is gone',
    async (stage) => {
      const client = await stage.connect()
      await client.roundTrip(f.parse('', 'SELECT 1'), f.sync())
      await client.query('BEGIN')
      await client.roundTrip(f.sync())
      await client.roundTrip(f.bind(), f.execute(), f.sync())
      await client.roundTrip(f.parse('named', 'ROLLBACK'), f.bind('named'), f.execute(), f.sync())
      await client.query('SELECT 1')
    },
    on,
  )
  story(
    'everything in one chunk is answered in order',
    async (stage) => {
      const client = await stage.connect()
      client.send(
        f.query('BEGIN'),
        f.query('SELECT 1'),
        f.query('COMMIT'),
        f.query('BEGIN'),
        f.query('COMMIT'),
      )
      for (let i = 0; i < 5; i++) await client.receiveUntil('Z')
    },
    on,
  )
})

pooled(
  'the backend is in a transaction only once there is a statement, and never for an empty one',
  async (stage) => {
    const client = await stage.connect()
    const other = await stage.connect()
    await client.query('BEGIN')
    await other.query('SELECT 1')
    const states = () =>
      stage.sql<{ state: string }>(
        'SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      )
    expect(await states()).toEqual([{ state: 'idle' }])
    await client.query('SELECT 1')
    expect(await states()).toEqual([{ state: 'idle in transaction' }])
    await client.query('COMMIT')
    expect(await states()).toEqual([{ state: 'idle' }])
  },
  on,
)
