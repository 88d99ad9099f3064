import { expect, test } from 'vitest'
import {
  dataRow,
  errorResponse,
  parseComplete,
  readyForQuery,
  rowDescription,
} from '../support/backend-messages.ts'
import { bind, copyData, execute, flush, parse, run, startup, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { copyIn, shutdown } from '../support/scenario-replies.ts'

/** A server goes, at each moment: its client hears of it once, nobody else notices. */

const LOST = 'E(08006 server conn crashed?)'

interface Stage {
  scenario: Scenario
  alice: ScenarioClient
  bystander: ScenarioClient
  server: ScenarioServer
}

async function setUp(): Promise<Stage> {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bystander = await scenario.client()
  return { scenario, alice, bystander, server: scenario.server() }
}

/** The server is gone, and the bystander is served by a new one. */
async function expectReplaced({ scenario, bystander, server }: Stage): Promise<void> {
  await scenario.settle()
  expect(server.gone).toBe(true)
  expect(bystander.gone).toBe(false)
  bystander.query('SELECT 1')
  await scenario.settle()
  const replacement = scenario.server(1)
  expect(replacement.take()).toEqual(['Q(SELECT 1)'])
  replacement.sendRow('1')
  expect(bystander.letters()).toBe('TDCZ')
  expect(scenario.pool.size).toBe(1)
}

test('idle and without a word: nobody notices', async () => {
  const stage = await setUp()
  stage.server.die()
  expect(stage.alice.gone).toBe(false)
  await expectReplaced(stage)
})

test('idle and with a FATAL: nobody notices', async () => {
  const stage = await setUp()
  stage.server.send(shutdown())
  stage.server.die()
  expect(stage.alice.take()).toEqual([])
  expect(stage.alice.gone).toBe(false)
  await expectReplaced(stage)
})

test('idle, by a lost connection: nobody notices', async () => {
  const stage = await setUp()
  stage.server.connection.lose(new Error('ECONNRESET'))
  await expectReplaced({ ...stage, server: Object.assign(stage.server, { gone: true }) })
})

test('during a query without a word: its client gets 08006 once and is closed', async () => {
  const stage = await setUp()
  stage.alice.query('SELECT 1')
  stage.server.die()
  expect(stage.alice.take()).toEqual([LOST])
  expect(stage.alice.gone).toBe(true)
  await expectReplaced(stage)
})

test('during a query with a FATAL: its client gets exactly that error', async () => {
  const stage = await setUp()
  stage.alice.query('SELECT 1')
  stage.server.send(shutdown())
  stage.server.die()
  expect(stage.alice.take()).toEqual(['E(57P01 terminating connection due to administrator command)'])
  expect(stage.alice.gone).toBe(true)
  await expectReplaced(stage)
})

test('in the middle of a row: the client gets no error inside of it, the connection ends', async () => {
  const stage = await setUp()
  stage.alice.query('SELECT long')
  stage.server.send(rowDescription('value'))
  const row = dataRow('x'.repeat(1000))
  stage.server.send(row.subarray(0, 500))
  stage.server.die()
  expect(stage.alice.gone).toBe(true)
  const bytes = stage.alice.takeBytes()
  const partial = bytes.subarray(bytes.length - 500)
  expect(bytes.length).toBe(rowDescription('value').length + 500)
  expect(partial).toEqual(row.subarray(0, 500))
})

test('in a transaction between two queries: its client is told and closed', async () => {
  const stage = await setUp()
  stage.alice.query('BEGIN')
  stage.server.done('BEGIN', 'T')
  stage.alice.take()
  stage.server.send(errorResponse('25P03', 'idle-in-transaction timeout', 'FATAL'))
  stage.server.die()
  expect(stage.alice.take()).toEqual(['E(25P03 idle-in-transaction timeout)'])
  expect(stage.alice.gone).toBe(true)
  await expectReplaced(stage)
})

test('in a pipeline: nothing is synthesised for what was not answered, and no reference stays', async () => {
  const stage = await setUp()
  stage.alice.send(parse('a', 'SELECT 1'), run('a'), parse('b', 'SELECT 2'), flush())
  stage.server.send(parseComplete())
  stage.server.die()
  expect(stage.alice.take()).toEqual(['1', LOST])
  await expectReplaced(stage)
  expect(stage.scenario.registry.size).toBe(0)
})

test('in a COPY: its client gets 08006', async () => {
  const stage = await setUp()
  stage.alice.query('COPY t FROM STDIN')
  stage.server.send(copyIn())
  stage.alice.send(copyData('1\n'))
  stage.server.die()
  expect(stage.alice.take()).toEqual(['G', LOST])
  await expectReplaced(stage)
})

test('while it is cleaned behind a client that has left: nobody is told', async () => {
  const stage = await setUp()
  stage.alice.query('BEGIN')
  stage.server.done('BEGIN', 'T')
  stage.alice.leave()
  stage.server.die()
  await expectReplaced(stage)
  expect(stage.scenario.multiplexer.clientCount).toBe(1)
})

test('a waiter gets a new server when the only one dies', async () => {
  const stage = await setUp()
  const { scenario, alice, bystander, server } = stage
  alice.query('SELECT 1')
  bystander.query('SELECT 2')
  server.die()
  await scenario.settle()
  expect(alice.take()).toEqual([LOST])
  expect(scenario.server(1).take()).toEqual(['Q(SELECT 2)'])
})

test('a reply that nobody asked for costs the connection, and the client hears of it', async () => {
  const stage = await setUp()
  stage.alice.query('SELECT 1')
  stage.server.send(parseComplete())
  expect(stage.alice.take()).toEqual([LOST])
  await expectReplaced(stage)
})

test('a second ReadyForQuery behind the answer is not taken for the next answer', async () => {
  const stage = await setUp()
  stage.alice.query('SELECT 1')
  stage.server.sendRow('1')
  stage.server.send(readyForQuery())
  expect(stage.alice.letters()).toBe('TDCZ')
  expect(stage.alice.gone).toBe(false)
  await expectReplaced(stage)
})

test('an answer with more behind its ReadyForQuery in one chunk never reaches the next client', async () => {
  const stage = await setUp()
  const { scenario, alice, bystander, server } = stage
  alice.query('SELECT 1')
  bystander.query('SELECT 2')
  server.send(readyForQuery(), dataRow('not for you'))
  await scenario.settle()
  expect(alice.letters()).toBe('Z')
  expect(bystander.letters()).not.toContain('D')
})

test('before the first login is through: the client that waits for its welcome gets the server’s own error', async () => {
  const scenario = new Scenario()
  scenario.onStartup = (server) => {
    server.send(errorResponse('28P01', 'password authentication failed', 'FATAL'))
    server.die()
  }
  const alice = scenario.connect()
  alice.send(startup({ user: 'app', database: 'app' }))
  await scenario.settle()
  expect(alice.take()).toEqual(['R', 'E(28P01 password authentication failed)'])
  expect(alice.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('an unnamed statement that died with its server is parsed again on the next', async () => {
  const stage = await setUp()
  const { scenario, alice, server } = stage
  alice.send(parse('', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  server.die()
  alice.send(bind(), execute(), sync())
  await scenario.settle()
  expect(scenario.server(1).take()).toEqual(['P("" SELECT 1)', 'B("")', 'E', 'S'])
})
