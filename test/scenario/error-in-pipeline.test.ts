import { expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, close, execute, flush, parse, query, run, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import { ran } from '../support/scenario-replies.ts'

/** After an error the server skips to the Sync: so do the books, and nothing is answered in its place. */

test('after an error nothing is synthesised, and one ReadyForQuery comes per Sync', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  // The server knows the statement, so bob's Parse will be answered by the pooler.
  alice.send(parse('a', 'SELECT 1'), sync())
  server.send(parseComplete(), readyForQuery())
  server.take()

  bob.send(parse('', 'oops'), parse('b', 'SELECT 1'), run('b'), close('S', 'b'), sync())
  bob.send(parse('b', 'SELECT 1'), run('b'), sync())
  expect(server.take()).toEqual(['P("" oops)', 'B(pooler_1)', 'E', 'S'])
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  // The name was undone with its batch, so the second batch may use it.
  expect(bob.take()).toEqual(['E(42601 syntax error)', 'Z(I)', '1'])
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
  server.send(ran('1'), readyForQuery())
  expect(bob.letters()).toBe('2DCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('what was answered before the error stays: its name exists', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('good', 'SELECT 1'), parse('bad', 'oops'), parse('late', 'SELECT 2'), sync())
  server.send(parseComplete(), errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('1EZ')
  expect(scenario.registry.size).toBe(1)
  server.take()
  alice.send(run('good'), sync(), run('late'), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S', 'B(late)', 'E', 'S'])
  alice.vanish()
  server.send(ran('1'), readyForQuery(), errorResponse('26000', 'no such statement'), readyForQuery())
  // The client's reference is gone, the server's is not.
  expect(scenario.registry.size).toBe(1)
  expect(scenario.pool.activeCount).toBe(0)
})

test('messages behind an error are thrown away until the Sync arrives, a simple query included', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('', 'oops'), flush())
  server.take()
  server.send(errorResponse('42601', 'syntax error'))
  expect(alice.take()).toEqual(['E(42601 syntax error)'])
  alice.send(bind(), execute(), query('SELECT 1'), flush())
  expect(server.take()).toEqual([])
  expect(scenario.pool.activeCount).toBe(1)
  alice.send(sync())
  expect(server.take()).toEqual(['S'])
  server.send(readyForQuery())
  expect(alice.take()).toEqual(['Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
})

test('a simple query sent behind the failing message and before its Sync is not owed an answer', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  // The server ignores the Query, because it is skipping to the Sync.
  alice.send(parse('', 'oops'), query('SELECT 1'), sync())
  expect(server.take()).toEqual(['P("" oops)', 'Q(SELECT 1)', 'S'])
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  expect(alice.letters()).toBe('EZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('an error of the Sync itself, such as a deferred constraint, is forwarded with its ReadyForQuery', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(parse('', 'INSERT'), bind(), execute(), sync())
  server.send(parseComplete(), bindComplete(), commandComplete('INSERT 0 1'))
  server.send(errorResponse('23503', 'foreign key'), readyForQuery())
  expect(alice.letters()).toBe('12CEZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('an error in one Query of several does not touch the answers of the others', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.send(query('oops'), query('SELECT 1'))
  server.send(errorResponse('42601', 'syntax error'), readyForQuery())
  expect(scenario.pool.activeCount).toBe(1)
  server.sendRow('1')
  expect(alice.letters()).toBe('EZTDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a replayed Parse that fails is the error of the Bind that needed it, told once', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  alice.send(parse('a', 'SELECT * FROM t'), sync())
  const first = scenario.server()
  first.send(parseComplete(), readyForQuery())
  alice.letters()
  // Somebody holds the first server, so that the statement has to be replayed on another.
  bob.query('BEGIN')
  first.take()
  first.done('BEGIN', 'T')
  alice.send(run('a'), sync())
  await scenario.settle()
  const second = scenario.server(1)
  expect(second.take()).toEqual(['P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S'])
  second.send(errorResponse('42P01', 'relation "t" does not exist'), readyForQuery())
  expect(alice.take()).toEqual(['E(42P01 relation "t" does not exist)', 'Z(I)'])
  // The client's own name is not affected: the table may be back next time.
  alice.send(run('a'), sync())
  expect(second.take()).toEqual(['P(pooler_1 SELECT * FROM t)', 'B(pooler_1)', 'E', 'S'])
})
