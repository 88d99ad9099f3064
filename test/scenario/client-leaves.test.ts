import { expect, test } from 'vitest'
import { bindComplete, errorResponse, parseComplete, readyForQuery } from '../support/backend-messages.ts'
import {
  bind,
  copyData,
  execute,
  flush,
  parse,
  query,
  run,
  startup,
  sync,
  terminate,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { copyIn, ran } from '../support/scenario-replies.ts'

/** A client goes, at each moment: its server comes back clean or is closed, and nothing of it is left. */

interface Stage {
  scenario: Scenario
  alice: ScenarioClient
  server: ScenarioServer
}

async function setUp(): Promise<Stage> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  return { scenario, alice, server: scenario.server() }
}

/** Nobody is left, the server is ready for somebody else and does exactly what it is asked for. */
async function expectClean({ scenario, server }: Stage): Promise<void> {
  await scenario.settle()
  expect(scenario.pool.activeCount).toBe(0)
  expect(scenario.multiplexer.clientCount).toBe(0)
  const bob = await scenario.client()
  server.take()
  bob.query('SELECT 1')
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
}

test('between transactions: nothing happens to any server', async () => {
  const stage = await setUp()
  stage.alice.leave()
  expect(stage.server.take()).toEqual([])
  await expectClean(stage)
})

test('while its query runs and by Terminate: the query is finished, then the client is closed', async () => {
  const stage = await setUp()
  const { alice, server, scenario } = stage
  alice.send(query('UPDATE t'), terminate())
  expect(server.take()).toEqual(['Q(UPDATE t)'])
  expect(scenario.multiplexer.clientCount).toBe(1)
  server.done('UPDATE 1')
  expect(alice.take()).toEqual(['C(UPDATE 1)', 'Z(I)'])
  expect(alice.gone).toBe(true)
  await expectClean(stage)
})

test('while its query runs and by half-closing: it still gets the answer', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.query('SELECT 1')
  alice.connection.receiveEnd()
  server.sendRow('1')
  expect(alice.letters()).toBe('TDCZ')
  expect(alice.gone).toBe(true)
  await expectClean(stage)
})

test('while its query runs and by a cut connection: the answer is drained', async () => {
  const stage = await setUp()
  const { alice, server, scenario } = stage
  alice.query('SELECT 1')
  alice.vanish()
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('1')
  await expectClean(stage)
})

test('in a transaction: it is rolled back', async () => {
  const stage = await setUp()
  const { alice, server, scenario } = stage
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  server.take()
  alice.leave()
  expect(server.take()).toEqual(['Q(ROLLBACK)'])
  expect(scenario.pool.activeCount).toBe(1)
  server.done('ROLLBACK')
  await expectClean(stage)
})

test('in a transaction while its query runs: it is rolled back behind the answer', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.query('UPDATE t')
  alice.vanish()
  server.take()
  server.done('UPDATE 1', 'T')
  await stage.scenario.settle()
  expect(server.take()).toEqual(['Q(ROLLBACK)'])
  server.done('ROLLBACK')
  await expectClean(stage)
})

test('in a pipeline without its Sync: an error is provoked, so that nothing of it is committed', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.send(parse('', 'INSERT'), bind(), execute(), flush())
  server.take()
  alice.vanish()
  await stage.scenario.settle()
  expect(server.take()).toEqual(['D(S pooler_no_such_statement)', 'S'])
  server.send(parseComplete(), ran('1'), errorResponse('26000', 'no such statement'), readyForQuery())
  await expectClean(stage)
})

test('in a pipeline that has failed already: a Sync is enough', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.send(parse('', 'oops'), flush())
  server.send(errorResponse('42601', 'syntax error'))
  server.take()
  alice.vanish()
  await stage.scenario.settle()
  expect(server.take()).toEqual(['S'])
  server.send(readyForQuery())
  await expectClean(stage)
})

test('in a simple COPY: it is failed', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.query('COPY t FROM STDIN')
  server.send(copyIn())
  alice.send(copyData('1\n'))
  server.take()
  alice.vanish()
  await stage.scenario.settle()
  expect(server.take()).toEqual(['f(the client has left)'])
  server.send(errorResponse('57014', 'COPY from stdin failed'), readyForQuery())
  await expectClean(stage)
})

