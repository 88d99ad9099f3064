import { expect, test } from 'vitest'
import { parseComplete, readyForQuery } from '../support/backend-messages.ts'
import { bind, execute, extended, parse, query, sync, terminate } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { ranExtended } from '../support/scenario-replies.ts'

/** A message of which only a part has come when its server could be released. */

async function setUp(): Promise<{
  scenario: Scenario
  alice: ScenarioClient
  bob: ScenarioClient
  server: ScenarioServer
}> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  server.take()
  return { scenario, alice, bob, server }
}

const LONG = query(`SELECT '${'x'.repeat(1000)}'`)

test('a head that has not been forwarded does not keep the server: the rest finds another', async () => {
  const { scenario, alice, bob, server } = await setUp()
  const second = query('SELECT 2')
  alice.send(query('SELECT 1'), second.subarray(0, 8))
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  bob.query('SELECT 3')
  server.sendRow('1')
  expect(server.take()).toEqual(['Q(SELECT 3)'])
  alice.send(second.subarray(8))
  expect(scenario.pool.waiting).toBe(1)
  server.sendRow('3')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
  server.sendRow('2')
  expect(alice.letters()).toBe('TDCZTDCZ')
})

test('a long query whose tail is still to come keeps the server', async () => {
  const { alice, bob, server } = await setUp()
  alice.send(query('SELECT 1'), LONG.subarray(0, 600))
  bob.query('SELECT 3')
  server.take()
  server.sendRow('1')
  expect(server.take()).toEqual([])
  alice.send(LONG.subarray(600))
  expect(server.take()).toEqual([`Q(SELECT '${'x'.repeat(1000)}')`])
  server.sendRow('x')
  expect(server.take()).toEqual(['Q(SELECT 3)'])
})

test('a message that comes byte by byte reaches the server whole and unchanged', async () => {
  const { scenario, alice, server } = await setUp()
  alice.sendByteByByte(LONG)
  expect(server.takeBytes()).toEqual(LONG)
  server.sendRow('x')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a batch in pieces, answered in pieces, is one batch', async () => {
  const { scenario, alice, server } = await setUp()
  alice.sendByteByByte(extended('SELECT 1'), sync())
  expect(server.take()).toEqual(['P("" SELECT 1)', 'B("")', 'D(P "")', 'E', 'S'])
  server.sendByteByByte(ranExtended('1'), readyForQuery())
  expect(alice.letters()).toBe('12TDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a Bind longer than its head passes with the statement renamed and its tail untouched', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('a', 'SELECT $1'), sync())
  server.send(parseComplete(), readyForQuery())
  server.take()
  const value = 'v'.repeat(10_000)
  const message = bind('a', { values: [value] })
  for (let at = 0; at < message.length; at += 3000) alice.send(message.subarray(at, at + 3000))
  alice.send(execute(), sync())
  const expected = Buffer.concat([bind(scenario.names.real(1), { values: [value] }), execute(), sync()])
  expect(server.takeBytes()).toEqual(expected)
})

test('a client that says Terminate in the middle of another batch is gone, and its server is cleaned', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('', 'INSERT'), bind(), execute(), terminate())
  await scenario.settle()
  expect(server.take()).toEqual(['P("" INSERT)', 'B("")', 'E', 'D(S pooler_no_such_statement)', 'S'])
  expect(alice.gone).toBe(true)
})

test('bytes behind Terminate are thrown away', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(query('SELECT 1'), terminate(), query('DROP TABLE t'))
  alice.query('DROP TABLE t')
  server.sendRow('1')
  await scenario.settle()
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  expect(alice.gone).toBe(true)
  // Bob is still there.
  expect(scenario.multiplexer.clientCount).toBe(1)
})

test('a message that may not be ends the client, not the query in front of it', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.send(query('SELECT 1'), Buffer.from([0x7a, 0, 0, 0, 4]))
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  server.sendRow('1')
  await scenario.settle()
  expect(alice.take()).toEqual([
    'T',
    'D',
    'C(SELECT 1)',
    'Z(I)',
    'E(08P01 invalid frontend message type 122)',
  ])
  expect(alice.gone).toBe(true)
  bob.query('SELECT 2')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test.each([
  ['below 4', [0x51, 0, 0, 0, 3]],
  ['negative', [0x51, 0x80, 0, 0, 0]],
  ['over a gigabyte', [0x51, 0x40, 0, 0, 0]],
  ['over the limit of a small message', [0x53, 0, 0, 0x40, 0]],
])('a length %s ends the client with 08P01', async (_what, bytes) => {
  const { alice, server } = await setUp()
  alice.send(Buffer.from(bytes))
  expect(alice.take()).toEqual(['E(08P01 invalid message length)'])
  expect(alice.gone).toBe(true)
  expect(server.take()).toEqual([])
})
