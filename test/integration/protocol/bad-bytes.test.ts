import { describe, expect } from 'vitest'
import { isMessage, letters, summary } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as f from '../../support/frontend-messages.ts'
import { stories } from '../../support/stories.ts'

/** Bytes that are not the protocol: the sender is answered or closed, and nobody else notices. */

const { story, pooled } = stories()

/** An error of the protocol, or nothing: PostgreSQL itself logs some of these and closes without a word. */
const PROTOCOL_ERROR_OR_NOTHING = /^(E\(08P01[^)]*\)?)?$/

function withLength(type: string, length: number, body = Buffer.alloc(8)): Buffer {
  const head = Buffer.alloc(5)
  head.write(type)
  head.writeInt32BE(length, 1)
  return Buffer.concat([head, body])
}

describe('a message', () => {
  // case 47
  pooled('of an impossible length ends its connection, and the server serves on', async (stage) => {
    const witness = await stage.connect()
    const pid = await witness.value('SELECT pg_backend_pid()')
    for (const packet of [
      withLength('Q', 3),
      withLength('Q', 0),
      withLength('Q', -1),
      withLength('P', -0x80000000),
      withLength('B', 0x7fffffff),
      withLength('S', 400_000),
      withLength('H', 2),
      withLength('d', 1),
    ]) {
      const client = await stage.connect()
      client.send(packet)
      const answer = await client.receiveRest()
      expect(answer.map(summary).join(), packet.toString('hex')).toMatch(PROTOCOL_ERROR_OR_NOTHING)
      client.destroy()
      expect(await witness.value('SELECT pg_backend_pid()')).toBe(pid)
    }
  })

  // case 47
  story('of an unknown type ends its connection with 08P01', async (stage) => {
    for (const type of ['y', '\0', '1', 'R']) {
      const client = await stage.connect()
      client.send(f.message(type.charCodeAt(0), (body) => body.int32(0)))
      const [error, ...more] = await client.receiveRest()
      expect(error).toMatchObject({ type: 'E', code: '08P01' })
      expect(more).toEqual([])
    }
  })

  // case 47: the same in the middle of a transaction; it is rolled back and its server is free.
  pooled('of nonsense inside a transaction rolls it back', async (stage) => {
    await stage.sql('CREATE TABLE nonsense (id int)')
    const client = await stage.connect()
    await client.query('BEGIN; INSERT INTO nonsense VALUES (1)')
    client.send(f.message('y'.charCodeAt(0)))
    await client.receiveRest()
    const other = await stage.connect()
    expect(await other.value('SELECT count(*) FROM nonsense')).toBe('0')
  })

  // A Query without its NUL, a Bind whose counts lie, a Close of nothing that can be closed.
  pooled('that is shorter than its fields is answered with 08P01, and nobody else notices', async (stage) => {
    const witness = await stage.connect()
    const bodies = [
      'QSELECT 1',
      'B\0\0\0',
      'DS',
      'CS',
      'E\0',
      'DXname\0',
      'CXname\0',
      'Pname\0',
      'F\0\0',
      'f',
    ]
    for (const text of bodies) {
      const client = await stage.connect()
      client.send(
        f.message(text.charCodeAt(0), (writer) => writer.bytes(Buffer.from(text.slice(1)))),
        f.sync(),
      )
      if (text === 'f') {
        await client.expect('Z')
        continue
      }
      const error = (await client.receiveUntil('E')).at(-1)
      expect(['08P01', '26000'], text).toContain(isMessage(error, 'E') ? error.code : undefined)
      client.destroy()
      await witness.query('SELECT 1')
    }
  })

  pooled('that names nothing between two NULs is no reason to close', async (stage) => {
    const client = await stage.connect()
    const reply = await client.roundTrip(f.describeMessage('S', ''), f.sync())
    expect(letters(reply)).toBe('EZ')
    await client.query('SELECT 1')
  })
})

describe('a connection', () => {
  // case 59
  pooled('that closes without a byte, or sends HTTP, disturbs nobody', async (stage) => {
    const probe = await stage.open()
    probe.destroy()
    for (const text of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\r\n\r\n\r\n\r\n', 'hello there, pooler']) {
      const client = await stage.open()
      client.send(Buffer.from(text))
      await client.closed()
      client.destroy()
    }
    const client = await stage.connect()
    await client.query('SELECT 1')
  })

  // case 61
  pooled(
    'that does not finish its login in time is closed',
    async (stage) => {
      const silent = await stage.open()
      const partial = await stage.open()
      partial.send(f.startup({ user: 'postgres' }).subarray(0, 9))
      const asked = await stage.open()
      asked.send(f.sslRequest())
      expect(await asked.receiveByte()).toBe('N')
      for (const client of [silent, partial, asked]) {
        await client.closed()
        client.destroy()
      }
      const client = await stage.connect()
      await client.query('SELECT 1')
    },
    { pooler: { client_login_timeout: '300ms' } },
  )

  // case 61: the deadline ends with the login, not with the connection.
  pooled(
    'that has logged in outlives the login’s deadline',
    async (stage) => {
      const client = await stage.connect()
      const late = await stage.open()
      await late.closed()
      late.destroy()
      await client.query('SELECT 1')
    },
    { pooler: { client_login_timeout: '300ms' } },
  )

  pooled(
    'beyond max_client_conn answers 53300, and a place that becomes free is used',
    async (stage) => {
      const first = await stage.connect()
      const second = await stage.connect()
      const third = await stage.open()
      await expect(third.login({ database: stage.database })).rejects.toThrow('53300')
      second.end()
      await second.closed()
      const again = await eventually(
        'a place to be free',
        () => stage.connect().catch(() => undefined),
        (client) => client !== undefined,
      )
      await again?.query('SELECT 1')
      await first.query('SELECT 1')
    },
    { pooler: { max_client_conn: 2 } },
  )

  // case 53: many connections that are reset while answers are on their way.
  pooled('that is reset at any moment disturbs nobody', async (stage) => {
    const witness = await stage.connect()
    for (let turn = 0; turn < 40; turn += 1) {
      const client = await stage.open()
      const bytes = Buffer.concat([
        f.startup({ user: 'postgres', database: stage.database }),
        f.query('SELEC'.repeat(turn)),
      ])
      client.send(bytes.subarray(0, 1 + ((turn * 13) % bytes.length)))
      client.reset()
      if (turn % 10 === 0) await witness.query('SELECT 1')
    }
    await witness.query('SELECT 1')
  })
})
