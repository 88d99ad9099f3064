import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { letters } from '../../support/backend-message.ts'
import * as b from '../../support/backend-messages.ts'
import { eventually } from '../../support/eventually.ts'
import { faultScene, onlyError } from '../../support/fault-scene.ts'
import * as f from '../../support/frontend-messages.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { startPooler } from '../../support/pooler.ts'
import { RawClient } from '../../support/raw-client.ts'
import { echoQueries, ScriptedServer } from '../../support/scripted-server.ts'

/** Servers that refuse, do not answer, or answer and never log anybody in; and a network that comes back. */

const CONNECT_TIMEOUT_MS = 400

const scene = faultScene({ poolSize: 2, pooler: { server_connect_timeout: `${CONNECT_TIMEOUT_MS}ms` } })

/** A pooler of its own, stopped after the test. */
const poolers: TestPooler[] = []

afterEach(async () => {
  await Promise.all(poolers.splice(0).map((pooler) => pooler.stop()))
})

/** Two databases: "holes" at an address of trouble, "fine" at PostgreSQL. */
async function twoDatabases(holes: { host: string; port: number }): Promise<TestPooler> {
  const { host, port, password } = scene.postgres
  const pooler = await startPooler({
    server: { host, port, password },
    pooler: { server_connect_timeout: `${CONNECT_TIMEOUT_MS}ms`, server_login_retry: '100ms' },
    databases: {
      holes: { host: holes.host, port: holes.port, dbname: 'postgres' },
      fine: { host, port, dbname: 'postgres' },
    },
  })
  poolers.push(pooler)
  return pooler
}

/** The client of the hole is refused in time, and one of the other database is served meanwhile. */
async function refusedInTime(pooler: TestPooler, words: string): Promise<void> {
  const since = performance.now()
  let refused = false
  const refusal = RawClient.connect({ ...pooler, database: 'holes' }).catch((error: Error) => {
    refused = true
    return error
  })
  const fine = await RawClient.connect({ ...pooler, database: 'fine' })
  for (let turn = 0; turn < 3; turn += 1) expect(letters(await fine.query('SELECT 1'))).toBe('TDCZ')
  expect(refused, 'the hole must not have answered before the other pool').toBe(false)
  expect(String(await refusal)).toContain(`57P03 ${words}`)
  // The upper bound is generous: the machine may be busy.
  expect(performance.now() - since).toBeGreaterThan(CONNECT_TIMEOUT_MS - 50)
  expect(performance.now() - since).toBeLessThan(CONNECT_TIMEOUT_MS + 5000)
  fine.end()
}

describe('a server that refuses connections', () => {
  test('is waited for by logged-in clients, and asked again and again', async () => {
    const client = await scene.connect()
    await client.query('SELECT 1')
    scene.proxy.refuse()
    scene.proxy.cut('reset')
    await scene.serversLeft(0)
    await scene.waiting(client, 'SELECT 1')
    await scene.proxy.heal()
    await client.expect('TDCZ')
  })
})

describe('a server that accepts and never answers', () => {
  test('is given up after server_connect_timeout, and other pools do not notice', async () => {
    scene.proxy.swallow()
    const pooler = await twoDatabases(scene.proxy)
    await refusedInTime(pooler, 'the server did not complete the login in time (server_connect_timeout)')
  })

  test('is waited for by logged-in clients through several attempts', async () => {
    const client = await scene.connect()
    await client.query('SELECT 1')
    scene.proxy.swallow()
    scene.proxy.cut('close')
    await scene.serversLeft(0)
    const before = scene.proxy.accepted
    await scene.waiting(client, 'SELECT 1')
    await eventually(
      'a second attempt',
      () => scene.proxy.accepted - before,
      (attempts) => attempts >= 2,
    )
    await scene.proxy.heal()
    await client.expect('TDCZ')
  })

  test('in the middle of the login is given up, too', async () => {
    const { client } = await scene.inTransaction()
    const other = await scene.connect()
    // The server's words to the newcomer are held back; those to the first one, too, until all is healed.
    scene.proxy.stall('toClient')
    await scene.waiting(other, 'SELECT 1')
    await eventually(
      'the newcomer to be given up',
      () => scene.proxy.accepted,
      (accepted) => accepted >= 3,
    )
    await scene.proxy.heal()
    await other.expect('TDCZ')
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
  })

  // Only the cancel's own connection is in the hole. When it comes out of it, its query is long over.
  test('for a cancel does not keep the query from its answer, and cancels nothing later', async () => {
    const { client } = await scene.inTransaction()
    const accepted = scene.proxy.accepted
    client.send(f.query('SELECT 1 FROM pg_sleep(0.2)'))
    scene.proxy.swallow()
    const canceled = client.cancel()
    await client.expect('TDCZ')
    expect(scene.proxy.accepted).toBe(accepted + 1)
    expect(letters(await client.query('COMMIT'))).toBe('CZ')
    await scene.proxy.heal()
    expect(letters(await client.query('SELECT 2 FROM pg_sleep(0.1)'))).toBe('TDCZ')
    await canceled
  })
})

