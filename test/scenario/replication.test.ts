import { beforeEach, expect, test } from 'vitest'
import { BackendType } from '../../src/protocol/message-type.ts'
import * as b from '../support/backend-messages.ts'
import * as f from '../support/frontend-messages.ts'
import { standbyStatus } from '../support/replication-messages.ts'
import { Scenario } from '../support/scenario.ts'
import type { ScenarioClient, ScenarioServer } from '../support/scenario-peers.ts'

/** A replication client and the server connection that is its own, chunk by chunk. case 45 */

const COPY_BOTH = f.message(BackendType.CopyBothResponse, (body) => body.byte(0).int16(0))
const COPY_DONE = f.message(BackendType.CopyDone)
const WAL = f.copyData('some WAL')

let scenario: Scenario
let client: ScenarioClient
let server: ScenarioServer

/** The stream is open both ways. */
beforeEach(async () => {
  scenario = new Scenario()
  client = await scenario.client({ replication: 'database' })
  server = scenario.server()
  client.query('START_REPLICATION')
  expect(server.take()).toEqual(['Q(START_REPLICATION)'])
  server.send(COPY_BOTH)
  expect(client.letters()).toBe('W')
  client.takeWrites()
  server.takeWrites()
})

test('a chunk of many messages is one write, in either direction', () => {
  server.send(WAL, WAL, WAL)
  expect(client.letters()).toBe('ddd')
  expect(client.takeWrites()).toBe(1)
  client.send(standbyStatus(1n), standbyStatus(2n))
  expect(server.take()).toHaveLength(2)
  expect(server.takeWrites()).toBe(1)
})

test('a client that does not read is heard all the same, and nothing is kept for it without bound', () => {
  const chunk = f.copyData('w'.repeat(100_000))
  client.connection.stalled = true
  for (let i = 0; i < 3; i++) server.send(chunk)
  expect(server.connection.paused).toBe(true)
  const pending = client.connection.pendingBytes
  for (let i = 0; i < 7; i++) server.send(chunk)
  expect(client.connection.pendingBytes).toBe(pending)
  client.send(standbyStatus(1n))
  client.send(standbyStatus(2n))
  expect(server.take()).toHaveLength(2)
  client.connection.drain()
  expect(client.takeBytes().length).toBe(10 * chunk.length)
})

test('where PostgreSQL does not read either, the client is not read', () => {
  client.connection.stalled = true
  server.send(f.copyData('w'.repeat(100_000)))
  server.connection.stalled = true
  for (let i = 0; i < 2000; i++) client.send(standbyStatus(BigInt(i)))
  expect(client.connection.paused).toBe(true)
  const pending = server.connection.pendingBytes
  for (let i = 0; i < 200; i++) client.send(standbyStatus(BigInt(i)))
  expect(server.connection.pendingBytes).toBe(pending)
  server.connection.drain()
  expect(client.connection.paused).toBe(false)
  expect(server.take()).toHaveLength(2200)
})

test('half a message passes as it comes', () => {
  const whole = f.copyData('x'.repeat(100))
  for (const [from, to] of [
    [server, client],
    [client, server],
  ] as const) {
    from.send(whole.subarray(0, 60))
    expect(to.incomplete).toBe(60)
    from.send(whole.subarray(60))
    expect(to.takeBytes()).toEqual(whole)
    from.sendByteByByte(whole, COPY_DONE)
    expect(to.takeBytes()).toEqual(Buffer.concat([whole, COPY_DONE]))
  }
})

test('nothing is tracked: after the stream come other commands, also several at once', () => {
  client.send(f.copyDone(), f.query('SELECT 1'), f.query('SELECT 2'))
  expect(server.take()).toEqual(['c', 'Q(SELECT 1)', 'Q(SELECT 2)'])
  server.send(COPY_DONE, b.commandComplete('COPY 0'), b.readyForQuery(), b.oneRow('1'), b.oneRow('2'))
  expect(client.letters()).toBe('cCZTDCZTDCZ')
  client.send(f.parse('', 'SELECT 1'), f.sync())
  expect(server.take()).toEqual(['P("" SELECT 1)', 'S'])
})

test('a server that closes its connection ends it with one error', () => {
  server.send(WAL)
  server.die()
  expect(client.take()).toEqual(['d', 'E(08006 server conn crashed?)'])
  expect(client.gone).toBe(true)
})

test('a server that closes its connection inside a message ends it without one', () => {
  server.send(WAL.subarray(0, 9))
  server.die()
  expect(client.takeBytes()).toHaveLength(9)
  expect(client.gone).toBe(true)
})