test('in an extended COPY: it is failed and synced', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.send(parse('', 'COPY t FROM STDIN'), bind(), execute(), flush())
  server.send(parseComplete(), bindComplete(), copyIn())
  server.take()
  alice.leave()
  await stage.scenario.settle()
  expect(server.take()).toEqual(['f(the client has left)', 'S'])
  server.send(errorResponse('57014', 'COPY from stdin failed'), readyForQuery())
  await expectClean(stage)
})

test('before the server has answered its COPY: it is failed as soon as it begins', async () => {
  const stage = await setUp()
  const { alice, server } = stage
  alice.query('COPY t FROM STDIN')
  alice.vanish()
  server.take()
  server.send(copyIn())
  expect(server.take()).toEqual(['f(the client has left)'])
  server.send(errorResponse('57014', 'COPY from stdin failed'), readyForQuery())
  await expectClean(stage)
})

test('in the middle of a message: the server is closed, for it waits for the rest', async () => {
  const stage = await setUp()
  const { alice, server, scenario } = stage
  const long = query(`SELECT '${'x'.repeat(1000)}'`)
  alice.send(long.subarray(0, 500))
  alice.vanish()
  await scenario.settle()
  expect(server.gone).toBe(true)
  expect(scenario.pool.size).toBe(0)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('while it waits for a server: its place in the queue is free', async () => {
  const stage = await setUp()
  const { scenario, server } = stage
  const bob = await scenario.client()
  stage.alice.query('SELECT 1')
  bob.query('SELECT 2')
  bob.leave()
  expect(scenario.pool.waiting).toBe(0)
  expect(bob.gone).toBe(true)
  server.sendRow('1')
  stage.alice.leave()
  await expectClean(stage)
})

test('while its welcome waits for a server: nobody is welcomed', async () => {
  const scenario = new Scenario()
  scenario.network.holdConnects = true
  const alice = scenario.connect()
  alice.send(startup({ user: 'app', database: 'app' }))
  expect(scenario.pool.waiting).toBe(1)
  alice.vanish()
  expect(scenario.pool.waiting).toBe(0)
  scenario.network.releaseConnects()
  await scenario.settle()
  expect(scenario.multiplexer.clientCount).toBe(0)
  expect(scenario.pool.activeCount).toBe(0)
  expect(scenario.pool.size).toBe(1)
})

test('a statement that was on its way is gone from the registry unless the server has it', async () => {
  const stage = await setUp()
  const { alice, server, scenario } = stage
  alice.send(parse('a', 'SELECT 1'), parse('b', 'oops'), run('a'), sync())
  alice.vanish()
  server.send(parseComplete(), errorResponse('42601', 'syntax error'), readyForQuery())
  await scenario.settle()
  expect(scenario.registry.size).toBe(1)
  server.die()
  await scenario.settle()
  expect(scenario.registry.size).toBe(0)
})

test('a query that runs on for two seconds is canceled, and after ten the server is closed', async () => {
  const { alice, server, scenario } = await setUp()
  alice.query('SELECT pg_sleep(60)')
  alice.vanish()
  scenario.tick(1000)
  await scenario.settle()
  expect(scenario.cancels).toHaveLength(0)
  scenario.tick(3000)
  scenario.tick(3500)
  await scenario.settle()
  expect(scenario.cancels.map(({ processId }) => processId)).toEqual([server.processId])
  expect(scenario.cancels[0]?.secret).toEqual(server.secret)
  scenario.tick(11_000)
  expect(server.gone).toBe(true)
  expect(scenario.pool.activeCount).toBe(0)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('a rollback that fails costs the server its connection', async () => {
  const { alice, server, scenario } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.vanish()
  server.send(errorResponse('XX000', 'cannot'), readyForQuery('T'))
  expect(server.gone).toBe(true)
  await scenario.settle()
  expect(scenario.pool.size).toBe(0)
  expect(scenario.multiplexer.clientCount).toBe(0)
})
