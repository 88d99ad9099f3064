import { expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, describeMessage, execute, parse, query, run, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { closeComplete, described, outdatedPlan, ran } from '../support/scenario-replies.ts'

/** A server that has lost a statement, or has it for tables that have changed, gets it again unnoticed. */

async function setUp(): Promise<{ scenario: Scenario; alice: ScenarioClient; server: ScenarioServer }> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('a', 'SELECT * FROM t'), sync())
  server.send(parseComplete(), readyForQuery())
  alice.take()
  server.take()
  return { scenario, alice, server }
}

test('26000 from a server leads to a Parse and the batch again, and the client sees the result only', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
  server.send(errorResponse('26000', 'prepared statement "pooler_1" does not exist'), readyForQuery())
  expect(server.take()).toEqual(['P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S'])
  server.send(parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('an outdated plan is closed and parsed anew', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(run('a'), sync())
  server.take()
  server.send(outdatedPlan(), readyForQuery())
  expect(server.take()).toEqual(['C(S pooler_1)', 'P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S'])
  server.send(closeComplete(), parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a client that was told the columns before gets the error, because they may be others now', async () => {
  const { alice, server } = await setUp()
  alice.send(describeMessage('S', 'a'), sync())
  server.send(described(), readyForQuery())
  alice.send(run('a'), sync())
  server.take()
  alice.take()
  server.send(outdatedPlan(), readyForQuery())
  expect(alice.take()).toEqual(['E(0A000 cached plan must not change result type)', 'Z(I)'])
  expect(server.take()).toEqual([])
  // Its next use has the statement parsed anew.
  alice.send(run('a'), sync())
  expect(server.take().slice(0, 2)).toEqual(['C(S pooler_1)', 'P(pooler_1 SELECT * FROM t)'])
})

test('a batch of which something was answered already is not repeated', async () => {
  const { alice, server } = await setUp()
  alice.send(run('a'), run('a'), sync())
  server.take()
  server.send(ran('1'), errorResponse('26000', 'gone'), readyForQuery())
  expect(alice.letters()).toBe('2DCEZ')
  expect(server.take()).toEqual([])
})

test('a batch inside a transaction is not repeated', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.take()
  server.take()
  alice.send(run('a'), sync())
  server.take()
  server.send(errorResponse('26000', 'gone'), readyForQuery('E'))
  expect(alice.letters()).toBe('EZ')
  expect(server.take()).toEqual([])
})

test('what the client sends behind the batch waits until it has been repeated', async () => {
  const { alice, server } = await setUp()
  alice.send(run('a'), sync())
  server.take()
  // The error is there, its ReadyForQuery is not: nothing may come between.
  server.send(errorResponse('26000', 'gone'))
  alice.query('SELECT 2')
  expect(server.take()).toEqual([])
  server.send(readyForQuery())
  expect(server.take()).toEqual(['P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S', 'Q(SELECT 2)'])
})

test('a statement that is lost for good is not asked for again and again', async () => {
  const { alice, server } = await setUp()
  alice.send(run('a'), sync())
  server.send(errorResponse('26000', 'gone'), readyForQuery())
  server.take()
  server.send(parseComplete(), errorResponse('26000', 'gone again'), readyForQuery())
  expect(alice.take()).toEqual(['E(26000 gone again)', 'Z(I)'])
})

test('a batch of a client that leaves before it is repeated is carried out, and its server freed', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(run('a'), sync())
  server.send(errorResponse('26000', 'gone'))
  server.take()
  alice.vanish()
  server.send(readyForQuery())
  expect(server.take()).toEqual(['P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S'])
  server.send(parseComplete(), ran('1'), readyForQuery())
  await scenario.settle()
  expect(scenario.multiplexer.clientCount).toBe(0)
  expect(scenario.pool.activeCount).toBe(0)
})

