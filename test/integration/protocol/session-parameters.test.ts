import { describe, expect } from 'vitest'
import { letters, ofType, rows } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import { stories } from '../../support/stories.ts'

/**
 * Session parameters: each client sees its own, whichever server it gets. Most stories put two clients on one
 * server in turns; PostgreSQL gives each a session of its own, so equal replies mean that nothing leaked.
 */

const { story, pooled } = stories()

async function show(client: RawClient, ...names: readonly string[]): Promise<(string | null)[]> {
  const values: (string | null)[] = []
  for (const name of names) values.push(await client.value(`SHOW ${name}`))
  return values
}

describe('a parameter set by one client', () => {
  const VALUES: Readonly<Record<string, readonly [string, string]>> = {
    application_name: ["'first'", "'second'"],
    DateStyle: ["'German'", "'SQL, DMY'"],
    TimeZone: ["'America/New_York'", "'Asia/Kolkata'"],
    IntervalStyle: ["'iso_8601'", "'sql_standard'"],
    standard_conforming_strings: ['off', 'on'],
    client_encoding: ["'LATIN1'", "'UTF8'"],
    search_path: ['one, "Two three", "$user"', 'pg_catalog'],
    default_transaction_read_only: ['on', 'off'],
  }

  for (const [name, [first, second]] of Object.entries(VALUES)) {
    story(`is its own, and the other keeps another: ${name}`, async (stage) => {
      const a = await stage.connect()
      const b = await stage.connect()
      const c = await stage.connect()
      await a.query(`SET ${name} = ${first}`)
      await b.query(`SET ${name} = ${second}`)
      for (let turn = 0; turn < 2; turn += 1) {
        for (const client of [a, b, c]) await show(client, name)
      }
      a.send(f.extended(`SELECT current_setting('${name}')`), f.sync())
      await a.expect('12TDCZ')
      await a.query(`RESET ${name}`)
      await show(a, name)
      await show(b, name)
    })
  }

  story('changes how its values are written and read', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query("SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET IntervalStyle = 'iso_8601'")
    await b.query("SET client_encoding = 'LATIN1'; SET standard_conforming_strings = off")
    for (let turn = 0; turn < 2; turn += 1) {
      const reply = await a.query(
        "SELECT timestamptz '2024-02-03 04:05:06+00', interval '1 day 2 hours', 'ä'",
      )
      expect(rows(reply)[0]?.slice(0, 2)).toEqual(['03.02.2024 13:05:06 JST', 'P1DT2H'])
      const latin = await b.query("SELECT U&'\\\\00e4', E'\\\\\\\\', chr(228)")
      expect(letters(latin).at(-1)).toBe('Z')
    }
  })

  // case 55, case 57: the client hears of every change of its own parameters and of no one else's.
  story('is reported to it and to nobody else', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const reported: string[] = []
    for (const name of ['x', 'y', 'y', 'z']) {
      const reply = await a.query(`SET application_name = '${name}'`)
      reported.push(...ofType(reply, 'S').map(({ value }) => value))
      await b.query('SELECT 1')
    }
    expect(reported, 'a value that does not change is not reported again').toEqual(['x', 'y', 'z'])
    expect(a.parameters.get('application_name')).toBe('z')
    expect(b.parameters.get('application_name')).toBe('')
  })
})