test.each(['FATAL', 'PANIC'])('a %s of the server is the only error', (severity) => {
  server.send(b.errorResponse('57P01', 'enough', severity))
  server.die()
  expect(client.take()).toEqual(['E(57P01 enough)'])
  expect(client.gone).toBe(true)
})

test('an ERROR of the server ends nothing, and does not stand for the loss of the connection', () => {
  server.send(b.errorResponse('57014', 'canceled'), b.readyForQuery())
  expect(client.letters()).toBe('EZ')
  server.die()
  expect(client.take()).toEqual(['E(08006 server conn crashed?)'])
})

test('a server that is shut down ends its stream with a CommandComplete, and no error follows', () => {
  server.send(WAL, b.commandComplete('COPY 0'))
  server.die()
  expect(client.letters()).toBe('dC')
  expect(client.gone).toBe(true)
})

test('nonsense of the server ends both connections', () => {
  server.send(WAL, Buffer.from('!\0\0\0\x04', 'latin1'))
  expect(client.take()).toEqual(['d', 'E(08006 server conn crashed?)'])
  expect(server.gone).toBe(true)
})

test('nonsense of the client ends both connections', () => {
  client.send(Buffer.from('!\0\0\0\x04', 'latin1'))
  expect(client.take()).toEqual(['E(08P01 invalid frontend message type 33)'])
  expect(server.gone).toBe(true)
})

test('Terminate and FIN are one Terminate for the server; its end is the end of the client', () => {
  client.leave()
  expect(server.take()).toEqual(['X'])
  server.send(WAL)
  expect(client.letters()).toBe('d')
  server.die()
  expect(client.letters()).toBe('')
  expect(client.gone).toBe(true)
  expect(scenario.multiplexer.clientCount).toBe(0)
})

test('what follows a Terminate is not forwarded', () => {
  client.send(f.terminate())
  client.send(f.query('SELECT 1'))
  expect(server.take()).toEqual(['X'])
})

test('FIN inside a message ends both connections at once', () => {
  client.send(standbyStatus(1n).subarray(0, 20))
  client.connection.receiveEnd()
  expect(server.gone).toBe(true)
  expect(client.gone).toBe(true)
})

test('a server that does not end after a Terminate is given up', () => {
  client.leave()
  scenario.tick(9000)
  expect(server.gone).toBe(false)
  scenario.tick(10_500)
  expect(server.gone).toBe(true)
  expect(client.gone).toBe(true)
  expect(scenario.pool).toMatchObject({ size: 0, activeCount: 0, clients: { count: 0 } })
})

test('query_wait_notify tells a client that waits for its connection', async () => {
  const other = scenario.connect()
  other.send(f.startup({ user: 'app', database: 'app', replication: 'true' }))
  await scenario.settle()
  expect(other.letters()).toBe('R')
  scenario.tick(4500)
  await scenario.settle()
  expect(other.letters()).toBe('')
  scenario.tick(5500)
  scenario.tick(5600)
  await scenario.settle()
  expect(other.letters()).toBe('N')
})

test('client_login_timeout ends a client that waits for its connection', async () => {
  const other = scenario.connect()
  other.send(f.startup({ user: 'app', database: 'app', replication: 'true' }))
  await scenario.settle()
  expect(other.letters()).toBe('R')
  scenario.tick(61_000)
  expect(other.take()).toEqual(['E(57014 client_login_timeout)'])
  expect(scenario.pool.waiting).toBe(0)
  expect(client.gone).toBe(false)
})

test('a client that says good-bye while it waits leaves the queue', async () => {
  const [terminates, sendsFin, vanishes] = [scenario.connect(), scenario.connect(), scenario.connect()]
  for (const other of [terminates, sendsFin, vanishes])
    other.send(f.startup({ user: 'app', database: 'app', replication: 'true' }))
  await scenario.settle()
  expect(scenario.pool.waiting).toBe(3)
  terminates.send(f.terminate())
  sendsFin.connection.receiveEnd()
  vanishes.vanish()
  expect(scenario.pool.waiting).toBe(0)
  expect(scenario.multiplexer.clientCount).toBe(1)
})

test('a client that leaves during the login of its server takes that along', async () => {
  const place = new Scenario()
  place.onStartup = () => {}
  const early = place.connect()
  early.send(f.startup({ user: 'app', database: 'app', replication: 'true' }))
  await place.settle()
  expect(place.servers).toHaveLength(1)
  early.vanish()
  await place.settle()
  expect(place.server().gone).toBe(true)
  expect(place.pool).toMatchObject({ size: 0, opening: 0, waiting: 0, clients: { count: 0 } })
})
