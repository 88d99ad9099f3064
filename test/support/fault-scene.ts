import assert from 'node:assert'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { ConfigInput } from '../../src/config/config.ts'
import type { BackendMessage } from './backend-message.ts'
import { ofType } from './backend-message.ts'
import { eventually } from './eventually.ts'
import { FaultProxy } from './fault-proxy.ts'
import { query } from './frontend-messages.ts'
import type { TestPooler } from './pooler.ts'
import { startPooler } from './pooler.ts'
import { startPostgres } from './postgres.ts'
import { RawClient, type RawClientOptions } from './raw-client.ts'
import type { TestCluster } from './test-cluster.ts'

/**
 * faultScene: a PostgreSQL of its own for a test file, and for each test a FaultProxy in front of it and a pooler
 * in front of that. Owns the clients that connect through it.
 */

export interface FaultSceneOptions {
  /** Lines for postgresql.conf. */
  postgres?: Record<string, string>
  pooler?: ConfigInput['pooler']
  poolSize?: number
}

export interface FaultScene {
  readonly postgres: TestCluster
  readonly proxy: FaultProxy
  readonly pooler: TestPooler
  /** A logged-in client of the pooler. */
  connect(options?: Partial<RawClientOptions>): Promise<RawClient>
  /** A client that is in a transaction: its server, and the process number of that server. */
  inTransaction(): Promise<{ client: RawClient; pid: number }>
  /** Process numbers of the pooler's servers, as PostgreSQL sees them. */
  backends(): Promise<number[]>
  /** Waits until the pooler has noticed that so many of its servers are left, which it cannot do at once. */
  serversLeft(count: number): Promise<void>
  /** Sends a query and waits until the client is in the queue for a server. */
  waiting(client: RawClient, sql: string): Promise<void>
}

/** A retry soon after a failure keeps the tests short. */
const SOON: ConfigInput['pooler'] = { server_login_retry: '100ms' }

/** Registers the scene of a test file; what it returns may be used inside tests only. */
export function faultScene(options: FaultSceneOptions = {}): FaultScene {
  let postgres: TestCluster
  let proxy: FaultProxy
  let pooler: TestPooler
  const clients: RawClient[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ settings: options.postgres ?? {} })
  })

  afterAll(async () => {
    await postgres.stop()
  })

  beforeEach(async () => {
    proxy = await FaultProxy.start(postgres)
    pooler = await startPooler({
      server: { host: proxy.host, port: proxy.port, password: postgres.password },
      pooler: { default_pool_size: options.poolSize ?? 3, ...SOON, ...options.pooler },
    })
  })

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy()
    await pooler.stop()
    await proxy.stop()
  })

  const connect: FaultScene['connect'] = async (more = {}) => {
    const client = await RawClient.connect({
      host: pooler.host,
      port: pooler.port,
      database: 'postgres',
      ...more,
    })
    clients.push(client)
    return client
  }

  return {
    get postgres() {
      return postgres
    },
    get proxy() {
      return proxy
    },
    get pooler() {
      return pooler
    },
    connect,
    async inTransaction() {
      const client = await connect()
      await client.query('BEGIN')
      return { client, pid: Number(await client.value('SELECT pg_backend_pid()')) }
    },
    async backends() {
      // Our own question comes over the unix socket.
      const found = await postgres.query(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND client_port > 0 ORDER BY pid`,
      )
      return found.map(({ pid }) => pid as number)
    },
    async serversLeft(count) {
      await eventually(
        `the pooler to have ${count} servers`,
        () => pooler.stats.pools[0]?.servers,
        (servers) => servers === count,
      )
    },
    async waiting(client, sql) {
      const before = waitingClients(pooler)
      client.send(query(sql))
      await eventually(
        'the client to be in the queue',
        () => waitingClients(pooler),
        (count) => count > before,
      )
    },
  }
}

function waitingClients(pooler: TestPooler): number {
  return pooler.stats.pools.reduce((sum, { waiting }) => sum + waiting, 0)
}

/** Sends a signal to one process: 0 and negative numbers would reach many, ours among them. */
export function signal(pid: number | undefined, name: NodeJS.Signals): void {
  assert(pid !== undefined && pid > 1, `${pid} is not the number of a process of PostgreSQL`)
  process.kill(pid, name)
}

/** Everything up to the end of the connection, which must hold exactly one ErrorResponse, as its last message. */
export async function onlyError(client: RawClient): Promise<BackendMessage<'E'>> {
  const rest = await client.receiveRest()
  const errors = ofType(rest, 'E')
  const [error] = errors
  if (error === undefined || errors.length > 1 || rest.at(-1)?.type !== 'E') {
    throw new Error(`expected one error as the last message, received ${JSON.stringify(rest)}`)
  }
  return error
}
