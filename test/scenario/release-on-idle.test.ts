import { expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  dataRow,
  errorResponse,
  oneRow,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import {
  bind,
  execute,
  extended,
  flush,
  functionCall,
  parse,
  query,
  sync,
} from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import { functionResult, ranExtended } from '../support/scenario-replies.ts'

/** When a server is given back: after ReadyForQuery with status I, nothing owed, nothing open. */

test('a server is back in its pool as soon as it has said that no transaction is open', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  alice.query('SELECT 1')
  const server = scenario.server()
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('1')
  expect(alice.take()).toEqual(['T', 'D', 'C(SELECT 1)', 'Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
})

test('a server stays with its client in a transaction and in a failed one', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  expect(scenario.pool.activeCount).toBe(1)
  alice.query('SELECT 1/0')
  server.send(errorResponse('22012', 'division by zero'), readyForQuery('E'))
  expect(scenario.pool.activeCount).toBe(1)
  alice.query('ROLLBACK')
  server.done('ROLLBACK')
  expect(scenario.pool.activeCount).toBe(0)
  expect(alice.take()).toEqual([
    'C(BEGIN)',
    'Z(T)',
    'E(22012 division by zero)',
    'Z(E)',
    'C(ROLLBACK)',
    'Z(I)',
  ])
})

test('of several queries in one segment only the last answer gives the server back', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(query('SELECT 1'), query('SELECT 2'), query('SELECT 3'))
  expect(server.take()).toEqual(['Q(SELECT 1)', 'Q(SELECT 2)', 'Q(SELECT 3)'])
  server.sendRow('1')
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('2')
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('3')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a batch that was only flushed keeps its server until its Sync is answered', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(extended('SELECT 1'), flush())
  server.send(ranExtended('1'))
  expect(scenario.pool.activeCount).toBe(1)
  alice.send(sync())
  expect(server.take().at(-1)).toBe('S')
  server.send(readyForQuery())
  expect(scenario.pool.activeCount).toBe(0)
})

test('a query behind a Sync in the same segment keeps the server when the Sync is answered', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('', 'SELECT 1'), bind(), execute(), sync(), parse('', 'SELECT 2'))
  server.send(parseComplete(), bindComplete(), dataRow('1'), commandComplete('SELECT 1'), readyForQuery())
  expect(alice.letters()).toBe('12DCZ')
  expect(scenario.pool.activeCount).toBe(1)
  alice.send(bind(), execute(), sync())
  server.send(parseComplete(), bindComplete(), dataRow('2'), commandComplete('SELECT 1'), readyForQuery())
  expect(alice.letters()).toBe('12DCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('an answer that is cut in its ReadyForQuery gives nothing back before it is whole', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('SELECT 1')
  const reply = oneRow('1')
  server.send(reply.subarray(0, reply.length - 1))
  expect(scenario.pool.activeCount).toBe(1)
  server.send(reply.subarray(reply.length - 1))
  expect(scenario.pool.activeCount).toBe(0)
  expect(alice.letters()).toBe('TDCZ')
})

test('a function call owes one ReadyForQuery', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(functionCall(42, []))
  expect(server.take()).toEqual(['F'])
  server.send(functionResult(), readyForQuery())
  expect(alice.letters()).toBe('VZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a lone Sync of a client without a server is answered at once, and what follows is handled', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  alice.send(sync(), sync(), query('SELECT 1'))
  expect(alice.take()).toEqual(['Z(I)', 'Z(I)'])
  expect(scenario.server().take()).toEqual(['Q(SELECT 1)'])
  expect(scenario.pool.activeCount).toBe(1)
})

test('in session pooling a server stays with its client, and is reset for the next', async () => {
  const scenario = new Scenario({ pool_mode: 'session' })
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('SELECT 1')
  server.sendRow('1')
  expect(scenario.pool.activeCount).toBe(1)
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  alice.leave()
  expect(server.take()).toEqual(['Q(DISCARD ALL)'])
  expect(scenario.pool.activeCount).toBe(1)
  server.done('DISCARD ALL')
  await scenario.settle()
  expect(scenario.pool.activeCount).toBe(0)
  expect(server.gone).toBe(false)
})

test('in statement pooling a transaction block is refused', async () => {
  const scenario = new Scenario({ pool_mode: 'statement' })
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  expect(alice.take().at(-1)).toBe('E(0A000 transaction blocks not allowed in statement pooling mode)')
  expect(alice.gone).toBe(true)
  expect(server.take()).toEqual(['Q(BEGIN)', 'Q(ROLLBACK)'])
  server.done('ROLLBACK')
  expect(scenario.pool.activeCount).toBe(0)
})
