import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import * as frontend from '../../support/frontend-messages.ts'
import { startPooler, type TestPooler } from '../../support/pooler.ts'
import { PoolerProcess } from '../../support/pooler-process.ts'
import { sharedPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'

/** The end of a pooler: by its method, and by signals to the command. */

const clients: RawClient[] = []

afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

async function connect(at: { host: string; port: number }): Promise<RawClient> {
  const client = await RawClient.connect({ ...at, database: 'postgres' })
  clients.push(client)
  return client
}

describe('shutdown()', () => {
  let pooler: TestPooler

  afterEach(() => pooler.stop())

  async function start(settings: Record<string, unknown>): Promise<void> {
    pooler = await startPooler({ server: sharedPostgres(), pooler: settings })
  }

  test('wait_for_servers lets transactions end, and disconnects all others at once', async () => {
    await start({ default_pool_size: 1 })
    const [busy, idle, waiting] = [await connect(pooler), await connect(pooler), await connect(pooler)]
    await busy.query('BEGIN')
    waiting.send(frontend.query('SELECT 1'))
    await eventually(
      'a client to wait',
      () => pooler.stats.pools[0]?.waiting,
      (count) => count === 1,
    )
    const ended = pooler.control.shutdown('wait_for_servers')
    for (const client of [idle, waiting])
      expect(await client.receive('E')).toMatchObject({ code: '57P01', text: 'server shutting down' })
    expect(letters(await busy.query('SELECT 1'))).toBe('TDCZ')
    expect(letters(await busy.query('COMMIT'))).toBe('CZ')
    expect(await busy.receive('E')).toMatchObject({ code: '57P01' })
    await ended
    expect(pooler.stats.clients).toBe(0)
  })

  test('wait_for_clients serves those that are there and ends with the last of them', async () => {
    await start({})
    const [one, two] = [await connect(pooler), await connect(pooler)]
    const ended = pooler.control.shutdown('wait_for_clients')
    await expect(RawClient.open(pooler)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    for (const client of [one, two]) {
      expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
      client.end()
    }
    await ended
  })

  test('wait_for_clients disconnects who stays for more than half of shutdown_timeout', async () => {
    await start({ shutdown_timeout: 0.6 })
    const client = await connect(pooler)
    const ended = pooler.control.shutdown('wait_for_clients')
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    expect(await client.receive('E')).toMatchObject({ code: '57P01', text: 'server shutting down' })
    await ended
  })

  test('a transaction that does not end is cut off after shutdown_timeout', async () => {
    await start({ shutdown_timeout: 0.3 })
    const client = await connect(pooler)
    await client.query('BEGIN')
    const ended = pooler.control.shutdown('wait_for_servers')
    expect(await client.receive('E')).toMatchObject({ code: '57P01', text: 'pooler is shutting down' })
    await ended
  })

  test('one that is called for at once overtakes one that waits', async () => {
    await start({ shutdown_timeout: 0 })
    const client = await connect(pooler)
    await client.query('BEGIN')
    const first = pooler.control.shutdown('wait_for_servers')
    await pooler.control.shutdown('immediate')
    expect(await client.receive('E')).toMatchObject({ code: '57P01' })
    await first
  })

  test('a client that has not logged in is refused', async () => {
    await start({ shutdown_timeout: 0 })
    const busy = await connect(pooler)
    await busy.query('BEGIN')
    const late = await RawClient.open(pooler)
    clients.push(late)
    const ended = pooler.control.shutdown('wait_for_servers')
    expect(await late.receive('E')).toMatchObject({ code: '57P01', text: 'pooler is shutting down' })
    await busy.query('COMMIT')
    await ended
  })
})

describe('signals', () => {
  let folder: string
  let file: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pooler-signals-'))
    file = join(folder, 'pooler.toml')
  })

  afterEach(() => rm(folder, { recursive: true }))

  async function write(settings: string): Promise<void> {
    const { host, port, user, password } = sharedPostgres()
    await writeFile(
      file,
      `[pooler]\nlisten_port = 0\nauth_type = "trust"\n${settings}\n` +
        `[databases."*"]\nhost = "${host}"\nport = ${port}\n[users.${user}]\npassword = "${password}"\n`,
    )
  }

  async function start(settings = ''): Promise<{ pooler: PoolerProcess; host: string; port: number }> {
    await write(settings)
    const pooler = new PoolerProcess({ folder, parameters: [file] })
    const { host, port } = await pooler.logs('listening')
    return { pooler, host: String(host), port: Number(port) }
  }

  test('SIGTERM waits for clients, then ends with 0', async () => {
    const { pooler, ...at } = await start()
    const client = await connect(at)
    pooler.signal('SIGTERM')
    await pooler.logs('shutting down')
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    client.end()
    expect(await pooler.exitCode()).toBe(0)
  })

  test('SIGINT disconnects idle clients and ends with 0 when the transactions are over', async () => {
    const { pooler, ...at } = await start()
    const [busy, idle] = [await connect(at), await connect(at)]
    await busy.query('BEGIN')
    pooler.signal('SIGINT')
    expect(await idle.receive('E')).toMatchObject({ code: '57P01' })
    expect(letters(await busy.query('COMMIT'))).toBe('CZ')
    expect(await pooler.exitCode()).toBe(0)
  })

  test.each<[NodeJS.Signals, NodeJS.Signals | undefined]>([
    ['SIGQUIT', undefined],
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGINT'],
  ])('%s, then %s, ends at once with 0', async (first, second) => {
    const { pooler, ...at } = await start()
    const client = await connect(at)
    await client.query('BEGIN')
    pooler.signal(first)
    if (second !== undefined) {
      await pooler.logs('shutting down')
      pooler.signal(second)
    }
    expect(await client.receive('E')).toMatchObject({ code: '57P01' })
    expect(await pooler.exitCode()).toBe(0)
  })

  test('SIGHUP reads the file again, and a broken one changes nothing and ends nothing', async () => {
    const { pooler, ...at } = await start('default_pool_size = 1')
    const client = await connect(at)
    await write('default_pool_size = "many"')
    pooler.signal('SIGHUP')
    const line = await pooler.logs('reload failed')
    expect(JSON.stringify(line)).toContain('default_pool_size')
    expect(letters(await client.query('SELECT 1'))).toBe('TDCZ')
    await write('default_pool_size = 2\nlisten_backlog = 512')
    pooler.signal('SIGHUP')
    expect(await pooler.logs('configuration read again')).toMatchObject({
      changed: ['pooler.default_pool_size'],
    })
    expect(await pooler.logs('takes effect after a restart only')).toMatchObject({
      setting: 'pooler.listen_backlog',
    })
    expect(await pooler.end('SIGQUIT')).toBe(0)
  })

  test('SIGUSR1 pauses and SIGUSR2 resumes', async () => {
    const { pooler, ...at } = await start()
    const client = await connect(at)
    pooler.signal('SIGUSR1')
    await pooler.logs('pause done')
    client.send(frontend.query('SELECT 1'))
    // Nothing answers while it is paused: a login on another connection shows that the pooler is alive meanwhile.
    const socket = connectSocket(at.port, at.host)
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()))
    socket.destroy()
    expect(client.stream.unread).toBe(0)
    pooler.signal('SIGUSR2')
    await pooler.logs('resume done')
    expect(letters(await client.receiveUntil('Z'))).toBe('TDCZ')
    expect(await pooler.end('SIGQUIT')).toBe(0)
  })
})
