import { describe, expect } from 'vitest'
import { isMessage, letters, ofType, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Messages that a real PostgreSQL sends without being asked. Those of an idle server: unasked-messages.test.ts. */

const { story, pooled } = stories()

describe('a notice', () => {
  // case 54
  story('arrives in its place among the replies', async (stage) => {
    const client = await stage.connect()
    const raise = (text: string) =>
      `DO $$ BEGIN RAISE NOTICE '${text}'; RAISE WARNING 'and %', now() - now(); END $$`
    client.send(f.query(`SELECT 1; ${raise('one')}; SELECT 2`))
    await client.expect('TDCNNCTDCZ')
    client.send(f.extended(raise('two')), f.extended('SELECT 3'), f.sync())
    await client.expect('12nNNC12TDCZ')
  })

  // case 54
  story('arrives while its query still runs', async (stage) => {
    const client = await stage.connect()
    await stage.sql('SELECT pg_advisory_lock(1)')
    client.send(
      f.query("DO $$ BEGIN RAISE NOTICE 'before the lock'; PERFORM pg_advisory_xact_lock(1); END $$"),
    )
    await client.expect('N')
    await stage.sql('SELECT pg_advisory_unlock(1)')
    await client.expect('CZ')
  })

  story('below client_min_messages is not sent', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    await client.query('SET LOCAL client_min_messages = error')
    expect(letters(await client.query("DO $$ BEGIN RAISE WARNING 'unheard'; END $$"))).toBe('CZ')
    await client.query('COMMIT')
  })

  // A's notices go to A: B runs its query on the same server right after.
  story('of one client is not heard by the other', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    for (let turn = 0; turn < 5; turn += 1) {
      const [heard, silent] = await Promise.all([
        a.query("DO $$ BEGIN RAISE NOTICE 'for a'; END $$"),
        b.query('SELECT 1'),
      ])
      expect([letters(heard), letters(silent)]).toEqual(['NCZ', 'TDCZ'])
    }
  })
})

describe('ParameterStatus', () => {
  // case 55
  story('of several changes in one pipeline arrives where PostgreSQL puts it', async (stage) => {
    const client = await stage.connect()
    client.send(
      f.extended("SET application_name = 'a'"),
      f.extended("SET TimeZone = 'Asia/Tokyo'"),
      f.extended("SET application_name = 'b'"),
      f.sync(),
      f.query("SET DateStyle = 'German'"),
      f.query("BEGIN; SET application_name = 'c'; ROLLBACK"),
    )
    const reply = await client.receiveReplies(3)
    expect(
      ofType(reply, 'S')
        .map(({ name, value }) => `${name}=${value}`)
        .sort(),
    ).toEqual(['DateStyle=German, DMY', 'TimeZone=Asia/Tokyo', 'application_name=b'])
  })

  // case 55
  story('of a setting that a function has changed arrives as well', async (stage) => {
    await stage.sql(`CREATE FUNCTION quiet() RETURNS int LANGUAGE plpgsql
      AS $$ BEGIN SET application_name = 'by function'; RETURN 1; END $$`)
    const client = await stage.connect()
    const reply = await client.query('SELECT quiet()')
    expect(ofType(reply, 'S').map(({ value }) => value)).toEqual(['by function'])
  })
})

describe('a notification', () => {
  // case 56
  story('within the transaction that listens is delivered to it', async (stage) => {
    const client = await stage.connect()
    await client.query('BEGIN')
    await client.query('LISTEN here')
    await client.query("NOTIFY here, 'ä payload'")
    const reply = await client.query('COMMIT')
    expect(ofType(reply, 'A').map(({ channel, payload }) => [channel, payload])).toEqual([
      ['here', 'ä payload'],
    ])
    await client.query('UNLISTEN *')
  })

  // case 56: A's LISTEN stays on the shared server; a notification comes while the server is idle, then B uses it.
  pooled('for a server that is idle disturbs no later client', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('LISTEN nowhere')
    for (let turn = 0; turn < 3; turn += 1) {
      await stage.sql(`NOTIFY nowhere, '${turn}'`)
      const reply = await b.query(`SELECT ${turn}`)
      expect(rows(reply)).toEqual([[String(turn)]])
      expect(
        reply.some((message) => isMessage(message, 'A')),
        'B hears what it did not ask for',
      ).toBe(false)
    }
    expect(letters(await a.query('SELECT 1'))).toContain('TDC')
  })

  // case 56: whether a server that has listened is cleaned or closed, it must not listen for others for ever.
  pooled('is not listened for by a server once its client has left', async (stage) => {
    const a = await stage.connect()
    await a.query('LISTEN nowhere')
    a.end()
    const b = await stage.connect()
    const left = await eventually(
      'no channel to be listened to',
      async () => rows(await b.query('SELECT pg_listening_channels()')),
      (channels) => channels.length === 0,
    )
    expect(left).toEqual([])
  })
})
