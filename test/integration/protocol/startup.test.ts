import { describe, expect } from 'vitest'
import { isMessage, ofType, summary } from '../../support/backend-message.ts'
import * as f from '../../support/frontend-messages.ts'
import type { RawClient } from '../../support/raw-client.ts'
import type { Stage } from '../../support/stage.ts'
import { stories } from '../../support/stories.ts'

/** From the first byte to the first ReadyForQuery; and bytes that are no protocol at all. */

const { story, pooled } = stories()

/** A login by hand, for packets that `connect` would not send. */
async function startWith(stage: Stage, packet: Buffer): Promise<RawClient> {
  const client = await stage.open()
  client.send(packet)
  return client
}

describe('the login', () => {
  pooled('brings the parameters that the server really has, a key and ReadyForQuery', async (stage) => {
    const client = await stage.connect()
    const reported = ofType(client.greeting, 'S')
    for (const { name, value } of reported) expect(await client.value(`SHOW ${name}`), name).toBe(value)
    for (const name of ['server_version', 'client_encoding', 'DateStyle', 'TimeZone', 'integer_datetimes']) {
      expect(client.parameters.has(name), name).toBe(true)
    }
    expect(ofType(client.greeting, 'K')).toHaveLength(1)
    expect(client.greeting.at(-1)).toMatchObject({ type: 'Z', status: 'I' })
  })

  // case 63: the key is the pooler's own; a client of protocol 3.0 gets exactly four bytes of it.
  pooled('gives every client a key of its own, which is not the server’s', async (stage) => {
    const clients = await Promise.all([stage.connect(), stage.connect(), stage.connect()])
    const keys = clients.map(({ key }) => `${key?.processId}/${key?.secret.toString('hex')}`)
    expect(new Set(keys).size).toBe(keys.length)
    for (const { key } of clients) expect(key?.secret).toHaveLength(4)
    expect(new Set(clients.map(({ key }) => key?.secret.toString('hex'))).size).toBe(clients.length)
  })

  story('without a user name is refused', async (stage) => {
    const client = await startWith(stage, f.startup({ database: stage.database }))
    const [error] = await client.receiveRest()
    expect(error).toMatchObject({ type: 'E', code: '28000' })
  })

  // case 60
  story('may arrive byte by byte', async (stage) => {
    const client = await stage.open()
    await client.sendBytes(
      f.startup({ user: 'postgres', database: stage.database, application_name: 'slow' }),
      {
        every: 1,
      },
    )
    expect(await client.finishLogin('postgres', stage.password)).toBe(undefined)
    await client.query('SHOW application_name')
  })

  // The first query is in the segment of the StartupMessage, as nothing forbids where no password is asked for.
  pooled('may be followed by a query in the same segment', async (stage) => {
    const client = await stage.open()
    client.send(f.startup({ user: 'postgres', database: stage.database }), f.query('SELECT 1'))
    expect(await client.finishLogin('postgres')).toBe(undefined)
    await client.expect('TDCZ')
  })
})

