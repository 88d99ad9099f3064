import { expect, test } from 'vitest'
import { dataRow, rowDescription } from '../support/backend-messages.ts'
import { copyData, query, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'
import { copyIn } from '../support/scenario-replies.ts'

/** Who cannot take more stops whoever sends to it, and nobody else. */

const ROW = dataRow('x'.repeat(40_000))

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

test('a client that does not read stops its server, and reading goes on when it has drained', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT many')
  alice.connection.stalled = true
  server.send(rowDescription('value'), ROW)
  expect(server.connection.paused).toBe(false)
  server.send(ROW)
  expect(server.connection.paused).toBe(true)
  server.send(ROW)
  server.done('SELECT 3')
  expect(server.connection.unread).toBe(2)
  alice.connection.drain()
  expect(server.connection.paused).toBe(false)
  expect(alice.letters()).toBe('TDDDCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('a server that does not read stops its client, and reading goes on when it has drained', async () => {
  const { alice, server } = await setUp()
  alice.query('COPY t FROM STDIN')
  server.send(copyIn())
  server.connection.stalled = true
  const data = copyData('x'.repeat(40_000))
  alice.send(data)
  expect(alice.connection.paused).toBe(false)
  alice.send(data)
  expect(alice.connection.paused).toBe(true)
  alice.send(data)
  expect(alice.connection.unread).toBe(1)
  server.connection.drain()
  expect(alice.connection.paused).toBe(false)
  expect(server.take()).toHaveLength(4)
})

test('a server stays readable while it takes nothing, so that neither side waits for the other', async () => {
  const { alice, server } = await setUp()
  alice.query('COPY t FROM STDIN')
  server.send(copyIn())
  server.connection.stalled = true
  alice.send(copyData('x'.repeat(80_000)))
  expect(server.connection.paused).toBe(false)
  server.send(rowDescription('a notice would do'))
  expect(alice.letters()).toBe('GT')
})

test('a client that does not read holds its server only as long as its transaction lasts', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT much')
  bob.query('SELECT 1')
  alice.connection.stalled = true
  server.take()
  // The answer is complete in one chunk: what alice has not taken yet is no reason to keep the server.
  server.send(rowDescription('value'), ROW, ROW, Buffer.from('C\0\0\0\rSELECT 2\0Z\0\0\0\x05I', 'latin1'))
  expect(server.connection.paused).toBe(false)
  expect(server.take()).toEqual(['Q(SELECT 1)'])
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
  expect(scenario.pool.activeCount).toBe(0)
  alice.connection.drain()
  expect(alice.letters()).toBe('TDDCZ')
})

test('a client that does not read its answers may not ask for more', async () => {
  const { alice, server } = await setUp()
  alice.query('SELECT much')
  alice.connection.stalled = true
  server.send(rowDescription('value'), ROW, ROW, Buffer.from('C\0\0\0\rSELECT 2\0Z\0\0\0\x05I', 'latin1'))
  server.take()
  alice.query('SELECT more')
  expect(server.take()).toEqual([])
  alice.connection.drain()
  expect(server.take()).toEqual(['Q(SELECT more)'])
})

test('a client that leaves while it is congested does not leave its server paused', async () => {
  const { scenario, alice, bob, server } = await setUp()
  alice.query('SELECT much')
  alice.connection.stalled = true
  server.send(rowDescription('value'), ROW, ROW)
  expect(server.connection.paused).toBe(true)
  alice.vanish()
  server.done('SELECT 2')
  await scenario.settle()
  expect(server.connection.paused).toBe(false)
  bob.query('SELECT 1')
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
})

test('a client that sends more than 64 KiB while it waits is not read until it has a server', async () => {
  const { alice, bob, server } = await setUp()
  alice.query('SELECT 1')
  const long = query(`SELECT '${'x'.repeat(40_000)}'`)
  bob.send(long)
  expect(bob.connection.paused).toBe(false)
  bob.send(long)
  expect(bob.connection.paused).toBe(true)
  bob.send(long)
  expect(bob.connection.unread).toBe(1)
  server.take()
  server.sendRow('1')
  expect(bob.connection.paused).toBe(false)
  expect(server.take()).toHaveLength(3)
})

test('a client to which very many replies are owed is not read until half of them have come', async () => {
  const { scenario, alice, server } = await setUp()
  alice.query('SELECT 1')
  server.take()
  alice.send(...Array.from({ length: 40_000 }, sync))
  expect(alice.connection.paused).toBe(true)
  server.sendRow('1')
  const ready = Buffer.from('Z\0\0\0\x05I', 'latin1')
  server.send(...Array.from({ length: 20_000 }, () => ready))
  expect(alice.connection.paused).toBe(true)
  server.send(...Array.from({ length: 10_000 }, () => ready))
  expect(alice.connection.paused).toBe(false)
  server.send(...Array.from({ length: 10_000 }, () => ready))
  expect(alice.letters()).toBe(`TDC${'Z'.repeat(40_001)}`)
  expect(scenario.pool.activeCount).toBe(0)
})
