import { describe, expect } from 'vitest'
import { isMessage, letters, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Session and statement pooling; transaction pooling is what all other files are about. */

const { story, pooled } = stories()

const SESSION = { pooler: { pool_mode: 'session' } } as const
const STATEMENT = { pooler: { pool_mode: 'statement' } } as const

describe('session pooling', () => {
  story(
    'keeps everything that belongs to a session',
    async (stage) => {
      const client = await stage.connect()
      await client.query('CREATE TEMP TABLE own (id int)')
      await client.query('INSERT INTO own VALUES (1)')
      await client.query('PREPARE p AS SELECT count(*) FROM own')
      await client.query('EXECUTE p')
      await client.query('SELECT pg_advisory_lock(5)')
      await client.query('LISTEN own')
      await client.query("NOTIFY own, 'heard'")
      await client.query('DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 3)')
      await client.query('FETCH 2 FROM held')
      await client.query('SET statement_timeout = 4321')
      await client.query('SHOW statement_timeout')
      await client.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
      client.send(f.run('s'), f.sync())
      await client.expect('2DCZ')
    },
    SESSION,
  )

  // B waits until A has left, and finds a session without A's traces: server_reset_query has run.
  pooled(
    'gives a clean server to the next client when the first has left',
    async (stage) => {
      const a = await stage.connect()
      const b = await stage.open()
      await a.query('CREATE TEMP TABLE trace (id int)')
      await a.query("SET TimeZone = 'Asia/Tokyo'; SET statement_timeout = 4321")
      await a.roundTrip(f.parse('s', 'SELECT 1'), f.sync())
      const pid = await a.value('SELECT pg_backend_pid()')
      b.send(f.startup({ user: 'postgres', database: stage.database }), f.query('SELECT pg_backend_pid()'))
      await a.query('SELECT 1')
      a.end()
      expect(await b.finishLogin('postgres')).toBe(undefined)
      expect(rows(await b.receiveUntil('Z'))).toEqual([[pid]])
      expect(await b.value("SELECT to_regclass('trace')")).toBe(null)
      expect(await b.value('SHOW statement_timeout')).toBe('0')
      expect(await b.value('SHOW TimeZone')).toBe('Etc/UTC')
      b.send(f.parse('s', 'SELECT 2'), f.run('s'), f.sync())
      await b.expect('12DCZ')
    },
    SESSION,
  )

  pooled(
    'rolls back what the first client left open',
    async (stage) => {
      await stage.sql('CREATE TABLE left_open (id int)')
      for (const leave of ['end', 'destroy', 'reset'] as const) {
        const a = await stage.connect()
        await a.query('BEGIN; INSERT INTO left_open VALUES (1)')
        a[leave]()
        const b = await stage.connect()
        expect(await b.value('SELECT count(*) FROM left_open')).toBe('0')
        b.end()
      }
    },
    SESSION,
  )
})

describe('statement pooling', () => {
  story(
    'serves single statements of every protocol',
    async (stage) => {
      const a = await stage.connect()
      const b = await stage.connect()
      await a.query('SELECT 1')
      b.send(f.parse('s', 'SELECT 2'), f.run('s'), f.sync())
      await b.expect('12DCZ')
      await a.query('SELECT 1; SELECT 2')
      b.send(f.run('s'), f.sync())
      await b.expect('2DCZ')
    },
    STATEMENT,
  )

  // The client is told and closed; what it began is undone, and the server is free.
  pooled(
    'refuses transactions that last longer than a statement',
    async (stage) => {
      await stage.sql('CREATE TABLE refused (id int)')
      const a = await stage.connect()
      const b = await stage.connect()
      a.send(f.query('BEGIN; INSERT INTO refused VALUES (1)'))
      const reply = await a.receiveRest()
      expect(letters(reply)).toContain('E')
      expect(reply.findLast((message) => isMessage(message, 'E'))).toMatchObject({ code: '0A000' })
      expect(await b.value('SELECT count(*) FROM refused')).toBe('0')
    },
    STATEMENT,
  )
})
