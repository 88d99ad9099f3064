import { describe, expect } from 'vitest'
import { letters, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import type { Stage } from '../../support/stage.ts'
import { stories } from '../../support/stories.ts'

/** Clients that leave at any moment, politely or not: what they began is undone and their server is free. */

const { story, pooled } = stories()

/** The ways to leave. After `end` the client still reads what comes; after the others it is gone. */
const WAYS: Readonly<Record<string, (client: RawClient) => void>> = {
  Terminate: (client) => client.end(),
  'a closed socket': (client) => client.destroy(),
  'a reset connection': (client) => client.reset(),
}

/** Longer than any cancel takes, shorter than giving a server up for lost. */
const SOON_MS = 6000

/** What a client was doing when it left; each resolves when the pooler has certainly seen it. */
const MOMENTS: Readonly<Record<string, (client: RawClient, stage: Stage) => Promise<void>>> = {
  'in a transaction': async (client) => {
    await client.query('BEGIN; INSERT INTO seen VALUES (1)')
  },
  'in a failed transaction': async (client) => {
    await client.query('BEGIN; INSERT INTO seen VALUES (1); SELECT 1/0')
  },
  'in a pipeline before its Sync': async (client) => {
    client.send(f.extended('INSERT INTO seen VALUES (1)'), f.flush())
    await client.expect('12nC')
  },
  'in a pipeline after an error': async (client) => {
    client.send(f.extended('INSERT INTO seen VALUES (1)'), f.parse('', 'SELEC'))
    await client.expect('12nCE')
  },
  'with a suspended portal': async (client) => {
    client.send(f.query('BEGIN'), f.parse('', 'INSERT INTO seen SELECT generate_series(1, 9) RETURNING id'))
    client.send(f.bind(), f.execute('', 1), f.sync())
    await client.expect('CZ12DsZ')
  },
  'in COPY from it': async (client) => {
    client.send(f.query('COPY seen FROM STDIN'), f.copyData('1\n'))
    await client.expect('G')
  },
  'in COPY from it within a pipeline': async (client) => {
    client.send(f.parse('', 'COPY seen FROM STDIN'), f.bind(), f.execute(), f.copyData('1\n'), f.sync())
    await client.expect('12G')
  },
  'in the middle of a message': async (client) => {
    await client.query('BEGIN; INSERT INTO seen VALUES (1)')
    await client.sendBytes(f.query('SELECT 1').subarray(0, 9))
  },
  'in the middle of a large message': async (client) => {
    await client.query('BEGIN; INSERT INTO seen VALUES (1)')
    await client.sendBytes(f.query(`SELECT '${'x'.repeat(500_000)}'`).subarray(0, 400_000), { every: 65_536 })
  },
}

/** Moments in which PostgreSQL has to be told to stop, which the pooler does only after a while: once each. */
const BUSY: Readonly<
  Record<string, readonly [way: string, arrive: (client: RawClient, stage: Stage) => Promise<void>]>
> = {
  'while its query runs': [
    'Terminate',
    async (client, stage) => {
      await client.query('BEGIN; INSERT INTO seen VALUES (1)')
      await stage.block(client)
    },
  ],
  'while a pipeline of it runs': [
    'a reset connection',
    async (client, stage) => {
      await stage.sql('SELECT pg_advisory_lock(1)')
      client.send(f.extended('INSERT INTO seen VALUES (1)'), f.extended('SELECT pg_advisory_xact_lock(1)'))
      client.send(f.extended('SELECT 2'), f.sync(), f.query('SELECT 3'))
      await stage.someoneIsBlocked()
    },
  ],
}

const DEPARTURES = [
  ...Object.entries(MOMENTS).flatMap(([moment, arrive]) =>
    Object.keys(WAYS).map((way) => ({ moment, way, arrive })),
  ),
  ...Object.entries(BUSY).map(([moment, [way, arrive]]) => ({ moment, way, arrive })),
]

describe('a client that leaves', () => {
  for (const { moment, way, arrive } of DEPARTURES) {
    // case 14, case 44, case 48: A leaves; the next client gets the one place of the pool, and A left no trace.
    pooled(`${moment}, by ${way}, leaves its server clean`, async (stage) => {
      await stage.sql('CREATE TABLE seen (id int)')
      const a = await stage.connect()
      await arrive(a, stage)
      WAYS[way]?.(a)
      const b = await stage.connect()
      const reply = await b.query('SELECT count(*) FROM seen')
      expect(letters(reply)).toBe('TDCZ')
      expect(rows(reply)).toEqual([['0']])
      await stage.sql('SELECT pg_advisory_unlock_all()')
      b.send(f.extended('INSERT INTO seen VALUES (2)'), f.sync())
      await b.expect('12nCZ')
    })
  }

  // The server survives: a rolled back transaction is no reason for a new connection.
  pooled('in a transaction leaves its server to the next', async (stage) => {
    const a = await stage.connect()
    const pid = await a.value('SELECT pg_backend_pid()')
    for (const leave of Object.values(WAYS)) {
      const client = await stage.connect()
      await client.query('BEGIN')
      await client.query('SELECT 1')
      leave(client)
      expect(await a.value('SELECT pg_backend_pid()')).toBe(pid)
    }
  })

  // case 14: A parsed without Sync and left; whatever the server has, B's same text must work.
  pooled('between Parse and Sync leaves no doubt about its statement', async (stage) => {
    for (const leave of Object.values(WAYS)) {
      const a = await stage.connect()
      a.send(f.parse('s', 'SELECT 42'), f.flush())
      await a.expect('1')
      leave(a)
      const b = await stage.connect()
      b.send(f.parse('s', 'SELECT 42'), f.run('s'), f.sync(), f.run('s'), f.sync())
      await b.expect('12DCZ2DCZ')
      b.end()
    }
  })

  // A waits behind C and leaves: C's server goes to B, not to a ghost.
  pooled('while it waits leaves the queue', async (stage) => {
    for (const leave of Object.values(WAYS)) {
      const c = await stage.connect()
      await c.query('BEGIN')
      const a = await stage.connect()
      a.send(f.query('SELECT 1'))
      await c.query('SELECT 2')
      const b = await stage.connect()
      b.send(f.query('SELECT 3'))
      await c.query('SELECT 4')
      leave(a)
      await c.query('COMMIT')
      await b.expect('TDCZ')
      c.end()
      b.end()
    }
  })

  // case 46, case 48, case 51: A stops reading until every buffer is full, and is gone. Nobody drains its socket any
  // more, so the pooler itself must go on reading the server, or give it up.
  pooled('in the middle of a large result frees its server soon', async (stage) => {
    for (const way of ['a closed socket', 'a reset connection']) {
      const a = await stage.connect()
      a.send(f.query("SELECT repeat('x', 100000) FROM generate_series(1, 4000)"))
      await a.receive('T')
      a.stream.socket.pause()
      await eventually(
        'the backend to wait for its client',
        () => stage.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"),
        (found) => found.length > 0,
      )
      const left = Date.now()
      WAYS[way]?.(a)
      const b = await stage.connect()
      expect(await b.value("SELECT 'free'")).toBe('free')
      expect(Date.now() - left, `milliseconds until the server was free after ${way}`).toBeLessThan(SOON_MS)
      b.end()
    }
  })

  // case 46: the same in COPY TO STDOUT.
  pooled('in the middle of a COPY to it frees its server', async (stage) => {
    const a = await stage.connect()
    a.send(f.query("COPY (SELECT repeat('x', 100000) FROM generate_series(1, 2000)) TO STDOUT"))
    await a.receive('H')
    a.destroy()
    const b = await stage.connect()
    expect(await b.value("SELECT 'free'")).toBe('free')
  })

  // A's query runs on after A has left: PostgreSQL is told to stop it.
  pooled('has its running query cancelled', async (stage) => {
    const a = await stage.connect()
    const { pid } = await stage.block(a)
    a.destroy()
    await eventually(
      'the query to end although its lock is still held',
      () => stage.sql(`SELECT 1 FROM pg_stat_activity WHERE pid = ${pid} AND state = 'active'`),
      (active) => active.length === 0,
    )
    await stage.sql('SELECT pg_advisory_unlock(1)')
  })

  // What had been sent completely before the client left is done, as it would be without a pooler.
  story('right after COMMIT has committed', async (stage) => {
    await stage.sql('CREATE TABLE committed (id int)')
    const a = await stage.connect()
    a.send(f.query('BEGIN; INSERT INTO committed VALUES (1); COMMIT'), f.terminate())
    a.stream.end()
    await a.receiveRest()
    expect(await stage.sql('SELECT * FROM committed')).toHaveLength(1)
  })
})

describe('a client that half-closes', () => {
  // case 52
  story('after its last query gets the whole reply, then the end', async (stage) => {
    const a = await stage.connect()
    a.send(f.query('SELECT generate_series(1, 1000)'), f.extended('SELECT 2'), f.sync())
    a.stream.end()
    const reply = await a.receiveRest()
    expect(letters(reply)).toBe(`T${'D'.repeat(1000)}CZ12TDCZ`)
  })

  // case 52
  story('inside a transaction gets its replies and is rolled back', async (stage) => {
    await stage.sql('CREATE TABLE half (id int)')
    const a = await stage.connect()
    a.send(f.query('BEGIN'), f.query('INSERT INTO half VALUES (1)'))
    a.stream.end()
    expect(letters(await a.receiveRest())).toBe('CZCZ')
    const b = await stage.connect()
    await b.query('SELECT * FROM half')
  })

  // case 52: A waits for C's server when its FIN arrives. Whether it would still read an answer cannot be known; its
  // place in the queue is for those who certainly do.
  pooled('while it waits is closed, and the next in the queue is served', async (stage) => {
    const c = await stage.connect()
    await c.query('BEGIN')
    const a = await stage.connect()
    a.send(f.query('SELECT 1'))
    const b = await stage.connect()
    b.send(f.query('SELECT 2'))
    await c.query('SELECT 3')
    a.stream.end()
    await a.receiveRest()
    await c.query('COMMIT')
    await b.expect('TDCZ')
  })
})

describe('many clients that leave', () => {
  // case 53: forty clients vanish in all ways; every server is usable, and none is lost or left over.
  pooled(
    'at once leave a pool of the same size that works',
    async (stage) => {
      await stage.sql('CREATE TABLE seen (id int)')
      const ways = Object.values(WAYS)
      const moments = ['in a transaction', 'in a pipeline before its Sync', 'in COPY from it']
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const client = await stage.connect()
          await MOMENTS[moments[index % moments.length] as string]?.(client, stage)
          ways[index % ways.length]?.(client)
        }),
      )
      const last = await Promise.all(Array.from({ length: 6 }, () => stage.connect()))
      await Promise.all(last.map((client) => client.query('BEGIN; SELECT count(*) FROM seen; COMMIT')))
      expect(await stage.sql('SELECT * FROM seen')).toEqual([])
      expect(await stage.serverCount()).toBeLessThanOrEqual(3)
    },
    { poolSize: 3 },
  )
})
