import { expect, test } from 'vitest'
import { errorResponse, parseComplete, readyForQuery } from '../support/backend-messages.ts'
import { close, parse, run, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { closeComplete, ran } from '../support/scenario-replies.ts'

/** Statements pushed out by max_prepared_statements are closed on the server, unless an error is in the way. */

/** A scenario in which one server has statement `a` and room for no other. */

async function setUp(): Promise<{ scenario: Scenario; alice: ScenarioClient; server: ScenarioServer }> {
  const scenario = new Scenario({ max_prepared_statements: 1 })
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('a', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  alice.take()
  server.take()
  return { scenario, alice, server }
}

test('the oldest statement is closed when another needs its place, and nobody sees its CloseComplete', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('b', 'SELECT 2'), run('b'), sync())
  expect(server.take()).toEqual(['C(S pooler_1)', 'P(pooler_2 SELECT 2)', 'B(pooler_2)', 'E', 'S'])
  server.send(closeComplete(), parseComplete(), ran('2'), readyForQuery())
  expect(alice.letters()).toBe('12DCZ')
  // The client still has its name; the server is given the statement again.
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['C(S pooler_2)', 'P(pooler_1 SELECT 1)', 'B(pooler_1)', 'E', 'S'])
})

test('a Close that an error made the server ignore is taken back: the statement is still there', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'oops'), parse('b', 'SELECT 2'), sync())
  expect(server.take()).toEqual(['P("" oops)', 'C(S pooler_1)', 'P(pooler_2 SELECT 2)', 'S'])
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('EZ')
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('two evictions in one batch are taken back in reverse', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'oops'), parse('b', 'SELECT 2'), parse('c', 'SELECT 3'), sync())
  expect(server.take()).toEqual([
    'P("" oops)',
    'C(S pooler_1)',
    'P(pooler_2 SELECT 2)',
    'C(S pooler_2)',
    'P(pooler_3 SELECT 3)',
    'S',
  ])
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('an error behind the CloseComplete leaves the statement closed', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('b', 'oops'), sync())
  server.take()
  server.send(closeComplete(), errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('EZ')
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['P(pooler_1 SELECT 1)', 'B(pooler_1)', 'E', 'S'])
})

test('a statement that is pushed out and needed again in one batch is parsed again', async () => {
  const { alice, server } = await setUp()
  alice.send(run('a'), parse('b', 'SELECT 2'), run('b'), run('a'), sync())
  expect(server.take()).toEqual([
    'B(pooler_1)',
    'E',
    'C(S pooler_1)',
    'P(pooler_2 SELECT 2)',
    'B(pooler_2)',
    'E',
    'C(S pooler_2)',
    'P(pooler_1 SELECT 1)',
    'B(pooler_1)',
    'E',
    'S',
  ])
  server.send(ran('1'), closeComplete(), parseComplete(), ran('2'))
  server.send(closeComplete(), parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DC12DC2DCZ')
})

test('nothing is left in the registry when everybody has gone', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('', 'oops'), parse('b', 'SELECT 2'), close('S', 'a'), sync())
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  alice.send(parse('b', 'SELECT 2'), sync())
  server.send(closeComplete(), parseComplete(), readyForQuery())
  alice.leave()
  server.die()
  await scenario.settle()
  expect(scenario.registry.size).toBe(0)
})

test('a statement pushed out before its ParseComplete came, and kept by an error, can be used again', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('b', 'SELECT 2'), parse('c', 'SELECT 3'), parse('', 'oops'), sync())
  server.take()
  // Of b's eviction and c's Parse the server hears nothing: the error comes in front.
  server.send(closeComplete(), parseComplete(), errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('1EZ')
  alice.send(run('b'), sync())
  expect(server.take()).toEqual(['B(pooler_2)', 'E', 'S'])
  server.send(ran('2'), readyForQuery())
  expect(scenario.pool.activeCount).toBe(0)
})

test('a batch behind one that fails is not given a statement that the server still has', async () => {
  const { alice, server } = await setUp()
  // The first batch pushes a out, but the server skips that; the second is sent before this is known.
  alice.send(parse('', 'oops'), parse('b', 'SELECT 2'), sync(), run('a'), sync())
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('EZ')
  const sent = server.take()
  expect(sent.slice(0, 4)).toEqual(['P("" oops)', 'C(S pooler_1)', 'P(pooler_2 SELECT 2)', 'S'])
  // PostgreSQL would answer a Parse of pooler_1 with 42P05.
  expect(sent.slice(4)).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('a Parse that fails does not take away what a later batch has prepared under its name', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'oops'), parse('b', 'SELECT 2'), parse('c', 'SELECT 3'), sync())
  alice.send(parse('d', 'SELECT 2'), sync())
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  server.send(closeComplete(), parseComplete(), readyForQuery())
  server.take()
  alice.send(run('d'), sync())
  expect(server.take()).toEqual([expect.stringMatching(/^B/), 'E', 'S'])
})
