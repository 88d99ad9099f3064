import { expect, test } from 'vitest'
import {
  commandComplete,
  dataRow,
  errorResponse,
  readyForQuery,
  rowDescription,
} from '../support/backend-messages.ts'
import { bind, cancelRequest, execute, parse, query, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'

/** lazy_begin: BEGIN reaches a server together with the statement behind it, or never. */

interface Setting {
  scenario: Scenario
  alice: ScenarioClient
  bob: ScenarioClient
  server: ScenarioServer
}

async function setUp(): Promise<Setting> {
  const scenario = new Scenario({ lazy_begin: true, default_pool_size: 1 })
  const alice = await scenario.client()
  const bob = await scenario.client()
  return { scenario, alice, bob, server: scenario.server() }
}

const row = (value: string): Buffer =>
  Buffer.concat([rowDescription('value'), dataRow(value), commandComplete('SELECT 1')])
const begun = (): Buffer => Buffer.concat([commandComplete('BEGIN'), readyForQuery('T')])

test('BEGIN is answered without a server and sent in one write with the next statement', async () => {
  const { scenario, alice, server } = await setUp()
  server.takeWrites()
  alice.query('BEGIN')
  expect(alice.take()).toEqual(['C(BEGIN)', 'Z(T)'])
  expect(scenario.pool.activeCount).toBe(0)
  expect(server.takeWrites()).toBe(0)
  alice.query('SELECT 1')
  expect(server.takeWrites()).toBe(1)
  expect(server.take()).toEqual(['Q(BEGIN)', 'Q(SELECT 1)'])
  server.send(begun(), row('1'), readyForQuery('T'))
  expect(alice.letters()).toBe('TDCZ')
  alice.query('COMMIT')
  expect(server.take()).toEqual(['Q(COMMIT)'])
  server.send(commandComplete('COMMIT'), readyForQuery('I'))
  expect(alice.take()).toEqual(['C(COMMIT)', 'Z(I)'])
  expect(scenario.pool.activeCount).toBe(0)
})

test('a client that has begun holds no server from another', async () => {
  const { alice, bob, server } = await setUp()
  alice.query('BEGIN')
  bob.query('SELECT 2')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
  server.send(row('2'), readyForQuery('I'))
  expect(bob.letters()).toBe('TDCZ')
})

test.each([
  ['BEGIN', 'BEGIN', 'COMMIT', 'COMMIT'],
  [' begin work ; ', 'BEGIN', 'end transaction', 'COMMIT'],
  ['Start\n Transaction', 'START TRANSACTION', 'ABORT;', 'ROLLBACK'],
  ['BEGIN TRANSACTION', 'BEGIN', 'ROLLBACK WORK', 'ROLLBACK'],
])('%j and %j behind it reach no server', async (begin, beginTag, end, endTag) => {
  const { scenario, alice, server } = await setUp()
  alice.send(query(begin), query(end))
  expect(alice.take()).toEqual([`C(${beginTag})`, 'Z(T)', `C(${endTag})`, 'Z(I)'])
  expect(server.take()).toEqual([])
  expect(scenario.multiplexer.lazyBegins).toEqual({ begins: 1, empty: 1 })
})

test.each([
  'BEGIN ISOLATION LEVEL SERIALIZABLE',
  'BEGIN READ ONLY',
  'BEGIN; SELECT 1',
  'BEGIN; BEGIN',
  'COMMIT',
  'beginx',
])('%j goes to a server', async (text) => {
  const { alice, server } = await setUp()
  alice.query(text)
  expect(alice.take()).toEqual([])
  expect(server.take()).toEqual([`Q(${text})`])
})

test.each(['BEGIN', 'COMMIT AND CHAIN', 'SAVEPOINT a'])(
  '%j behind a BEGIN brings it to a server',
  async (text) => {
    const { alice, server } = await setUp()
    alice.send(query('BEGIN'), query(text))
    expect(alice.take()).toEqual(['C(BEGIN)', 'Z(T)'])
    expect(server.take()).toEqual(['Q(BEGIN)', `Q(${text})`])
  },
)

test('a Sync between BEGIN and its first statement is answered in the transaction', async () => {
  const { alice, server } = await setUp()
  alice.send(query('BEGIN'), sync())
  expect(alice.take()).toEqual(['C(BEGIN)', 'Z(T)', 'Z(T)'])
  alice.send(parse('', 'SELECT 1'), bind(), execute(), sync())
  expect(server.take()).toEqual(['Q(BEGIN)', 'P("" SELECT 1)', 'B("")', 'E', 'S'])
})

test('session parameters are applied in front of BEGIN, where a ROLLBACK does not undo them', async () => {
  const { scenario, server } = await setUp()
  const carol = await scenario.client({ application_name: 'carol' })
  scenario.server().take()
  carol.send(query('BEGIN'), query('SELECT 1'))
  const sent = server.take()
  expect(sent.slice(-2)).toEqual(['Q(BEGIN)', 'Q(SELECT 1)'])
  expect(sent.slice(0, -2).join()).toContain('carol')
  // Its ReadyForQuery comes alone: the transaction has not begun at the server, and yet nothing more is outside of it.
  server.send(commandComplete('SET'), readyForQuery('I'))
  expect(scenario.pool.activeCount).toBe(1)
  server.send(begun(), row('1'), readyForQuery('T'))
  expect(carol.letters()).toContain('TDCZ')
})

test('a client that leaves behind its BEGIN leaves nothing to be rolled back', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('BEGIN')
  alice.leave()
  await scenario.settle()
  expect(server.take()).toEqual([])
  expect(scenario.pool.activeCount).toBe(0)
})

