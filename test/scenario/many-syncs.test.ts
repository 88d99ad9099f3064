import { expect, test } from 'vitest'
import { errorResponse, parseComplete, readyForQuery } from '../support/backend-messages.ts'
import { extended, flush, parse, run, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { ran, ranExtended } from '../support/scenario-replies.ts'

/** Pipelines of several batches. */

async function setUp(): Promise<{
  scenario: Scenario
  alice: ScenarioClient
  bob: ScenarioClient
  server: ScenarioServer
}> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  return { scenario, alice, bob, server: scenario.server() }
}

test('a thousand batches in one segment are answered one by one, and only the last frees the server', async () => {
  const { scenario, alice, bob, server } = await setUp()
  const batch = Buffer.concat([extended('SELECT 1'), sync()])
  alice.send(...Array.from({ length: 1000 }, () => batch))
  bob.query('SELECT 2')
  expect(server.take()).toHaveLength(5000)
  const reply = Buffer.concat([ranExtended('1'), readyForQuery()])
  server.send(...Array.from({ length: 999 }, () => reply))
  expect(server.take()).toEqual([])
  expect(scenario.pool.waiting).toBe(1)
  server.send(reply)
  expect(alice.letters()).toBe('12TDCZ'.repeat(1000))
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('Syncs in a row are one ReadyForQuery each', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(extended('SELECT 1'), sync(), sync(), sync())
  server.send(ranExtended('1'), readyForQuery())
  expect(scenario.pool.activeCount).toBe(1)
  server.send(readyForQuery(), readyForQuery())
  expect(alice.letters()).toBe('12TDCZZZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('an error in the second of three batches touches neither the first nor the third', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(extended('SELECT 1'), sync(), extended('oops'), sync(), extended('SELECT 3'), sync())
  server.send(ranExtended('1'), readyForQuery())
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  server.send(ranExtended('3'), readyForQuery())
  expect(alice.letters()).toBe('12TDCZEZ12TDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a name of an earlier batch whose Parse is not answered yet is waited for', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), sync(), run('a'), sync())
  expect(server.take()).toEqual(['P(pooler_1 SELECT 1)', 'S'])
  server.send(parseComplete(), readyForQuery())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
  server.send(ran('1'), readyForQuery())
  expect(alice.letters()).toBe('1Z2DCZ')
})

test('a name of the same batch is not waited for', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), run('a'), run('a'), sync())
  expect(server.take()).toEqual(['P(pooler_1 SELECT 1)', 'B(pooler_1)', 'E', 'B(pooler_1)', 'E', 'S'])
})

test('where a batch is open, a held message asks the server for its replies with a Flush', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('a', 'SELECT 1'), sync(), parse('', 'SELECT 2'), run('a'), sync())
  expect(server.take()).toEqual(['P(pooler_1 SELECT 1)', 'S', 'P("" SELECT 2)', 'H'])
  server.send(parseComplete(), readyForQuery())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
  server.send(parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('1Z12DCZ')
})

test('a Flush is passed on and answered with what there is', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', 'SELECT 1'), flush())
  expect(server.take()).toEqual(['P("" SELECT 1)', 'H'])
  server.send(parseComplete())
  expect(alice.letters()).toBe('1')
})
