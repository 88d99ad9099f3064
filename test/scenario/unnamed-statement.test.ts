import { expect, test } from 'vitest'
import { bindComplete, errorResponse, parseComplete, readyForQuery } from '../support/backend-messages.ts'
import { bind, execute, parse, query, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { ran } from '../support/scenario-replies.ts'

/** The unnamed statement across batches: the server has the last one whose Parse it got to. */

/** Alice has prepared `SELECT 1` without a name. */
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
  alice.send(parse('', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  alice.take()
  server.take()
  return { scenario, alice, bob, server }
}

const SYNTAX_ERROR = errorResponse('42601', 'syntax error')

test('it is used in the next batch without being sent again', async () => {
  const { alice, server } = await setUp()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['B("")', 'E', 'S'])
  server.send(ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
})

test('it is sent again behind another client that used the server', async () => {
  const { alice, bob, server } = await setUp()
  bob.query('SELECT 2')
  server.sendRow('2')
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['P("" SELECT 1)', 'B("")', 'E', 'S'])
  server.send(parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
})

test('a simple query destroys it', async () => {
  const { alice, server } = await setUp()
  alice.query('SELECT 2')
  server.sendRow('2')
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['C(S "")', 'B("")', 'E', 'S'])
})

test('a simple query that the server skips does not', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(bind('nothing'), query('SELECT 2'), sync())
  server.send(errorResponse('26000', 'no such statement'), readyForQuery())
  server.take()
  alice.send(bind(), execute(), sync())
  await scenario.settle()
  // A server that has seen a simple query inside an open batch may have been replaced.
  const sent = (scenario.servers.at(-1) as ScenarioServer).take()
  expect(sent.join(' ')).toMatch(/^(P\("" SELECT 1\) )?B\(""\) E S$/)
})

test('a Parse that fails destroys it', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'oops'), sync())
  server.send(SYNTAX_ERROR, readyForQuery())
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['C(S "")', 'B("")', 'E', 'S'])
})

test('one whose replay was skipped because of an error is still the client’s', async () => {
  const { alice, bob, server } = await setUp()
  bob.query('SELECT 2')
  server.sendRow('2')
  alice.send(bind('nothing'), bind(), sync())
  server.send(errorResponse('26000', 'no such statement'), readyForQuery())
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['P("" SELECT 1)', 'B("")', 'E', 'S'])
})

test('one prepared in a batch behind a failing batch survives the failure', async () => {
  const { alice, bob, server } = await setUp()
  bob.query('SELECT 2')
  server.sendRow('2')
  alice.send(bind('nothing'), parse('', 'SELECT 2'), sync())
  // The next batch has begun to arrive when the error of the first comes.
  alice.send(parse('', 'SELECT 3'))
  server.send(errorResponse('26000', 'no such statement'), readyForQuery())
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take().join(' ')).not.toContain('C(S "")')
  server.send(parseComplete(), bindComplete())
  expect(alice.letters()).toBe('EZ12')
})
