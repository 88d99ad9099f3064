import { bench, do_not_optimize, run, summary } from 'mitata'
import { buildConfig, findDatabase } from '../../src/config/config.ts'
import { poolPolicy } from '../../src/config/pool-policy.ts'
import { createLogger } from '../../src/log.ts'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import type { Connection } from '../../src/net/transport.ts'
import { LocalBudget } from '../../src/pool/local-budget.ts'
import { ServerPool } from '../../src/pool/server-pool.ts'
import type { Lessee } from '../../src/server/lessee.ts'
import { ServerConnection, type ServerHandler } from '../../src/server/server-connection.ts'

/** Who gets the next server, with servers that have no socket. */

const SIZE = 20
const CLIENTS = 50

const noSocket: Connection = {
  setHandler() {},
  write: () => true,
  pendingBytes: 0,
  pause() {},
  resume() {},
  end() {},
  destroy() {},
  remoteAddress: '',
  remotePort: 0,
}

const NOBODY: ServerHandler = {
  onServerMessage: () => {
    throw new Error('a message for nobody')
  },
  onServerChunkEnd() {},
  onServerRun() {},
  onServerCongestion() {},
  onServerClosed() {},
}

/** Takes what it gets, and tells whether it has one. */
class Client implements Lessee {
  readonly patient = true
  server: ServerConnection | undefined

  onLease(server: ServerConnection): void {
    this.server = server
  }

  onLeaseRefused(): void {
    throw new Error('refused')
  }
}

function newPool(): ServerPool {
  const config = buildConfig({ databases: { bench: {} } })
  const database = findDatabase(config, 'bench')
  if (database === undefined) throw new Error('the database is configured above')
  const queue = new FlushQueue()
  const pool: ServerPool = new ServerPool({
    database: 'bench',
    user: 'bench',
    policy: { ...poolPolicy(config, database, 'bench'), size: SIZE },
    budget: new LocalBudget(),
    open: async () => new ServerConnection(noSocket, queue, NOBODY, null),
    log: createLogger({ level: 'silent' }).log,
  })
  return pool
}

/** A pool whose servers are all open and warm. */
async function warmPool(): Promise<ServerPool> {
  const pool = newPool()
  const clients = Array.from({ length: SIZE }, () => new Client())
  for (const client of clients) client.server = pool.lease(client)
  while (clients.some(({ server }) => server === undefined)) await new Promise(setImmediate)
  for (const { server } of clients) pool.release(server as ServerConnection)
  return pool
}

const idle = await warmPool()
const busy = await warmPool()
const one = new Client()

/** More clients than servers: whoever gives one back goes to the end of the queue. */
const crowd = Array.from({ length: CLIENTS }, () => new Client())
for (const client of crowd) client.server = busy.lease(client)
let next = 0

summary(() => {
  bench('lease and release, a warm server', () => {
    const server = idle.lease(one) as ServerConnection
    do_not_optimize(server)
    idle.release(server)
  })
  bench(`release to the longest of ${CLIENTS - SIZE} waiters, and wait again`, () => {
    for (;;) {
      const client = crowd[next] as Client
      next = (next + 1) % CLIENTS
      const { server } = client
      if (server === undefined) continue
      client.server = undefined
      busy.release(server)
      client.server = busy.lease(client)
      return
    }
  })
})

await run()
// The pools' eviction timers would keep the process alive.
process.exit()
