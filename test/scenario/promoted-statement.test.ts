import { describe, expect, test } from 'vitest'
import {
  bindComplete,
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, describeMessage, execute, flush, parse, query, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { closeComplete, described, outdatedPlan, ran } from '../support/scenario-replies.ts'

/** prepare_unnamed: from the second sight of its text on, an unnamed statement is prepared on the server. */

const TEXT = 'SELECT * FROM t'
const once = (text = TEXT): Buffer => Buffer.concat([parse('', text), bind(), execute(), sync()])
const RAW = [`P("" ${TEXT})`, 'B("")', 'E', 'S']

function run(client: ScenarioClient, server: ScenarioServer, text = TEXT): string[] {
  client.send(once(text))
  const sent = server.take()
  const parses = sent.filter((one) => one.startsWith('P(')).length
  const closes = sent.filter((one) => one.startsWith('C(')).length
  server.send(
    ...Array.from({ length: closes }, closeComplete),
    ...Array.from({ length: parses }, parseComplete),
    ran('1'),
    readyForQuery(),
  )
  expect(client.letters()).toBe('12DCZ')
  return sent
}

/** The text of alice has been promoted, and her server has it. */
async function setUp(): Promise<{
  scenario: Scenario
  alice: ScenarioClient
  bob: ScenarioClient
  server: ScenarioServer
}> {
  const scenario = new Scenario({ prepare_unnamed: true })
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  run(alice, server)
  run(alice, server)
  return { scenario, alice, bob, server }
}

test('the first sight is sent as it is, the second prepares it, the third needs no Parse', async () => {
  const scenario = new Scenario({ prepare_unnamed: true })
  const alice = await scenario.client()
  const server = scenario.server()
  expect(run(alice, server)).toEqual(RAW)
  expect(run(alice, server)).toEqual([`P(pooler_1 ${TEXT})`, 'B(pooler_1)', 'E', 'S'])
  expect(run(alice, server)).toEqual(['B(pooler_1)', 'E', 'S'])
  expect(scenario.registry.promoted).toMatchObject({ promotions: 1, reuses: 1, evictions: 0, size: 1 })
})

test('another client with that text needs no Parse either', async () => {
  const { bob, server } = await setUp()
  expect(run(bob, server)).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('nothing is prepared where it is off', async () => {
  const scenario = new Scenario({ prepare_unnamed: false })
  const alice = await scenario.client()
  const server = scenario.server()
  for (let i = 0; i < 4; i++) expect(run(alice, server)).toEqual(RAW)
})

test('utility statements, SELECT INTO and set_config are never prepared', async () => {
  const scenario = new Scenario({ prepare_unnamed: true })
  const alice = await scenario.client()
  const server = scenario.server()
  for (const text of ['SHOW x', 'SELECT 1 INTO t', "SELECT set_config('a', 'b', true)"]) {
    for (let i = 0; i < 3; i++) expect(run(alice, server, text)[0]).toBe(`P("" ${text})`)
  }
})

test('in a transaction block the statement of the client itself is used', async () => {
  const { alice, server } = await setUp()
  alice.query('BEGIN')
  server.done('BEGIN', 'T')
  alice.take()
  server.take()
  alice.send(once())
  expect(server.take()).toEqual(RAW)
})

test('bound again behind an Execute of the same batch, it is the same statement: a Parse would end the command before it', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', TEXT), bind(), execute(), bind(), execute(), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'B(pooler_1)', 'E', 'S'])
  server.send(ran('1'), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('12DC2DCZ')
})

test('parsed again behind an Execute of the same batch, it is the statement of the client itself', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', TEXT), bind(), execute(), parse('', TEXT), bind(), execute(), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', ...RAW])
  server.send(ran('1'), parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('12DC12DCZ')
})

test('a simple query destroys it', async () => {
  const { alice, server } = await setUp()
  alice.query('SELECT 2')
  server.sendRow('2')
  alice.take()
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['C(S "")', 'B("")', 'E', 'S'])
})

test('a Bind in the next batch finds it', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', TEXT), sync())
  server.send(readyForQuery())
  expect(alice.letters()).toBe('1Z')
  server.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
})

test('once described, a Bind in the next batch gets the statement of the client itself', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', TEXT), describeMessage('S', ''), sync())
  expect(server.take()).toEqual(['D(S pooler_1)', 'S'])
  server.send(described(), readyForQuery())
  alice.take()
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(RAW)
})

test('an error of Bind is that of a batch with the own Parse of the client', async () => {
  const { alice, server } = await setUp()
  alice.send(once())
  server.take()
  server.send(errorResponse('42P01', 'relation "t" does not exist'), readyForQuery())
  expect(server.take()).toEqual(RAW)
  expect(alice.letters()).toBe('')
  server.send(errorResponse('42P01', 'relation "t" does not exist'), readyForQuery())
  expect(alice.letters()).toBe('EZ')
})

test('a cancel is not gone through twice', async () => {
  const { alice, server } = await setUp()
  alice.send(once())
  server.take()
  server.send(errorResponse('57014', 'canceling statement'), readyForQuery())
  expect(alice.letters()).toBe('1EZ')
  expect(server.take()).toEqual([])
})

