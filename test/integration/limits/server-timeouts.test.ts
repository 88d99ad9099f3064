import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { ConfigInput } from '../../../src/config/config.ts'
import type { BackendMessage } from '../../support/backend-message.ts'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import { RawClient } from '../../support/raw-client.ts'

/** How long servers may take and live: what the pooler does to them by the clock, and what clients notice of it. */

const scene = faultScene({ poolSize: 1 })

const reload = (settings: ConfigInput['pooler']): Promise<unknown> =>
  scene.pooler.reload(settings === undefined ? {} : { pooler: { ...settings, default_pool_size: 1 } })

const backendOf = (client: RawClient): Promise<string | null> => client.value('SELECT pg_backend_pid()')

/** A client and the only server, which nobody uses. */
async function idle(): Promise<{ client: RawClient; pid: string | null }> {
  const client = await scene.connect()
  return { client, pid: await backendOf(client) }
}

/** The error that refuses a login. */
async function refusal(database = 'postgres'): Promise<BackendMessage<'E'>> {
  const client = await RawClient.open(scene.pooler)
  client.send(f.startup({ user: 'postgres', database }))
  const error = await onlyError(client)
  client.destroy()
  return error
}

describe('query_wait_timeout', () => {
  test('is 57P03 and says why where the server is down', async () => {
    await reload({ query_wait_timeout: '0.3s', server_login_retry: '0.1s' })
    const { client } = await idle()
    scene.proxy.refuse()
    scene.proxy.cut('reset')
    await scene.serversLeft(0)
    client.send(f.query('SELECT 1'))
    const { code, text, fields } = await onlyError(client)
    expect({ code, text }).toEqual({ code: '57P03', text: 'query_wait_timeout' })
    expect(fields.D).toMatch(/^There is no connection to the server: .*ECONNREFUSED/)
  })
})

describe('server_connect_timeout', () => {
  test('ends the attempt at a server that does not answer, with 57P03', async () => {
    await reload({ server_connect_timeout: '0.3s' })
    scene.proxy.swallow()
    expect(await refusal()).toMatchObject({
      code: '57P03',
      text: expect.stringContaining('(server_connect_timeout)'),
    })
    await scene.proxy.heal()
  })
})

describe('server_login_retry', () => {
  test('has clients refused with the cached error meanwhile, without another attempt', async () => {
    await reload({ server_login_retry: '1h' })
    const first = await refusal('missing')
    expect(first).toMatchObject({ code: '3D000', text: 'database "missing" does not exist' })
    const { accepted } = scene.proxy
    expect(await refusal('missing')).toMatchObject({
      code: '3D000',
      text: `server login has been failing, cached error: ${first.text} (server_login_retry)`,
    })
    expect(scene.proxy.accepted).toBe(accepted)
  })
})

describe('server_lifetime', () => {
  test('replaces a server, and no client notices', async () => {
    const { client, pid } = await idle()
    await reload({ server_lifetime: '0.5s' })
    let queries = 0
    await eventually(
      'another server',
      async () => {
        queries += 1
        return backendOf(client)
      },
      (now) => now !== pid,
    )
    expect(queries).toBeGreaterThan(1)
  })

  test('does not end a transaction', async () => {
    const { client, pid } = await scene.inTransaction()
    await reload({ server_lifetime: '0.1s' })
    expect(letters(await client.query('SELECT pg_sleep(0.7)'))).toBe('TDCZ')
    expect(await backendOf(client)).toBe(String(pid))
    await client.query('COMMIT')
    expect(await backendOf(client)).not.toBe(String(pid))
  })

  test('of 0 gives each transaction a server of its own', async () => {
    await reload({ server_lifetime: 0 })
    const client = await scene.connect()
    const pids = [await backendOf(client), await backendOf(client), await backendOf(client)]
    expect(new Set(pids).size).toBe(3)
  })

  test('of a database comes before the general one', async () => {
    const { client, pid } = await idle()
    const { host, port } = scene.proxy
    await scene.pooler.reload({ databases: { '*': { host, port, server_lifetime: 0 } } })
    await backendOf(client)
    expect(await backendOf(client)).not.toBe(pid)
  })
})

describe('server_idle_timeout', () => {
  test('closes a server that nobody uses, and the next query opens another', async () => {
    await reload({ server_idle_timeout: '0.2s' })
    const { client, pid } = await idle()
    await scene.serversLeft(0)
    await eventually('the backend to be gone', scene.backends, (pids) => pids.length === 0)
    expect(await backendOf(client)).not.toBe(pid)
  })
})

describe('server_check_query', () => {
  test('is asked after server_check_delay, before the client gets the server', async () => {
    await reload({
      server_check_delay: '0.2s',
      server_check_query: `SELECT set_config('a.checked', 'yes', false)`,
    })
    const { client, pid } = await idle()
    const checked = `SELECT current_setting('a.checked', true)`
    expect(await client.value(checked)).toBeNull()
    await pause(250)
    expect(await client.value(checked)).toBe('yes')
    expect(await backendOf(client)).toBe(pid)
  })

  test('finds a server that has gone without a word, and the client gets another', async () => {
    await reload({ server_check_delay: 0, server_connect_timeout: '0.4s' })
    const { client, pid } = await idle()
    scene.proxy.stall('toClient')
    client.send(f.query('SELECT pg_backend_pid()'))
    await scene.serversLeft(0)
    await scene.proxy.heal()
    const reply = await client.receiveUntil('Z')
    expect(letters(reply)).toBe('TDCZ')
    expect(await backendOf(client)).not.toBe(pid)
  })

  test('is not asked before server_check_delay', async () => {
    await reload({ server_check_delay: '1h', server_check_query: 'SELECT 1/0' })
    const { client, pid } = await idle()
    expect(await backendOf(client)).toBe(pid)
  })
})

describe('cancel_wait_timeout', () => {
  test('gives up a cancel request that is not taken, and the server is used again', async () => {
    await reload({ cancel_wait_timeout: '0.3s' })
    const { client, pid } = await scene.inTransaction()
    const { accepted, open } = scene.proxy
    client.send(f.query('SELECT pg_sleep(0.8)'))
    scene.proxy.swallow()
    const canceled = client.cancel()
    await eventually(
      'the cancel request',
      () => scene.proxy.accepted,
      (count) => count > accepted,
    )
    await canceled
    expect(letters(await client.receiveUntil('Z'))).toBe('TDCZ')
    await scene.proxy.heal()
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
    const next = await scene.connect()
    expect(await backendOf(next)).toBe(String(pid))
    await eventually(
      'the connection of the cancel request to be closed',
      () => scene.proxy.open,
      (count) => count === open,
    )
  })
})
