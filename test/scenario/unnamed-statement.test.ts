import { expect, test } from 'vitest'
import {
  bindComplete,
  errorResponse,
  parameterStatus,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, close, execute, parse, query, sync } from '../support/frontend-messages.ts'
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

test('two that were skipped in a row do not leave another client’s to this one', async () => {
  const { bob, server } = await setUp()
  bob.send(bind('nothing'), parse('', 'SELECT 2'), parse('', 'SELECT 3'), sync())
  server.send(errorResponse('26000', 'no such statement'), readyForQuery())
  server.take()
  // The server still has alice's.
  bob.send(bind(), execute(), sync())
  expect(server.take()[0]).toBe('C(S "")')
})

test('parameters that are set by a simple query of the pooler destroy it: it is sent again', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client({ application_name: 'bob' })
  const server = scenario.server()
  alice.send(parse('', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  // Bob does not touch the unnamed statement himself.
  bob.send(parse('b', 'SELECT 2'), sync())
  server.send(parameterStatus('application_name', 'bob'))
  server.sendRow('bob')
  server.send(parseComplete(), readyForQuery())
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual([expect.stringMatching(/^Q/), 'P("" SELECT 1)', 'B("")', 'E', 'S'])
})

test('one that the client has closed is gone, although a server still has it', async () => {
  const { alice, server } = await setUp()
  alice.send(close('S', ''), sync())
  expect(alice.letters()).toBe('3Z')
  alice.send(bind(), execute(), sync())
  expect(server.take()[0]).toBe('C(S "")')
})

test('one that a simple query destroyed on another server is gone on this one, too', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  const first = scenario.server()
  alice.send(parse('', 'SELECT 1'), sync())
  first.send(parseComplete(), readyForQuery())
  bob.send(parse('b', 'SELECT 2'))
  alice.query('SELECT 3')
  await scenario.settle()
  scenario.server(1).sendRow('3')
  bob.send(sync())
  first.send(parseComplete(), readyForQuery())
  first.take()
  // Bob's server came back last, so alice gets it: it has her statement of old.
  alice.send(bind(), execute(), sync())
  expect(first.take()[0]).toBe('C(S "")')
})