describe('SSLRequest and GSSENCRequest', () => {
  // case 58: neither is offered yet; the test cluster has no certificate either.
  story('are answered N in either order, and the login goes on in clear', async (stage) => {
    for (const requests of [
      [f.sslRequest],
      [f.gssencRequest],
      [f.sslRequest, f.gssencRequest],
      [f.gssencRequest, f.sslRequest],
    ]) {
      const client = await stage.open()
      for (const request of requests) {
        client.send(request())
        expect(await client.receiveByte()).toBe('N')
      }
      await client.login({ database: stage.database, password: stage.password })
      await client.query('SELECT 1')
    }
  })

  // case 58
  pooled('are answered once each: a second one ends the connection', async (stage) => {
    const client = await stage.open()
    client.send(f.sslRequest())
    expect(await client.receiveByte()).toBe('N')
    client.send(f.sslRequest())
    const answer = await client.receiveRest()
    expect(answer.map(summary).join(), 'nothing, or one FATAL').toMatch(/^(E\(0[A8].*)?$/)
  })
})

describe('a StartupMessage', () => {
  // case 60
  story('without its final NUL is refused with 08P01', async (stage) => {
    const whole = f.startup({ user: 'postgres' })
    const cut = Buffer.from(whole.subarray(0, whole.length - 1))
    cut.writeInt32BE(cut.length)
    const client = await startWith(stage, cut)
    const [error] = await client.receiveRest()
    expect(error).toMatchObject({ type: 'E', code: '08P01' })
  })

  // case 60, case 47: lengths that PostgreSQL would not read either.
  pooled('of an impossible length ends the connection before anything is allocated', async (stage) => {
    for (const length of [0, 1, 7, 10_005, 0x7fffffff, -1, -0x80000000]) {
      const packet = Buffer.alloc(16)
      packet.writeInt32BE(length)
      packet.writeInt32BE(f.PROTOCOL_3_0, 4)
      const client = await startWith(stage, packet)
      const answer = await client.receiveRest()
      expect(answer.map(summary).join(), `length ${length}`).toMatch(/^(E\(08P01.*)?$/)
    }
    const survivor = await stage.connect()
    await survivor.query('SELECT 1')
  })

  // case 60: 10,000 bytes are PostgreSQL's own limit.
  story('may be nearly as long as PostgreSQL allows', async (stage) => {
    const client = await stage.connect({ parameters: { application_name: 'a'.repeat(9000) } })
    await client.query('SHOW application_name')
  })

  // case 62: PostgreSQL answers such a client in the form of protocol 2, so only the first byte is compared.
  pooled('of protocol 2 is refused', async (stage) => {
    const client = await startWith(stage, f.startup({ user: 'postgres' }, 2 << 16))
    expect(await client.receiveByte()).toBe('E')
    await client.closed()
    client.destroy()
  })

  // case 62
  pooled('of a newer minor version or with unknown options is negotiated once', async (stage) => {
    for (const [protocol, parameters] of [
      [(3 << 16) | 9999, {}],
      [f.PROTOCOL_3_0, { '_pq_.fancy': '1', '_pq_.other': 'x' }],
      [(3 << 16) | 9999, { '_pq_.fancy': '1' }],
    ] as const) {
      const client = await stage.connect({ protocol, parameters })
      const answers = ofType(client.greeting, 'v')
      expect(answers).toHaveLength(1)
      expect(client.greeting[0], 'negotiation comes before authentication').toBe(answers[0])
      expect(answers[0]?.unknown).toEqual(Object.keys(parameters))
      expect([0, 2]).toContain(answers[0]?.minor)
      await client.query('SELECT 1')
    }
  })

  // case 62, case 63
  pooled('of protocol 3.2 is accepted', async (stage) => {
    const client = await stage.connect({ protocol: f.PROTOCOL_3_2 })
    const negotiated = ofType(client.greeting, 'v')[0]?.minor ?? 2
    const length = client.key?.secret.length ?? 0
    if (negotiated === 0) expect(length).toBe(4)
    else expect(length).toBeGreaterThanOrEqual(4)
    expect(length).toBeLessThanOrEqual(256)
    await client.query('SELECT 1')
  })
})

describe('startup parameters', () => {
  const NAMES = [
    'application_name',
    'DateStyle',
    'TimeZone',
    'search_path',
    'extra_float_digits',
    'statement_timeout',
  ]
  const OTHERS = ['work_mem', 'client_encoding', 'geqo', 'custom.thing', 'lock_timeout', 'IntervalStyle']

  async function showAll(client: RawClient): Promise<void> {
    for (const name of [...NAMES, ...OTHERS]) {
      // A custom setting that was set once and reset is empty, not null, for the rest of its session.
      await client.query(`SELECT nullif(current_setting('${name}', true), '')`)
    }
  }

  // case 65: A and B share a server; what each asked for at startup is there in every turn, and only there.
  story('of every kind are applied, and to their own client only', async (stage) => {
    const a = await stage.connect({
      parameters: {
        application_name: "a's",
        DateStyle: 'German',
        search_path: '"a b", public',
        extra_float_digits: '2',
        statement_timeout: '12345',
        client_encoding: 'latin1',
      },
    })
    const b = await stage.connect({
      parameters: { TimeZone: 'Asia/Tokyo', work_mem: '2MB', 'custom.thing': 'b' },
    })
    const c = await stage.connect()
    for (let turn = 0; turn < 2; turn += 1) for (const client of [a, b, c]) await showAll(client)
  })

  // case 64: PostgreSQL's own rules of splitting and escaping.
  for (const options of [
    '-c work_mem=3MB',
    '-cwork_mem=3MB -c geqo=off',
    '--work-mem=3MB --geqo=off',
    '-c application_name=with\\ space -c search_path=one,\\"two\\ three\\"',
    '  -c   application_name=a\\\\b  --lock-timeout=77  ',
    '-c custom.thing=1+1=2 -c DateStyle=German',
    '-c statement_timeout=5s -c extra_float_digits=0',
    '-c application_name=',
  ]) {
    story(`may come in options: ${options}`, async (stage) => {
      const client = await stage.connect({ parameters: { options } })
      const other = await stage.connect()
      await showAll(client)
      await showAll(other)
      await showAll(client)
    })
  }

  story('outside options win over those inside', async (stage) => {
    const client = await stage.connect({
      parameters: {
        options: '-c application_name=inside -c TimeZone=Asia/Tokyo',
        application_name: 'outside',
      },
    })
    await showAll(client)
  })

  // case 38: the value must arrive as a literal, whatever it looks like.
  story('are taken literally', async (stage) => {
    const client = await stage.connect({
      parameters: { application_name: "'; DROP TABLE x; --", search_path: 'pg_catalog, "; SELECT 1"' },
    })
    await showAll(client)
  })

  // case 65: PostgreSQL refuses the login; the pooler may do so at the latest with the first query.
  pooled('that PostgreSQL does not know are refused with its own SQLSTATE', async (stage) => {
    for (const [parameters, code] of [
      [{ no_such_parameter: '1' }, '42704'],
      [{ TimeZone: 'Mars/Olympus' }, '22023'],
      [{ options: '-c work_mem=much' }, '22023'],
    ] as const) {
      const client = await startWith(
        stage,
        f.startup({ user: 'postgres', database: stage.database, ...parameters }),
      )
      client.send(f.query('SELECT 1'))
      const error = await firstError(client)
      expect(error.code).toBe(code)
    }
    const survivor = await stage.connect()
    await survivor.query('SELECT 1')
  })

  pooled(
    'in ignore_startup_parameters are neither applied nor refused',
    async (stage) => {
      const client = await stage.connect({ parameters: { no_such_parameter: '1', work_mem: '3MB' } })
      expect(await client.value('SHOW work_mem')).toBe('4MB')
    },
    { pooler: { ignore_startup_parameters: 'no_such_parameter, work_mem' } },
  )
})

async function firstError(client: RawClient) {
  for (;;) {
    const message = await client.receive()
    if (isMessage(message, 'E')) return message
  }
}
