import { expect, test } from 'vitest'
import {
  commandComplete,
  errorResponse,
  notificationResponse,
  parameterStatus,
  parseComplete,
  readyForQuery,
} from '../support/backend-messages.ts'
import { bind, execute, parse, query, startup, sync } from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import { ran } from '../support/scenario-replies.ts'

/** A client's session parameters go with it from server to server, and nobody else's come along. */

const set = (name: string, value: string): string => `pg_catalog.set_config(E'${name}', E'${value}', false)`

test('parameters that differ are applied in the same write as the query, and the reply to that is swallowed', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client({ application_name: 'bob' })
  const server = scenario.server()
  server.take()
  server.takeWrites()
  bob.query('SELECT 1')
  expect(server.take()).toEqual([`Q(SELECT ${set('application_name', 'bob')})`, 'Q(SELECT 1)'])
  expect(server.takeWrites()).toBe(1)
  server.sendByteByByte(parameterStatus('application_name', 'bob'))
  server.sendRow('bob')
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
  alice.query('SELECT 2')
  expect(server.take()).toEqual([`Q(SELECT ${set('application_name', '')})`, 'Q(SELECT 2)'])
  server.send(parameterStatus('application_name', ''))
  server.sendRow('')
  server.sendRow('2')
  expect(alice.letters()).toBe('TDCZ')
})

test('nothing is sent to a server that has the right values already', async () => {
  const scenario = new Scenario()
  await scenario.client()
  const bob = await scenario.client({ application_name: 'bob' })
  const server = scenario.server()
  bob.query('SELECT 1')
  server.sendRow('bob')
  server.sendRow('1')
  server.take()
  bob.query('SELECT 2')
  expect(server.take()).toEqual(['Q(SELECT 2)'])
})

test('what a client sets itself is its own: the next client of the server gets the old value back', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  server.take()
  alice.query("SET TimeZone TO 'Asia/Tokyo'")
  server.take()
  server.send(parameterStatus('TimeZone', 'Asia/Tokyo'))
  server.done('SET')
  expect(alice.take()).toEqual(['S(TimeZone=Asia/Tokyo)', 'C(SET)', 'Z(I)'])
  bob.query('SELECT 1')
  expect(server.take()).toEqual(['Q(SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL)', 'Q(SELECT 1)'])
  server.send(commandComplete('SET'), commandComplete('RESET'), parameterStatus('TimeZone', 'UTC'))
  server.send(commandComplete('RESET'), readyForQuery())
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
  alice.query('SELECT 2')
  expect(server.take()[0]).toContain(set('timezone', 'Asia/Tokyo'))
})

test('a value that the server rejects at a client’s login is that client’s error, not a waiter’s', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  const bob = scenario.connect()
  bob.send(startup({ user: 'app', database: 'app', DateStyle: 'nonsense' }))
  expect(server.take()).toEqual([`Q(RESET DateStyle;SELECT ${set('datestyle', 'nonsense')})`])
  alice.query('SELECT 1')
  server.send(errorResponse('22023', 'invalid value for parameter "DateStyle"'), readyForQuery())
  expect(bob.take()).toEqual(['R', 'E(22023 invalid value for parameter "DateStyle")'])
  expect(bob.gone).toBe(true)
  await scenario.settle()
  const used = server.gone ? scenario.server(1) : server
  expect(used.take()).toEqual(['Q(SELECT 1)'])
  used.sendRow('1')
  expect(alice.letters()).toBe('TDCZ')
})

test('the server’s spelling of a startup value is what this client and the next are told', async () => {
  const scenario = new Scenario()
  const first = scenario.connect()
  first.send(startup({ user: 'app', database: 'app', DateStyle: 'German' }))
  await scenario.settle()
  const server = scenario.server()
  expect(server.take()).toEqual([`Q(RESET DateStyle;SELECT ${set('datestyle', 'German')})`])
  server.send(parameterStatus('DateStyle', 'German, DMY'))
  server.sendRow('German, DMY')
  expect(first.letters()).toMatch(/^RS*KZ$/)
  expect(first.parameters.get('DateStyle')).toBe('German, DMY')
  // The value is known now: the second client needs no server for its welcome.
  const second = await scenario.client({ DateStyle: 'German' })
  expect(second.parameters.get('DateStyle')).toBe('German, DMY')
  expect(server.take()).toEqual([])
})

