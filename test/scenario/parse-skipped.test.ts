import { expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import {
  bind,
  close,
  describeMessage,
  execute,
  flush,
  parse,
  query,
  run,
  sync,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { closeComplete, described, ran } from '../support/scenario-replies.ts'

/** A Parse that the server need not see is answered by the pooler, at its own place among the replies. */

/** The server has `SELECT 1`; alice is a client that does not. */
async function setUp(): Promise<{ scenario: Scenario; alice: ScenarioClient; server: ScenarioServer }> {
  const scenario = new Scenario()
  const teacher = await scenario.client()
  const alice = await scenario.client()
  const server = scenario.server()
  teacher.send(parse('t', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  server.take()
  return { scenario, alice, server }
}

test('ParseComplete comes before ParameterDescription and BindComplete', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), describeMessage('S', 'a'), bind('a'), execute(), sync())
  expect(server.take()).toEqual(['D(S pooler_1)', 'B(pooler_1)', 'E', 'S'])
  server.send(described(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('1tT2DCZ')
})

test('ParseComplete comes behind the replies of what was sent before it', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'SELECT 2'), bind(), execute(), parse('a', 'SELECT 1'), run('a'), sync())
  expect(server.take()).toEqual(['P("" SELECT 2)', 'B("")', 'E', 'B(pooler_1)', 'E', 'S'])
  server.sendByteByByte(parseComplete(), ran('2'), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('12DC12DCZ')
})

test('a ParseComplete at the very end comes before ReadyForQuery', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'SELECT 2'), bind(), execute(), parse('a', 'SELECT 1'), sync())
  server.send(parseComplete(), ran('2'), readyForQuery())
  expect(alice.letters()).toBe('12DC1Z')
})

test('a lone Parse is answered at once and without a server, also when only a Flush or nothing follows', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'))
  expect(alice.letters()).toBe('1')
  alice.send(flush())
  expect(alice.letters()).toBe('')
  alice.send(sync())
  expect(alice.letters()).toBe('Z')
  expect(server.take()).toEqual([])
  expect(scenario.pool.activeCount).toBe(0)
})

test('a lone Parse in a transaction is answered at once, and its Sync by the server', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  server.take()
  alice.take()
  alice.send(parse('a', 'SELECT 1'), flush())
  expect(alice.letters()).toBe('1')
  alice.send(sync())
  expect(server.take()).toEqual(['H', 'S'])
  server.send(readyForQuery('T'))
  expect(alice.letters()).toBe('Z')
})

test('in a failed transaction the server itself refuses a Parse that it need not see', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.query('oops')
  server.send(errorResponse('42601', 'syntax error'), readyForQuery('E'))
  server.take()
  alice.take()
  alice.send(parse('a', 'SELECT 1'), sync())
  expect(server.take()).toEqual(['C(S pooler_1)', 'P(pooler_1 SELECT 1)', 'S'])
  server.send(errorResponse('25P02', 'current transaction is aborted'), readyForQuery('E'))
  expect(alice.letters()).toBe('EZ')
})

test('the Close of a statement right behind its Execute is answered between CommandComplete and ReadyForQuery', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), run('a'), close('S', 'a'), parse('a', 'SELECT 1'), run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'B(pooler_1)', 'E', 'S'])
  server.send(ran('1'))
  expect(alice.letters()).toBe('12DC31')
  server.send(ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
})

test('Close of a portal with the name of a statement closes the portal only', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), close('P', 'a'), sync())
  expect(server.take()).toEqual(['C(P a)', 'S'])
  server.send(closeComplete(), readyForQuery())
  expect(alice.letters()).toBe('13Z')
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('Close of a name that does not exist is answered without a server', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(close('S', 'nothing'), sync())
  expect(alice.letters()).toBe('3Z')
  expect(server.take()).toEqual([])
  expect(scenario.pool.activeCount).toBe(0)
})

test('the same text with other parameter types is another statement', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1', [23]), sync())
  expect(server.take()).toEqual(['P(pooler_2 SELECT 1)', 'S'])
  server.send(parseComplete(), readyForQuery())
  expect(scenario.registry.size).toBe(2)
})

test('a name in use answers 42P05 with the name that the client knows', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), sync())
  expect(alice.letters()).toBe('1Z')
  alice.send(parse('a', 'SELECT 2'), sync())
  expect(server.take()).toEqual(['P(pooler_1 SELECT 2)', 'S'])

  server.send(
    errorResponse('42P05', `prepared statement "${scenario.names.real(1)}" already exists`),
    readyForQuery(),
  )
  expect(alice.take()).toEqual(['E(42P05 prepared statement "a" already exists)', 'Z(I)'])
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('an unnamed statement is parsed again where a later batch meets another server', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  const first = scenario.server()
  alice.send(parse('', 'SELECT 5'), describeMessage('S'), sync())
  first.send(parseComplete(), described(), readyForQuery())
  expect(alice.letters()).toBe('1tTZ')
  bob.query('BEGIN')
  alice.send(bind(), execute(), sync())
  await scenario.settle()
  const second = scenario.server(1)
  expect(second.take()).toEqual(['P("" SELECT 5)', 'B("")', 'E', 'S'])
  second.send(parseComplete(), bindComplete(), commandComplete('SELECT 0'), readyForQuery())
  expect(alice.letters()).toBe('2CZ')
})

test('one client cannot run the unnamed statement that another left on a server', async () => {
  const { scenario, alice, server } = await setUp()
  const bob = await scenario.client()
  alice.send(parse('', 'SELECT 5'), sync())
  server.send(parseComplete(), readyForQuery())
  server.take()
  bob.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['C(S "")', 'B("")', 'E', 'S'])
})

test('a Parse that is sent behind what fails the transaction is refused by the server, too', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.take()
  server.take()
  // Sent before alice, or anybody, knows that the query fails.
  alice.send(query('oops'), parse('a', 'SELECT 1'), sync())
  server.send(errorResponse('42601', 'syntax error'), readyForQuery('E'))
  server.send(errorResponse('25P02', 'current transaction is aborted'), readyForQuery('E'))
  expect(alice.letters()).toBe('EZEZ')
})