describe('a server whose host does not answer', () => {
  let silent: ChildProcess | undefined
  const queue: ReturnType<typeof connect>[] = []

  afterEach(() => {
    for (const socket of queue.splice(0)) socket.destroy()
    silent?.kill('SIGKILL')
  })

  /** A listener that is stopped and whose queue in the kernel is full: further SYNs are not answered. */
  async function silentAddress(): Promise<{ host: string; port: number }> {
    const program = `const server = require('node:net').createServer()
      server.listen(0, '127.0.0.1', 1, () => console.log(server.address().port))`
    silent = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = (await once(silent.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    const address = { host: '127.0.0.1', port: Number(line.toString()) }
    silent.kill('SIGSTOP')
    for (let full = false; !full; ) {
      const socket = connect(address)
      socket.on('error', () => {})
      queue.push(socket)
      full = await Promise.race([
        once(socket, 'connect').then(() => false),
        new Promise<boolean>((resolve) => setTimeout(resolve, 200, true)),
      ])
    }
    return address
  }

  test('is given up after server_connect_timeout, and other pools do not notice', async () => {
    const pooler = await twoDatabases(await silentAddress())
    await refusedInTime(pooler, 'the server did not complete the login in time (server_connect_timeout)')
  })
})

describe('a server that says FATAL while it is idle', () => {
  test('is dropped, whether it closes the connection or not, and nobody notices', async () => {
    const server = await ScriptedServer.listen()
    const pooler = await startPooler({
      server: server.address,
      pooler: { default_pool_size: 1, server_login_retry: '100ms' },
    })
    poolers.push(pooler)
    try {
      const client = await RawClient.connect({ ...pooler, database: 'scripted' })
      const other = await RawClient.connect({ ...pooler, database: 'scripted' })
      for (const closes of [true, false]) {
        const session = await server.session()
        session.send(b.errorResponse('57P01', 'terminating connection due to administrator command', 'FATAL'))
        if (closes) session.stream.end()
        await session.closed()
        client.send(f.query('SELECT 1'))
      }
      const last = await server.session()
      void echoQueries(last)
      await client.expect('TDCZ')
      expect(letters(await other.query('SELECT 2'))).toBe('TDCZ')
      for (const one of [client, other]) expect(one.received.some(({ type }) => type === 'E')).toBe(false)
      client.end()
      other.end()
    } finally {
      await server.stop()
    }
  })
})

describe('a client that waits for a server which stays away', () => {
  test('is told so once, when query_wait_timeout is over', async () => {
    const { host, port, password } = scene.postgres
    const pooler = await startPooler({
      server: { host: scene.proxy.host, port: scene.proxy.port, password },
      pooler: { server_login_retry: '100ms', query_wait_timeout: '700ms' },
      databases: { direct: { host, port, dbname: 'postgres' } },
    })
    poolers.push(pooler)
    const client = await RawClient.connect({ ...pooler, database: 'postgres' })
    await client.query('SELECT 1')
    scene.proxy.refuse()
    scene.proxy.cut('reset')
    await eventually(
      'the server to be gone',
      () => pooler.stats.pools[0]?.servers,
      (count) => count === 0,
    )
    const since = performance.now()
    client.send(f.extended('SELECT 1'), f.sync(), f.query('SELECT 2'))
    expect((await onlyError(client)).text).toBe('query_wait_timeout')
    expect(performance.now() - since).toBeGreaterThan(650)
    const direct = await RawClient.connect({ ...pooler, database: 'direct' })
    expect(letters(await direct.query('SELECT 1'))).toBe('TDCZ')
    direct.end()
  })
})