describe('a value', () => {
  // case 38
  story('may hold quotes, backslashes, dollars and letters of any script', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    for (const value of [
      "it's",
      '"quoted"',
      'back\\slash',
      '$$ $1 %s',
      'semi; colon -- x',
      '',
      'a'.repeat(60),
    ]) {
      const literal = `'${value.replaceAll("'", "''")}'`
      await a.query(`SET application_name = ${literal}`)
      await b.query('SET standard_conforming_strings = off')
      await show(b, 'application_name', 'standard_conforming_strings')
      await show(a, 'application_name', 'standard_conforming_strings')
    }
  })

  // case 38: an empty list and quoted names survive being applied again.
  story('of search_path may be empty, quoted or strange', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    for (const value of [
      "''",
      '""',
      '"a b", c',
      `"it's", "dou""ble"`,
      "'one, two'",
      '"$user", public',
      'DEFAULT',
    ]) {
      await a.query(`SET search_path = ${value}`)
      await b.query('SET search_path = pg_catalog')
      expect(await show(b, 'search_path')).toEqual(['pg_catalog'])
      await show(a, 'search_path')
      await a.query('SELECT current_schemas(false)')
    }
  })

  // case 32: the name and value of set_config are not in the text of the query.
  story('set by set_config with bind parameters is kept', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const text = 'SELECT set_config($1, $2, false)'
    a.send(
      f.extended(text, ['TimeZone', 'Europe/Berlin']),
      f.extended(text, ['application_name', 'bound']),
      f.sync(),
    )
    await a.receiveUntil('Z')
    expect(await show(b, 'TimeZone', 'application_name')).toEqual(['Etc/UTC', ''])
    expect(await show(a, 'TimeZone', 'application_name')).toEqual(['Europe/Berlin', 'bound'])
  })

  story('that PostgreSQL refuses changes nothing', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query("SET TimeZone = 'Asia/Tokyo'")
    expect(letters(await a.query("SET TimeZone = 'Mars/Olympus'"))).toBe('EZ')
    await b.query('SELECT 1')
    expect(await show(a, 'TimeZone')).toEqual(['Asia/Tokyo'])
  })
})

describe('SET in a transaction', () => {
  // case 32
  story('that is rolled back leaves the old value', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query("SET TimeZone = 'Asia/Tokyo'")
    await a.query("BEGIN; SET TimeZone = 'Asia/Kolkata'; SET application_name = 'gone'")
    await show(a, 'TimeZone')
    await a.query('ROLLBACK')
    await b.query("SET TimeZone = 'Europe/Paris'")
    expect(await show(a, 'TimeZone', 'application_name')).toEqual(['Asia/Tokyo', ''])
    expect(await show(b, 'TimeZone', 'application_name')).toEqual(['Europe/Paris', ''])
  })

  // case 32
  story('to a savepoint that is rolled back leaves the old value', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query(
      "BEGIN; SET TimeZone = 'Asia/Tokyo'; SAVEPOINT s; SET TimeZone = 'Asia/Kolkata'; ROLLBACK TO s",
    )
    await a.query('COMMIT')
    await b.query('SELECT 1')
    expect(await show(a, 'TimeZone')).toEqual(['Asia/Tokyo'])
  })

  // case 32
  story('with LOCAL ends with the transaction', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query("SET application_name = 'lasting'")
    await a.query("BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL application_name = 'passing'")
    await show(a, 'TimeZone', 'application_name')
    await a.query('COMMIT')
    await b.query('SELECT 1')
    expect(await show(a, 'TimeZone', 'application_name')).toEqual(['Etc/UTC', 'lasting'])
    expect(await show(b, 'TimeZone', 'application_name')).toEqual(['Etc/UTC', ''])
  })

  story('with LOCAL does not hide another SET behind a long text', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const long = ' '.repeat(300)
    for (const first of [`SET LOCAL work_mem =${long}'5MB'`, `SET work_mem = DEFAULT${long}`]) {
      await a.query(`${first}; SET statement_timeout = 12345`)
      expect(await show(b, 'statement_timeout'), first).toEqual(['0'])
    }
  })

  // case 33
  story('with RESET and RESET ALL is rolled back too', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'")
    await a.query('BEGIN; RESET TimeZone; ROLLBACK')
    await a.query('BEGIN; RESET ALL; ROLLBACK')
    await b.query('SELECT 1')
    expect(await show(a, 'TimeZone', 'DateStyle')).toEqual(['Asia/Tokyo', 'German, DMY'])
  })
})

