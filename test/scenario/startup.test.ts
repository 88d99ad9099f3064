import { expect, test } from 'vitest'
import {
  cancelRequest,
  gssencRequest,
  PROTOCOL_3_2,
  password,
  query,
  sslRequest,
  startup,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'

/** From the first byte to the welcome. */

const HELLO = { user: 'app', database: 'app' }
const WELCOMED = /^RS{8}KZ$/

test('a startup packet that comes byte by byte, with a query on its heels, is welcomed and answered', async () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.sendByteByByte(startup(HELLO), query('SELECT 1'))
  await scenario.settle()
  expect(alice.letters()).toMatch(WELCOMED)
  expect(scenario.server().take()).toEqual(['Q(SELECT 1)'])
})

test('a startup packet and a query in one chunk are two messages', async () => {
  const scenario = new Scenario()
  await scenario.client()
  const alice = scenario.connect()
  alice.send(startup(HELLO), query('SELECT 1'))
  expect(alice.letters()).toMatch(WELCOMED)
  expect(scenario.server().take()).toEqual(['Q(SELECT 1)'])
})

test.each([
  ['SSL then GSSAPI', sslRequest, gssencRequest],
  ['GSSAPI then SSL', gssencRequest, sslRequest],
])('case 58: %s is answered N twice, then the login goes on', async (_what, first, second) => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(first())
  expect(alice.takeBytes().toString()).toBe('N')
  alice.send(second())
  expect(alice.takeBytes().toString()).toBe('N')
  alice.send(startup(HELLO))
  await scenario.settle()
  expect(alice.letters()).toMatch(WELCOMED)
})