test('its ParseComplete does not wait longer than until a Flush', async () => {
  const { alice, server } = await setUp()
  alice.send(parse('', TEXT))
  expect(alice.letters()).toBe('')
  alice.send(flush())
  expect(alice.letters()).toBe('1')
  server.take()
  // The batch can no longer be repeated as if nothing had been answered.
  alice.send(bind(), execute(), sync())
  expect(server.take()).toEqual(RAW)
  server.send(parseComplete(), ran('1'), readyForQuery())
  expect(alice.letters()).toBe('2DCZ')
})

test('a Parse that fails is answered at its place, and leaves nothing behind', async () => {
  const scenario = new Scenario({ prepare_unnamed: true })
  const alice = await scenario.client()
  const server = scenario.server()
  for (const name of ['""', 'pooler_1', 'pooler_1']) {
    alice.send(once('SELECT nope'))
    expect(server.take()[0]).toBe(`P(${name} SELECT nope)`)
    server.send(errorResponse('42703', 'no such column'), readyForQuery())
    expect(alice.letters()).toBe('EZ')
  }
})

describe('an outdated plan', () => {
  test('has the batch repeated with the own Parse of the client, who sees nothing of it', async () => {
    const { alice, server } = await setUp()
    alice.send(once())
    server.take()
    server.send(outdatedPlan(), readyForQuery())
    expect(server.take()).toEqual(RAW)
    server.send(parseComplete(), ran('1'), readyForQuery())
    expect(alice.letters()).toBe('12DCZ')
    expect(run(alice, server)).toEqual(['C(S pooler_1)', `P(pooler_1 ${TEXT})`, 'B(pooler_1)', 'E', 'S'])
  })

  test('is repeated also if the client has not sent its Sync yet', async () => {
    const { scenario, alice, server } = await setUp()
    alice.send(parse('', TEXT), bind())
    server.take()
    server.send(outdatedPlan())
    expect(server.take()).toEqual(['S'])
    server.send(readyForQuery())
    expect(server.take()).toEqual([`P("" ${TEXT})`, 'B("")'])
    alice.send(execute(), sync())
    expect(server.take()).toEqual(['E', 'S'])
    server.send(parseComplete(), ran('1'), readyForQuery())
    expect(alice.letters()).toBe('12DCZ')
    expect(scenario.pool.activeCount).toBe(0)
  })

  test('is repeated behind a Flush', async () => {
    const { alice, server } = await setUp()
    alice.send(parse('', TEXT), bind(), flush())
    server.take()
    server.send(outdatedPlan())
    server.send(readyForQuery())
    expect(server.take()).toEqual(['S', `P("" ${TEXT})`, 'B("")', 'H'])
    server.send(parseComplete(), bindComplete())
    expect(alice.letters()).toBe('12')
  })

  test('keeps the next batch waiting until it has been found out', async () => {
    const { alice, server } = await setUp()
    alice.send(once(), query('SELECT 2'))
    expect(server.take()).toEqual(['B(pooler_1)', 'E', 'S'])
    server.send(outdatedPlan(), readyForQuery())
    server.send(parseComplete(), ran('1'), readyForQuery())
    server.sendRow('2')
    expect(alice.letters()).toBe('12DCZTDCZ')
  })
})

test('a change of the schema has it parsed anew', async () => {
  const { alice, bob, server } = await setUp()
  bob.query('ALTER TABLE t ADD b int')
  server.send(commandComplete('ALTER TABLE'), readyForQuery())
  bob.take()
  server.take()
  expect(run(alice, server)).toEqual(['C(S pooler_1)', `P(pooler_1 ${TEXT})`, 'B(pooler_1)', 'E', 'S'])
})

describe('the generation of promoted statements', () => {
  test('rises with a COMMIT behind a change, however long the rest of the query takes', async () => {
    const { scenario, bob, server } = await setUp()
    const before = scenario.registry.promoted.generation
    bob.query('BEGIN; ALTER TABLE t ADD b int; COMMIT; SELECT pg_sleep(10)')
    server.send(commandComplete('BEGIN'), commandComplete('ALTER TABLE'))
    expect(scenario.registry.promoted.generation).toBe(before)
    server.send(commandComplete('COMMIT'))
    expect(scenario.registry.promoted.generation).toBe(before + 1)
  })

  test('rises when a server is lost between a change and the reply to its COMMIT', async () => {
    const { scenario, bob, server } = await setUp()
    const before = scenario.registry.promoted.generation
    bob.query('BEGIN')
    server.done('BEGIN', 'T')
    bob.query('ALTER TABLE t ADD b int')
    server.done('ALTER TABLE', 'T')
    bob.query('COMMIT')
    server.die()
    expect(scenario.registry.promoted.generation).toBe(before + 1)
  })

  test.each([
    ['COMMIT', 0],
    ['COMMIT PREPARED', 1],
    ['DISCARD TEMP', 1],
    ['SELECT 1', 0],
    ['CREATE TABLE', 1],
    ['CALL', 1],
  ])('behind the tag %s is higher by %i', async (tag, by) => {
    const { scenario, bob, server } = await setUp()
    const before = scenario.registry.promoted.generation
    bob.query('something')
    server.done(tag)
    expect(scenario.registry.promoted.generation).toBe(before + by)
  })
})