describe('RESET ALL', () => {
  // case 34: the value to return to is that of this client's startup, not of the one that opened the server.
  story('returns to the values that this client started with', async (stage) => {
    const a = await stage.connect({ parameters: { application_name: 'start-a', TimeZone: 'Asia/Tokyo' } })
    const b = await stage.connect({ parameters: { application_name: 'start-b' } })
    const names = ['application_name', 'TimeZone', 'DateStyle']
    await show(a, ...names)
    await b.query("SET application_name = 'changed'; SET TimeZone = 'Europe/Paris'; SET DateStyle = 'German'")
    await show(a, ...names)
    await b.query('RESET ALL')
    expect(await show(b, ...names)).toEqual(['start-b', 'Etc/UTC', 'ISO, MDY'])
    expect(await show(a, ...names)).toEqual(['start-a', 'Asia/Tokyo', 'ISO, MDY'])
    await a.query("SET application_name = 'changed'")
    await a.query('DISCARD ALL')
    expect(await show(a, ...names)).toEqual(['start-a', 'Asia/Tokyo', 'ISO, MDY'])
    expect(await show(b, ...names)).toEqual(['start-b', 'Etc/UTC', 'ISO, MDY'])
  })

  // case 34
  story('of one parameter returns to the value that this client started with', async (stage) => {
    const a = await stage.connect({ parameters: { application_name: 'start-a' } })
    const b = await stage.connect({ parameters: { application_name: 'start-b' } })
    await a.query("SET application_name = 'x'")
    await b.query("SET application_name = 'y'")
    await a.query('RESET application_name')
    await b.query('SET application_name = DEFAULT')
    expect(await show(a, 'application_name')).toEqual(['start-a'])
    expect(await show(b, 'application_name')).toEqual(['start-b'])
  })
})

describe('a SET is not taken for the RESET that was prepared beside it', () => {
  const SET = "SET work_mem = '5MB'"
  const UNTRACKED = { pooler: { max_prepared_statements: 0 } }

  pooled('and its portal executed later', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    const before = await show(b, 'work_mem')
    a.send(f.parse('', SET), f.bind('', { portal: 'p' }), f.parse('', 'RESET application_name'))
    a.send(f.bind(''), f.execute('p'), f.execute(), f.sync())
    await a.receiveUntil('Z')
    expect(await show(b, 'work_mem')).toEqual(before)
  })

  pooled(
    'where names are not tracked',
    async (stage) => {
      const a = await stage.connect()
      const b = await stage.connect()
      const before = await show(b, 'work_mem')
      a.send(f.extended('RESET application_name'), f.sync())
      await a.receiveUntil('Z')
      a.send(f.parse('s', SET), f.run('s'), f.sync())
      await a.receiveUntil('Z')
      expect(await show(b, 'work_mem')).toEqual(before)
    },
    UNTRACKED,
  )
})

describe('what a text says beside its statement does not hide that it leaves something behind', () => {
  const TEXTS = [
    "SET work_mem = '5MB' -- no longer = default",
    "SELECT set_config('work_mem', '5MB', false), coalesce(null, true)",
    `SELECT "set_config"('work_mem', '5MB', false)`,
    "SELECT set_config('a.b', ', true)', true), set_config('work_mem', '5MB', false)",
    `SELECT set_config('a.b', 'x', true)${' '.repeat(300)}, set_config('work_mem', '5MB', false)`,
  ]
  for (const sql of TEXTS) {
    story(sql.replace(/ +/g, ' '), async (stage) => {
      const a = await stage.connect()
      const b = await stage.connect()
      const before = await show(b, 'work_mem')
      await a.query(sql)
      expect(await show(b, 'work_mem')).toEqual(before)
    })
  }
})