test('a change that a server reports by itself is told to its client, and to an idle server’s next client', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  server.send(parameterStatus('server_version', '18.5'))
  expect(alice.take()).toEqual([])
  alice.query('SELECT 1')
  expect(alice.take()).toEqual(['S(server_version=18.5)'])
  server.sendRow('1')
  expect(alice.letters()).toBe('TDCZ')
})

test('parameters go ahead of an extended batch without taking part in it', async () => {
  const scenario = new Scenario()
  await scenario.client()
  const bob = await scenario.client({ application_name: 'bob' })
  const server = scenario.server()
  server.take()
  bob.send(parse('', 'SELECT 1'), bind(), execute(), sync())
  expect(server.take()).toEqual([
    `Q(SELECT ${set('application_name', 'bob')})`,
    'P("" SELECT 1)',
    'B("")',
    'E',
    'S',
  ])
  server.sendRow('bob')
  server.send(parseComplete(), ran('1'), readyForQuery())
  expect(bob.letters()).toBe('12DCZ')
  expect(scenario.pool.activeCount).toBe(0)
})

test('RESET ALL brings the client’s startup values back, not those of the server’s login', async () => {
  const scenario = new Scenario()
  await scenario.client()
  const bob = await scenario.client({ application_name: 'bob' })
  const server = scenario.server()
  bob.query('SELECT 1')
  server.send(parameterStatus('application_name', 'bob'))
  server.sendRow('bob')
  server.sendRow('1')
  bob.take()
  server.take()
  bob.query('RESET ALL')
  server.send(commandComplete('RESET'), parameterStatus('application_name', ''), readyForQuery())
  expect(bob.take()).toEqual(['C(RESET)', 'Z(I)'])
  expect(bob.parameters.get('application_name')).toBe('bob')
  expect(server.take()).toEqual(['Q(RESET ALL)', `Q(SELECT ${set('application_name', 'bob')})`])
})

test('what a client left behind on a server is taken away before the next client’s query', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  for (const [sql, tag] of [
    ['SET work_mem = 1', 'SET'],
    ['LISTEN x', 'LISTEN'],
    ['PREPARE p AS SELECT 1', 'PREPARE'],
    ['DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'DECLARE CURSOR'],
  ] as const) {
    alice.query(sql)
    server.done(tag)
  }
  server.take()
  bob.query('SELECT 1')
  expect(server.take()).toEqual([
    'Q(UNLISTEN *;CLOSE ALL;DEALLOCATE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL)',
    'Q(SELECT 1)',
  ])
})

test('the same client gets its own leftovers back untouched', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const server = scenario.server()
  alice.query('SET work_mem = 1')
  server.done('SET')
  server.take()
  alice.query('SELECT 1')
  expect(server.take()).toEqual(['Q(SELECT 1)'])
})

test('SET LOCAL leaves nothing behind', async () => {
  const scenario = new Scenario()
  const alice = await scenario.client()
  const bob = await scenario.client()
  const server = scenario.server()
  alice.send(query('BEGIN'), query('SET LOCAL work_mem = 1'), query('COMMIT'))
  server.done('BEGIN', 'T')
  server.done('SET', 'T')
  server.done('COMMIT')
  server.take()
  bob.query('SELECT 1')
  expect(server.take()).toEqual(['Q(SELECT 1)'])
})

test('a notification for a client that listened on this server before does not reach the next client', async () => {
  const scenario = new Scenario()
  const bob = await scenario.client()
  const server = scenario.server()
  bob.query('SELECT 1')
  server.send(notificationResponse(7, 'x', ''))
  server.sendRow('1')
  expect(bob.letters()).toBe('TDCZ')
})
