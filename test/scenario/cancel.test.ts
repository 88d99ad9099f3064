import { expect, test } from 'vitest'
import { errorResponse, readyForQuery } from '../support/backend-messages.ts'
import {
  bind,
  cancelRequest,
  execute,
  flush,
  PROTOCOL_3_2,
  parse,
  query,
  startup,
  sync,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioCancel, ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'

/** A CancelRequest reaches the query that it was meant for, or nothing at all: never the next client's. */

interface Stage {
  scenario: Scenario
  alice: ScenarioClient
  bob: ScenarioClient
  server: ScenarioServer
}

async function setUp(): Promise<Stage> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  return { scenario, alice, bob, server: scenario.server() }
}

/** Somebody sends a CancelRequest with the key of `client`; the connection for it is refused any answer. */
function cancel(scenario: Scenario, client: Pick<ScenarioClient, 'key'>): ScenarioClient {
  const connection = scenario.connect()
  connection.send(cancelRequest(client.key))
  return connection
}

/** The CancelRequest that has arrived at the server. */
function arrived(scenario: Scenario): ScenarioCancel {
  expect(scenario.cancels).toHaveLength(1)
  return scenario.cancels[0] as ScenarioCancel
}

test('a running query is canceled with the server’s own key, and nobody learns that key', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT pg_sleep(60)')
  const connection = cancel(scenario, alice)
  await scenario.settle()
  expect(arrived(scenario).processId).toBe(server.processId)
  expect(arrived(scenario).secret).toEqual(server.secret)
  expect(alice.key.secret).not.toEqual(server.secret)
  expect(connection.gone).toBe(false)
  arrived(scenario).close()
  await scenario.settle()
  // The end of the connection, without a byte, says that the request has been delivered.
  expect(connection.gone).toBe(true)
  expect(connection.takeBytes()).toHaveLength(0)
  server.send(errorResponse('57014', 'canceling statement'), readyForQuery())
  expect(alice.take()).toEqual(['E(57014 canceling statement)', 'Z(I)'])
  await scenario.settle()
  expect(scenario.pool.activeCount).toBe(0)
})

test('a server that answers while its cancel is under way is given to nobody before the cancel is through', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  cancel(scenario, alice)
  await scenario.settle()
  bob.query('SELECT 2')
  server.take()
  server.sendRow('1')
  await scenario.settle()
  expect(alice.letters()).toBe('TDCZ')
  expect(server.take()).toEqual([])
  expect(scenario.pool.waiting).toBe(1)
  arrived(scenario).close()
  await scenario.settle()
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('an answer that comes before the cancel connection is open leaves nothing to be canceled', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  scenario.network.holdConnects = true
  cancel(scenario, alice)
  bob.query('SELECT 2')
  server.take()
  server.sendRow('1')
  await scenario.settle()
  expect(server.take()).toEqual([])
  scenario.network.releaseConnects()
  await scenario.settle()
  expect(scenario.cancels).toEqual([])
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('a client that asks again while the cancel of its last query is under way waits like anybody else', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT 1')
  cancel(scenario, alice)
  await scenario.settle()
  server.take()
  server.sendRow('1')
  alice.query('SELECT 2')
  expect(server.take()).toEqual([])
  arrived(scenario).close()
  await scenario.settle()
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('an idle client has nothing to cancel', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT 1')
  server.sendRow('1')
  const connection = cancel(scenario, alice)
  await scenario.settle()
  expect(scenario.cancels).toEqual([])
  expect(connection.gone).toBe(true)
})

test('a client between two statements of its transaction has nothing to cancel', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  cancel(scenario, alice)
  await scenario.settle()
  expect(scenario.cancels).toEqual([])
})

test('a wrong secret, a wrong process id and a key of the wrong length cancel nothing', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT pg_sleep(60)')
  const { processId, secret } = alice.key
  const wrong = Buffer.from(secret.map((byte) => byte ^ 1))
  const connections = [
    { processId, secret: wrong },
    { processId: processId + 1, secret },
    { processId, secret: secret.subarray(0, 3) },
    { processId, secret: Buffer.alloc(0) },
    { processId: server.processId, secret: server.secret },
  ].map((key) => cancel(scenario, { key }))
  await scenario.settle()
  expect(connections.map(({ gone }) => gone)).toEqual([true, true, true, true, true])
  expect(scenario.cancels).toEqual([])
})