describe('what is sent behind a RESET in the same write has the values of the startup', () => {
  const RESETS = [
    'RESET application_name',
    'SET SESSION application_name TO DEFAULT',
    'SET application_name = default;',
    'RESET TimeZone',
    'SET TIME ZONE DEFAULT',
    'SET TIME ZONE LOCAL',
    'RESET TIME ZONE',
    'RESET ALL',
    'DISCARD ALL',
  ]
  const READ = "SELECT current_setting('application_name') || current_setting('TimeZone')"

  for (const sql of RESETS) {
    story(sql, async (stage) => {
      const a = await stage.connect({ parameters: { application_name: 'start', TimeZone: 'Asia/Tokyo' } })
      const change = "SET application_name = 'x'; SET TimeZone = 'Asia/Kolkata'"
      await a.query(change)
      a.send(f.query(sql), f.query(READ), f.extended(READ), f.sync())
      for (let batch = 0; batch < 3; batch++) await a.receiveUntil('Z')
      await a.query(change)
      a.send(f.extended(sql), f.sync(), f.extended(READ), f.sync(), f.query(READ))
      for (let batch = 0; batch < 3; batch++) await a.receiveUntil('Z')
      await a.query(change)
      a.send(
        f.query('BEGIN'),
        f.query('RESET application_name'),
        f.query(READ),
        f.query('ROLLBACK'),
        f.query(READ),
      )
      for (let batch = 0; batch < 5; batch++) await a.receiveUntil('Z')
    })
  }
})

describe('a role', () => {
  // case 33: A becomes somebody else on the shared server and leaves the transaction; B must be itself.
  pooled('taken by one client is not taken by the next', async (stage) => {
    const role = `actor_${process.pid}`
    await stage.sql(`DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role}`)
    try {
      const a = await stage.connect()
      const b = await stage.connect()
      for (const sql of [`SET ROLE ${role}`, `SET SESSION AUTHORIZATION ${role}`]) {
        await a.query(sql)
        expect(await b.value('SELECT current_user'), `after ${sql} of another client`).toBe('postgres')
        expect(await b.value('SELECT session_user'), `after ${sql} of another client`).toBe('postgres')
        await a.query('RESET ROLE; RESET SESSION AUTHORIZATION')
      }
    } finally {
      await stage.sql(`DROP ROLE ${role}`)
    }
  })

  story('taken for one transaction is given back', async (stage) => {
    const a = await stage.connect()
    const b = await stage.connect()
    await a.query('BEGIN; SET LOCAL ROLE pg_read_all_data')
    expect(await a.value('SELECT current_user')).toBe('pg_read_all_data')
    await a.query('COMMIT')
    expect(await b.value('SELECT current_user')).toBe('postgres')
  })
})

describe('parameters on another server', () => {
  // A's settings were made on server 1; C holds server 1; A's next query runs on server 2.
  story(
    'are those of the client',
    async (stage) => {
      const a = await stage.connect({ parameters: { application_name: "o'clock" } })
      await a.query(`SET TimeZone = 'Asia/Tokyo'; SET search_path = "a b", c`)
      const c = await stage.connect()
      await c.query('BEGIN')
      expect(await show(a, 'TimeZone', 'search_path', 'application_name')).toEqual([
        'Asia/Tokyo',
        '"a b", c',
        "o'clock",
      ])
      await c.query('SHOW TimeZone')
      await c.query('COMMIT')
    },
    { poolSize: 2 },
  )

  // The SET goes out together with the first query, whatever that is; its replies must never reach the client.
  story('are applied before the first message, of whatever kind', async (stage) => {
    const other = await stage.connect()
    const messages: Readonly<Record<string, readonly [readonly Buffer[], string]>> = {
      sync: [[f.sync()], 'Z'],
      empty: [[f.query('')], 'IZ'],
      pipeline: [[f.extended('SHOW TimeZone'), f.sync()], '12TDCZ'],
      named: [[f.parse('s', 'SHOW TimeZone'), f.run('s'), f.close('S', 's'), f.sync()], '12DC3Z'],
      flush: [[f.parse('', 'SHOW TimeZone'), f.flush(), f.run(''), f.sync()], '12DCZ'],
      error: [[f.query('SELEC')], 'EZ'],
      call: [[f.functionCall(177, [f.int4(1), f.int4(2)])], 'VZ'],
      copy: [[f.query('COPY (SELECT 1) TO STDOUT')], 'HdcCZ'],
    }
    const a = await stage.connect({ parameters: { TimeZone: 'Asia/Tokyo' } })
    for (const [request, reply] of Object.values(messages)) {
      await other.query("SET TimeZone = 'Europe/Paris'")
      a.send(...request)
      await a.expect(reply)
      expect(await show(a, 'TimeZone')).toEqual(['Asia/Tokyo'])
    }
  })
})
