import { expect, test } from 'vitest'
import * as backend from '../support/backend-messages.ts'
import * as f from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'

/** What claims to be PostgreSQL may say anything while the pooler logs in: no client is given to it. */

const KEY = backend.backendKeyData(1, Buffer.alloc(4))
const READY = backend.readyForQuery()

test.each([
  ['ReadyForQuery', [KEY, READY]],
  ['ParameterStatus', [backend.parameterStatus('server_version', '18.4'), KEY, READY]],
  ['an error without a field', [backend.fieldsMessage(0x45, {})]],
  ['an error without SQLSTATE', [backend.fieldsMessage(0x45, { S: 'FATAL', M: 'go away' })]],
] as const)('%s instead of an authentication request is no login', async (_what, messages) => {
  const scenario = new Scenario()
  scenario.onStartup = (server) => server.send(...messages)
  const client = scenario.connect()
  client.send(f.startup({ user: 'app', database: 'app' }))
  await scenario.settle()
  expect(client.letters()).toBe('RE')
  expect(scenario.pool.size).toBe(0)
  await scenario.stop()
})