test.each([
  ['SSLRequest', sslRequest],
  ['GSSENCRequest', gssencRequest],
])('case 58: a second %s ends the connection', (_what, request) => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(request())
  alice.takeBytes()
  alice.send(request())
  expect(alice.take()).toEqual([expect.stringMatching(/^E\(08P01 received a second/)])
  expect(alice.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('case 58: bytes sent along with an SSLRequest end the connection, unread', () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(sslRequest(), startup(HELLO))
  expect(alice.take()).toEqual(['E(08P01 received unencrypted data after SSL request)'])
  expect(alice.gone).toBe(true)
})

test.each([
  ['case 60: a length below 8', Buffer.from([0, 0, 0, 7])],
  ['case 60: a length over 10,000', Buffer.from([0, 0, 0x27, 0x11])],
  ['case 59: an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
])('%s is 08P01 as soon as its four bytes are there', (_what, bytes) => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.sendByteByByte(bytes)
  expect(alice.take()).toEqual(['E(08P01 invalid length of startup packet)'])
  expect(alice.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('case 59: a TLS ClientHello is not answered where there is no TLS, as at PostgreSQL', () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.sendByteByByte(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]))
  expect(alice.takeBytes()).toHaveLength(0)
  expect(alice.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('case 59: a probe that connects and leaves leaves nothing', () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  expect(scenario.multiplexer.clientCount).toBe(1)
  alice.connection.receiveEnd()
  expect(alice.takeBytes()).toHaveLength(0)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('case 62: a newer minor version and unknown options are negotiated once, then the login goes on', async () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(startup({ ...HELLO, '_pq_.test_protocol_negotiation': '' }, (3 << 16) | 9999))
  await scenario.settle()
  const [first, ...rest] = alice.messages()
  expect(first).toMatchObject({ type: 'v', minor: 2, unknown: ['_pq_.test_protocol_negotiation'] })
  expect(rest.map(({ type }) => type).join('')).toMatch(WELCOMED)
})

test('case 62: protocol 3.2 is not negotiated, protocol 2 is refused', async () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(startup(HELLO, PROTOCOL_3_2))
  await scenario.settle()
  expect(alice.letters()).toMatch(WELCOMED)
  const bob = scenario.connect()
  bob.send(startup(HELLO, 2 << 16))
  expect(bob.take()).toEqual([expect.stringMatching(/^E\(0A000 unsupported frontend protocol 2\.0/)])
})

test('a client without a user name, and one whose replication is neither true nor false nor a database, are refused with the right SQLSTATE', () => {
  const scenario = new Scenario()
  for (const [parameters, sqlState] of [
    [{ database: 'app' }, '28000'],
    [{ ...HELLO, replication: 'Database' }, '22023'],
  ] as const) {
    const client = scenario.connect()
    client.send(startup(parameters))
    expect(client.take()).toEqual([expect.stringContaining(`E(${sqlState}`)])
    expect(client.gone).toBe(true)
  }
})

test('a password that nobody asked for ends the login', () => {
  const scenario = new Scenario()
  const alice = scenario.connect()
  alice.send(startup(HELLO), password('x'))
  expect(alice.take().at(-1)).toMatch(/^E\(08P01/)
  expect(alice.gone).toBe(true)
})

test('case 61: a client that says nothing is closed at its login deadline', () => {
  const scenario = new Scenario({ client_login_timeout: '5s' })
  const alice = scenario.connect()
  alice.send(startup(HELLO).subarray(0, 6))
  scenario.tick(4000)
  expect(alice.gone).toBe(false)
  scenario.tick(6000)
  expect(alice.take()).toEqual(['E(57014 client_login_timeout)'])
  expect(alice.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('case 61: so is one whose welcome waits for a server, while one that was welcomed stays', async () => {
  const scenario = new Scenario({ client_login_timeout: '5s' })
  const bob = await scenario.client()
  bob.query('BEGIN')
  scenario.server().done('BEGIN', 'T')
  bob.take()
  const alice = scenario.connect()
  alice.send(startup({ ...HELLO, extra_float_digits: '3' }))
  expect(scenario.pool.waiting).toBe(1)
  scenario.tick(6000)
  expect(alice.take()).toEqual(['R', 'E(57014 client_login_timeout)'])
  expect(scenario.pool.waiting).toBe(0)
  expect(bob.gone).toBe(false)
})

test('one client more than max_client_conn is refused with 53300, and served when another has left', async () => {
  const scenario = new Scenario({ max_client_conn: 1 })
  const alice = await scenario.client()
  const bob = scenario.connect()
  bob.send(startup(HELLO))
  expect(bob.take()).toEqual(['E(53300 no more connections allowed (max_client_conn))'])
  expect(bob.gone).toBe(true)
  alice.leave()
  await scenario.client()
})

test('case 69: a CancelRequest is heard when no more clients are', async () => {
  const scenario = new Scenario({ max_client_conn: 1 })
  const alice = await scenario.client()
  alice.query('SELECT pg_sleep(60)')
  scenario.connect().send(cancelRequest(alice.key))
  await scenario.settle()
  expect(scenario.cancels).toHaveLength(1)
})

test('an outage is told to a client that is not welcomed yet, with 57P03', async () => {
  const scenario = new Scenario()
  scenario.network.refusal = Object.assign(new Error('no'), { code: 'ECONNREFUSED' })
  const alice = scenario.connect()
  alice.send(startup(HELLO))
  await scenario.settle()
  expect(alice.take()).toEqual([
    'R',
    'E(57P03 the server cannot be reached (ECONNREFUSED) at 192.0.2.9:5432)',
  ])
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('when the pooler stops, every client hears 57P01 and every server is closed', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  const newcomer = scenario.connect()
  alice.query('SELECT 1')
  bob.query('SELECT 2')
  await scenario.settle()
  await scenario.stop()
  for (const client of [alice, bob, newcomer]) {
    expect(client.take()).toEqual(['E(57P01 the test is over)'])
    expect(client.gone).toBe(true)
  }
  expect(scenario.servers.map(({ gone }) => gone)).toEqual([true, true])
  expect(scenario.multiplexer.clientCount).toBe(0)
  expect(scenario.registry.size).toBe(0)
})
