import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, type TestContext, test } from 'vitest'
import { letters, rows } from '../../support/backend-message.ts'
import { eventually } from '../../support/eventually.ts'
import { FaultProxy } from '../../support/fault-proxy.ts'
import * as f from '../../support/frontend-messages.ts'
import { MeasuredPooler } from '../../support/measured-pooler.ts'
import { startPostgres } from '../../support/postgres.ts'
import { RawClient } from '../../support/raw-client.ts'
import type { TestCluster } from '../../support/test-cluster.ts'

/** Whoever does not read makes its sender wait; the pooler keeps next to nothing. Its process alone is measured. */

const MIB = 1024 * 1024
/** Bun reads up to 512 KiB at once where Node.js reads 64 KiB, and each of 100 clients may be held with that. */
const MAX_GROWTH_BYTES = (process.versions.bun === undefined ? 32 : 96) * MIB
/** So many answers in a row that are the same mean that nothing moves any more. */
const SAME_ANSWERS = 20

let postgres: TestCluster
let proxy: FaultProxy
let pooler: MeasuredPooler
let clients: RawClient[]

beforeAll(async () => {
  postgres = await startPostgres()
  proxy = await FaultProxy.start(postgres)
  pooler = await MeasuredPooler.start({
    pooler: { listen_port: 0, auth_type: 'trust', default_pool_size: 2 },
    databases: { '*': { host: proxy.host, port: proxy.port } },
    users: { postgres: { password: postgres.password } },
  })
})

beforeEach(() => {
  clients = []
})

afterEach(() => {
  for (const client of clients) client.destroy()
})

afterAll(async () => {
  await pooler.stop()
  await proxy.stop()
  await postgres.stop()
})

async function connect(): Promise<RawClient> {
  const client = await RawClient.connect({ host: pooler.host, port: pooler.port, database: 'postgres' })
  clients.push(client)
  return client
}

/** Waits until `ask` gives the same number again and again, and that is above 0. */
async function standsStill(what: string, ask: () => number): Promise<number> {
  let last = 0
  let same = 0
  await eventually(
    `${what} to stand still`,
    () => {
      const now = ask()
      same = now === last && now > 0 ? same + 1 : 0
      last = now
      return same
    },
    (count) => count >= SAME_ANSWERS,
  )
  return last
}

/** The peak of the pooler's memory over what it had after some work of its kind; skips where nothing tells. */
async function growth(context: TestContext): Promise<() => number> {
  const client = await connect()
  for (let turn = 0; turn < 3; turn += 1) await client.query("SELECT repeat('x', 1000000)")
  client.end()
  await pooler.measure()
  pooler.forgetPeak()
  const before = pooler.memory()
  if (before === undefined) context.skip('this system has no /proc to read the memory of a process from')
  return () => (pooler.memory()?.peakBytes ?? 0) - (before?.bytes ?? 0)
}

describe('the process hardly grows', () => {
  test('with a client that never reads a result of 1 GB', async (context) => {
    const grown = await growth(context)
    const client = await connect()
    client.stream.socket.pause()
    client.send(f.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
    const before = proxy.bytes('toClient')
    const moved = await standsStill('the result', () => proxy.bytes('toClient') - before)
    expect(moved).toBeLessThan(64 * MIB)
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
    const other = await connect()
    expect(letters(await other.query('SELECT 1'))).toBe('TDCZ')
    client.destroy()
    await eventually(
      'the server to be free again',
      async () => (await pooler.measure()).stats.pools[0],
      (pool) => pool?.active === 0,
    )
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
  })

  test('with a client that reads a result of 100 MB slowly', async (context) => {
    const grown = await growth(context)
    const client = await connect()
    const { socket } = client.stream
    let received = 0
    socket.removeAllListeners('data')
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      socket.pause()
      setImmediate(() => socket.resume())
    })
    client.send(f.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"))
    await eventually(
      'the whole result',
      () => received,
      (bytes) => bytes > 100_000_000,
    )
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
  })

  test('with a server that does not read a parameter of 100 MB, which arrives whole when it does', async (context) => {
    const grown = await growth(context)
    const client = await connect()
    proxy.stall('toServer')
    const request = Buffer.concat([f.extended('SELECT length($1)', ['y'.repeat(100_000_000)]), f.sync()])
    let sent = 0
    const sending = (async () => {
      for (; sent < request.length; sent += 65_536) {
        await client.sendBytes(request.subarray(sent, sent + 65_536))
      }
    })()
    expect(await standsStill('the parameter', () => sent)).toBeLessThan(64 * MIB)
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
    await proxy.heal()
    await sending
    expect(rows(await client.receiveUntil('Z'))).toEqual([['100000000']])
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
  })

  test('with clients that wait for a server and send 1 MB each meanwhile', async (context) => {
    const grown = await growth(context)
    const holders = [await connect(), await connect()]
    for (const holder of holders) await holder.query('BEGIN')
    const waiting = await Promise.all(Array.from({ length: 100 }, connect))
    for (const client of waiting) client.send(f.query(`SELECT length('${'z'.repeat(1_000_000)}')`))
    await eventually(
      'all of them to be in the queue',
      async () => (await pooler.measure()).stats.pools[0],
      (pool) => pool?.waiting === waiting.length,
    )
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
    for (const holder of holders) await holder.query('COMMIT')
    for (const client of waiting) expect(rows(await client.receiveUntil('Z'))).toEqual([['1000000']])
    expect(grown()).toBeLessThan(MAX_GROWTH_BYTES)
  })
})
