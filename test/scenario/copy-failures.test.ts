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
  copyData,
  copyDone,
  copyFail,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { copyIn, copyOut } from '../support/scenario-replies.ts'

/** COPY in all the orders in which it can end. */

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

/** Alice is in a simple COPY FROM STDIN and has sent one line. */
async function copying(): Promise<Stage> {
  const stage = await setUp()
  stage.alice.query('COPY t FROM STDIN')
  stage.server.send(copyIn())
  stage.alice.send(copyData('1\n'))
  expect(stage.alice.take()).toEqual(['G'])
  expect(stage.server.take()).toEqual(['Q(COPY t FROM STDIN)', 'd(1\n)'])
  return stage
}

/** Alice is in an extended COPY FROM STDIN. */
async function copyingExtended(): Promise<Stage> {
  const stage = await setUp()
  stage.alice.send(parse('', 'COPY t FROM STDIN'), bind(), execute(), flush())
  stage.server.send(parseComplete(), bindComplete(), copyIn())
  expect(stage.alice.letters()).toBe('12G')
  stage.server.take()
  return stage
}

test('a COPY that ends well gives its server back', async () => {
  const { scenario, alice, server } = await copying()
  alice.send(copyData('2\n'), copyDone())
  expect(server.take()).toEqual(['d(2\n)', 'c'])
  server.done('COPY 2')
  expect(alice.take()).toEqual(['C(COPY 2)', 'Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
  expect(server.gone).toBe(false)
})

test('CopyFail is answered with an error, and the server is reused', async () => {
  const { scenario, alice, server } = await copying()
  alice.send(copyFail('no more'))
  expect(server.take()).toEqual(['f(no more)'])
  server.send(errorResponse('57014', 'COPY from stdin failed'), readyForQuery())
  expect(alice.take()).toEqual(['E(57014 COPY from stdin failed)', 'Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
  expect(server.gone).toBe(false)
})

test('late data of a COPY that the server has ended reaches no server, and the next query is answered', async () => {
  const { scenario, alice, bob, server } = await copying()
  bob.query('SELECT 1')
  server.send(errorResponse('22P02', 'invalid input'), readyForQuery())
  // The server is bob's now; alice does not know yet that her COPY has failed.
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  alice.send(copyData('2\n'), copyData('3\n'), copyDone())
  expect(server.take()).toEqual([])
  expect(alice.take()).toEqual(['E(22P02 invalid input)', 'Z(I)'])
  alice.query('SELECT 2')
  server.sendRow('1')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
  server.sendRow('2')
  expect(alice.letters()).toBe('TDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('late data cut in two reaches the server it began on, and no other client gets that server meanwhile', async () => {
  const { alice, bob, server } = await copying()
  bob.query('SELECT 1')
  const line = copyData('a long line\n')
  alice.send(line.subarray(0, 9))
  expect(server.incomplete).toBe(9)
  server.send(errorResponse('22P02', 'invalid input'), readyForQuery())
  expect(server.take()).toEqual([])
  alice.send(line.subarray(9), copyDone())
  // Late data and its end are ignored by PostgreSQL; what matters is that bob's query comes whole behind it.
  expect(server.take()).toEqual(['d(a long line\n)', 'c', 'Q(SELECT 1)'])
})

test('an extended COPY whose Sync comes behind its end owes one ReadyForQuery', async () => {
  const { scenario, alice, server } = await copyingExtended()
  alice.send(copyData('1\n'), copyDone(), sync())
  server.send(commandComplete('COPY 1'), readyForQuery())
  expect(alice.letters()).toBe('CZ')
  expect(scenario.pool.activeCount).toBe(0)
  expect(server.gone).toBe(false)
})

test('a Sync sent ahead of the data is read as part of the COPY and owes nothing', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(parse('', 'COPY t FROM STDIN'), bind(), execute(), sync())
  server.send(parseComplete(), bindComplete(), copyIn())
  alice.send(copyData('1\n'), copyDone(), sync())
  server.send(commandComplete('COPY 1'), readyForQuery())
  expect(alice.letters()).toBe('12GCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a failed extended COPY is discarded up to its Sync, late data included', async () => {
  const { scenario, alice, server } = await copyingExtended()
  alice.send(copyData('x\n'))
  server.send(errorResponse('22P02', 'invalid input'))
  expect(alice.letters()).toBe('E')
  alice.send(copyData('y\n'), copyDone(), sync())
  expect(server.take().at(-1)).toBe('S')
  server.send(readyForQuery())
  expect(alice.letters()).toBe('Z')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a stray CopyDone and CopyFail without a COPY are ignored as PostgreSQL ignores them', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(copyDone(), copyFail('x'), copyData('y'))
  expect(server.take()).toEqual([])
  alice.send(query('SELECT 1'), copyDone(), query('SELECT 2'))
  server.sendRow('1')
  server.sendRow('2')
  expect(alice.letters()).toBe('TDCZTDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('COPY TO STDOUT passes as it comes', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('COPY t TO STDOUT')
  server.sendByteByByte(copyOut(), copyData('1\n'), copyData('2\n'), copyDone())
  server.done('COPY 2')
  expect(alice.letters()).toBe('HddcCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a COPY inside a transaction keeps the server until the transaction ends', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.query('COPY t FROM STDIN')
  server.send(copyIn())
  alice.send(copyFail('x'))
  server.send(errorResponse('57014', 'COPY from stdin failed'), readyForQuery('E'))
  expect(scenario.pool.activeCount).toBe(1)
  alice.query('ROLLBACK')
  server.done('ROLLBACK')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a query pipelined behind the end of a COPY is answered', async () => {
  const { scenario, alice, server } = await copying()
  alice.send(copyDone(), query('SELECT 1'))
  server.send(commandComplete('COPY 1'), readyForQuery())
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('1')
  expect(alice.letters()).toBe('CZTDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('two COPYs in one simple query are told apart by their CopyInResponses', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('COPY a FROM STDIN; COPY b FROM STDIN')
  server.send(copyIn())
  alice.send(copyData('1\n'), copyDone())
  server.send(commandComplete('COPY 1'), copyIn())
  alice.send(copyData('2\n'), copyDone())
  server.done('COPY 1')
  expect(alice.letters()).toBe('GCGCZ')
  expect(scenario.pool.activeCount).toBe(0)
})