test('DEALLOCATE of a name frees it for this client and leaves the statement to the others', async () => {
  const { scenario, alice, server } = await setUp()
  const bob = await scenario.client()
  bob.send(parse('b', 'SELECT * FROM t'), sync())
  alice.query('DEALLOCATE a')
  // What the server is asked for instead is not the statement that bob uses.
  expect(server.take().join(' ')).not.toContain('pooler_1')
  server.send(commandComplete('PREPARE'), commandComplete('DEALLOCATE'), readyForQuery())
  expect(alice.take()).toEqual(['C(DEALLOCATE)', 'Z(I)'])
  alice.send(parse('a', 'SELECT 2'), sync())
  expect(server.take().at(-1)).toBe('S')
  server.send(parseComplete(), readyForQuery())
  expect(alice.letters()).toBe('1Z')
  bob.send(run('b'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('DEALLOCATE ALL frees all names of this client, also for what it sends in the same segment', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(query('DEALLOCATE ALL'), parse('a', 'SELECT 2'), bind('a'), execute(), sync())
  expect(server.take()).toEqual(['Q(DEALLOCATE ALL)'])
  server.done('DEALLOCATE ALL')
  expect(server.take()).toEqual(['P(pooler_2 SELECT 2)', 'B(pooler_2)', 'E', 'S'])
  server.send(parseComplete(), ran('2'), readyForQuery())
  expect(alice.letters()).toBe('CZ12DCZ')
  expect(scenario.registry.size).toBe(1)
})

// Each of them may free the name; only the last one's reply says whether it has.
test.each([
  { what: 'DISCARD PLANS', first: [parse('', 'DISCARD PLANS'), bind(), execute(), sync()] },
  { what: 'DEALLOCATE', first: [query('DEALLOCATE other')] },
  { what: 'DEALLOCATE that fails', first: [query('DEALLOCATE other')] },
])(
  'the reply to $what frees nothing that a DEALLOCATE ALL behind it is about to',
  async ({ what, first }) => {
    const { alice, server } = await setUp()
    alice.send(...first, query('DEALLOCATE ALL'), parse('a', 'SELECT 2'), sync())
    server.take()
    if (what === 'DISCARD PLANS')
      server.send(parseComplete(), bindComplete(), commandComplete(what), readyForQuery())
    else if (what === 'DEALLOCATE') server.done(what)
    else server.send(errorResponse('26000', 'no such statement'), readyForQuery())
    expect(server.take()).toEqual([])
    server.done('DEALLOCATE ALL')
    expect(server.take()).toEqual(['P(pooler_2 SELECT 2)', 'S'])
    server.send(parseComplete(), readyForQuery())
    expect(alice.letters()).toMatch(/1Z$/)
  },
)

test('two DISCARDs in one batch free nothing before the second is answered', async () => {
  const { alice, server } = await setUp()
  const discard = (what: string): Buffer[] => [parse('', what), bind(), execute()]
  alice.send(...discard('DISCARD PLANS'), ...discard('DEALLOCATE ALL'), parse('a', 'SELECT 2'), sync())
  server.take()
  server.send(parseComplete(), bindComplete(), commandComplete('DISCARD PLANS'))
  expect(server.take()).toEqual(['H'])
  server.send(parseComplete(), bindComplete(), commandComplete('DEALLOCATE ALL'))
  expect(server.take()).toEqual(['P(pooler_2 SELECT 2)', 'S'])
  server.send(parseComplete(), readyForQuery())
  expect(alice.letters()).toBe('12C12C1Z')
})

test('DISCARD ALL that fails in a transaction frees nothing', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.query('DISCARD ALL')
  server.send(errorResponse('25001', 'cannot run inside a transaction block'), readyForQuery('E'))
  alice.query('ROLLBACK')
  server.done('ROLLBACK')
  server.take()
  alice.send(run('a'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('an unknown name goes to the server as it is, and its error comes back', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(describeMessage('S', 'x'), bind(scenario.names.real(1)), sync())
  expect(server.take()).toEqual(['D(S x)', 'B(pooler_1?)', 'S'])
  server.send(errorResponse('26000', 'no such statement'), readyForQuery())
  expect(alice.take()).toEqual(['E(26000 no such statement)', 'Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
})