test('the key of a client that has left cancels nothing', async () => {
  const { scenario, alice, bob } = await setUp()
  alice.leave()
  bob.query('SELECT pg_sleep(60)')
  cancel(scenario, alice)
  await scenario.settle()
  expect(scenario.cancels).toEqual([])
})

test('a waiting client is answered 57014 without a server, and is not served later', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  bob.query('SELECT 2')
  server.take()
  cancel(scenario, bob)
  await scenario.settle()
  expect(bob.take()).toEqual(['E(57014 canceling statement due to user request)', 'Z(I)'])
  expect(scenario.cancels).toEqual([])
  expect(scenario.pool.waiting).toBe(0)
  server.sendRow('1')
  expect(server.take()).toEqual([])
  bob.query('SELECT 3')
  expect(server.take()).toEqual(['Q(SELECT 3)'])
})

test('a waiting batch that is canceled is answered at its Sync, once', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  bob.send(parse('', 'SELECT 2'), bind(), execute(), flush())
  cancel(scenario, bob)
  await scenario.settle()
  expect(bob.take()).toEqual(['E(57014 canceling statement due to user request)'])
  bob.send(execute(), sync())
  expect(bob.take()).toEqual(['Z(I)'])
  server.sendRow('1')
  expect(scenario.pool.activeCount).toBe(0)
})

test('of two queries that wait together the first is canceled and the second is served', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  bob.send(query('SELECT 2'), query('SELECT 3'))
  server.take()
  cancel(scenario, bob)
  await scenario.settle()
  expect(bob.letters()).toBe('EZ')
  server.sendRow('1')
  expect(server.take()).toEqual(['Q(SELECT 3)'])
})

test('two cancels for one query are both awaited', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  cancel(scenario, alice)
  cancel(scenario, alice)
  await scenario.settle()
  expect(scenario.cancels).toHaveLength(2)
  bob.query('SELECT 2')
  server.take()
  server.sendRow('1')
  scenario.cancels[1]?.close()
  await scenario.settle()
  expect(server.take()).toEqual([])
  scenario.cancels[0]?.close()
  await scenario.settle()
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('more than three cancels for one query at a time are not sent on', async () => {
  const { scenario, alice } = await setUp()
  alice.query('SELECT 1')
  for (let i = 0; i < 10; i++) cancel(scenario, alice)
  await scenario.settle()
  expect(scenario.cancels).toHaveLength(3)
})

test('a cancel that cannot be delivered does not keep the server away from the others', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  scenario.network.refusal = new Error('ECONNREFUSED')
  cancel(scenario, alice)
  await scenario.settle()
  bob.query('SELECT 2')
  server.take()
  server.sendRow('1')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('a server that dies while its cancel is under way leaves its place to a new one', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  cancel(scenario, alice)
  await scenario.settle()
  bob.query('SELECT 2')
  server.sendRow('1')
  server.die()
  await scenario.settle()
  expect(scenario.server(1).take()).toEqual(['Q(SELECT 2)'])
  arrived(scenario).close()
  await scenario.settle()
  expect(scenario.pool.size).toBe(1)
})

test('a client with protocol 3.2 gets a long key, one with 3.0 a key of four bytes', async () => {
  const scenario = new Scenario()
  const old = await scenario.client()
  expect(old.key.secret).toHaveLength(4)
  const recent = scenario.connect()
  recent.send(startup({ user: 'app', database: 'app' }, PROTOCOL_3_2))
  expect(recent.letters()).toMatch(/^RS*KZ$/)
  expect(recent.key.secret.length).toBeGreaterThan(4)
  recent.query('SELECT 1')
  cancel(scenario, recent)
  await scenario.settle()
  expect(scenario.cancels).toHaveLength(1)
})
