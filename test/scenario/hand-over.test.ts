import { expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  dataRow,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, execute, extended, parse, query, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import { ranExtended } from '../support/scenario-replies.ts'

/** A server that comes back goes to whoever has waited longest, in the turn in which it came back. */

test('the next waiter gets the server in the turn of the answer, and its query goes out as one write', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  alice.query('SELECT 1')
  bob.send(parse('', 'SELECT 2'), bind(), execute())
  bob.send(sync())
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  expect(scenario.pool.waiting).toBe(1)

  server.takeWrites()
  server.sendRow('1')
  expect(alice.letters()).toBe('TDCZ')
  expect(alice.takeWrites()).toBe(1)
  expect(server.take()).toEqual(['P("" SELECT 2)', 'B("")', 'E', 'S'])
  expect(server.takeWrites()).toBe(1)
  expect(scenario.pool.waiting).toBe(0)
  server.send(parseComplete(), bindComplete(), dataRow('2'), commandComplete('SELECT 1'), readyForQuery())
  expect(bob.letters()).toBe('12DCZ')
})

test('waiters are served in the order in which they came', async () => {
  const scenario = new Scenario()
  const server0 = await scenario.client().then(() => scenario.server())
  const clients = await Promise.all(['1', '2', '3', '4'].map(() => scenario.client()))
  for (const [index, client] of clients.entries()) client.query(`SELECT ${index}`)
  const served: string[] = []
  for (let i = 0; i < clients.length; i++) {
    served.push(...server0.take())
    server0.sendRow(String(i))
  }
  expect(served).toEqual(['Q(SELECT 0)', 'Q(SELECT 1)', 'Q(SELECT 2)', 'Q(SELECT 3)'])
  for (const client of clients) expect(client.letters()).toBe('TDCZ')
})

test('a waiter that has left is passed over', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const carol = await scenario.client()
  const server = scenario.server()
  alice.query('SELECT 1')
  bob.query('SELECT 2')
  carol.query('SELECT 3')
  bob.vanish()
  expect(scenario.pool.waiting).toBe(1)
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  server.sendRow('1')
  expect(server.take()).toEqual(['Q(SELECT 3)'])
})

test('a client waits while its chunks keep coming, and all of them go out in order', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  alice.query('SELECT 1')
  bob.sendByteByByte(extended('SELECT 2'), sync(), query('SELECT 3'))
  server.take()
  server.takeWrites()
  server.sendRow('1')
  expect(server.take()).toEqual(['P("" SELECT 2)', 'B("")', 'D(P "")', 'E', 'S', 'Q(SELECT 3)'])
  expect(server.takeWrites()).toBe(1)
})

test('a chunk of many small messages is one write on each side', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  server.takeWrites()
  alice.send(...Array.from({ length: 50 }, () => extended('SELECT 1')), sync())
  expect(server.takeWrites()).toBe(1)
  expect(server.take()).toHaveLength(201)
  server.send(...Array.from({ length: 50 }, () => ranExtended('1')), readyForQuery())
  expect(alice.takeWrites()).toBe(1)
  expect(alice.letters()).toBe(`${'12TDC'.repeat(50)}Z`)
})

test('a second server is opened while the limit allows, and no more', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const clients = await Promise.all([1, 2, 3].map(() => scenario.client()))
  for (const client of clients) client.query('SELECT 1')
  await scenario.settle()
  expect(scenario.servers).toHaveLength(2)
  expect(scenario.pool.activeCount).toBe(2)
  expect(scenario.pool.waiting).toBe(1)
})

test('the pool gives the server that came back last first', async () => {
  const scenario = new Scenario({ default_pool_size: 2 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  alice.query('BEGIN')
  bob.query('BEGIN')
  await scenario.settle()
  const [first, second] = [scenario.server(0), scenario.server(1)]
  expect([first.take(), second.take()]).toEqual([['Q(BEGIN)'], ['Q(BEGIN)']])
  second.done('BEGIN')
  first.done('BEGIN')
  alice.query('SELECT 1')
  expect([first.take(), second.take()]).toEqual([['Q(SELECT 1)'], []])
})

test('a client that has waited longer than query_wait_timeout is told so at the next tick, and closed', async () => {
  const scenario = new Scenario({ query_wait_timeout: '2s' })
  const alice = await scenario.client()
  const bob = await scenario.client()
  alice.query('SELECT 1')
  bob.query('SELECT 2')
  scenario.tick(1000)
  expect(bob.take()).toEqual([])
  scenario.tick(3000)
  expect(bob.take()).toEqual(['E(53300 query_wait_timeout)'])
  expect(bob.gone).toBe(true)
  scenario.server().sendRow('1')
  expect(scenario.server().take()).toEqual(['Q(SELECT 1)'])
  expect(scenario.pool.activeCount).toBe(0)
})