test('a client that leaves behind its first statement is rolled back', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(query('BEGIN'), query('SELECT 1'))
  server.take()
  alice.leave()
  server.send(begun(), row('1'), readyForQuery('T'))
  await scenario.settle()
  expect(server.take()).toEqual(['Q(ROLLBACK)'])
})

/** The first statement of alice is canceled while she waits for the server that bob has. */
async function canceled(): Promise<Setting> {
  const setting = await setUp()
  const { scenario, alice, bob, server } = setting
  bob.query('SELECT 2')
  server.take()
  alice.query('BEGIN')
  alice.query('SELECT 1')
  alice.take()
  scenario.connect().send(cancelRequest(alice.key))
  await scenario.settle()
  expect(alice.take()).toEqual(['E(57014 canceling statement due to user request)', 'Z(E)'])
  server.send(row('2'), readyForQuery('I'))
  return setting
}

test('a cancel of the first statement while it waits for a server fails the transaction; its end needs none', async () => {
  const { alice, server } = await canceled()
  alice.query('COMMIT')
  expect(alice.take()).toEqual(['C(ROLLBACK)', 'Z(I)'])
  expect(server.take()).toEqual([])
})

test('in a transaction that was canceled so, a statement gets the error of PostgreSQL', async () => {
  const { alice, server } = await canceled()
  alice.query('SELECT 1')
  const [fails, statement] = server.take()
  expect(fails).toContain('BEGIN;')
  expect(statement).toBe('Q(SELECT 1)')
  server.send(
    commandComplete('BEGIN'),
    errorResponse('3B001', 'savepoint does not exist'),
    readyForQuery('E'),
  )
  server.send(errorResponse('25P02', 'current transaction is aborted'), readyForQuery('E'))
  expect(alice.take()).toEqual(['E(25P02 current transaction is aborted)', 'Z(E)'])
  alice.query('ROLLBACK')
  expect(server.take()).toEqual(['Q(ROLLBACK)'])
})

test('a BEGIN that fails at the server costs the client its connection, and says why', async () => {
  const { scenario, alice, server } = await setUp()
  alice.send(query('BEGIN'), query('SELECT 1'))
  alice.take()
  server.send(errorResponse('57014', 'canceling statement due to statement timeout'))
  await scenario.settle()
  expect(alice.take()).toEqual(['E(57014 canceling statement due to statement timeout)'])
  expect(alice.gone).toBe(true)
})

test('in session pooling every BEGIN goes to the server', async () => {
  const scenario = new Scenario({ lazy_begin: true, pool_mode: 'session' })
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('BEGIN')
  expect(server.take()).toEqual(['Q(BEGIN)'])
})
