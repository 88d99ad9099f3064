import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { PoolPolicy } from '../../../src/config/pool-policy.ts'
import { PoolerError } from '../../../src/errors.ts'
import { LocalBudget } from '../../../src/pool/local-budget.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { type FakeLessee, FakeServers } from '../../support/fake-servers.ts'

/** max_db_connections and max_user_connections: pools that share a limit. */

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** Pools of one database for several users, which may have `limit` connections together. */
class Neighbours {
  readonly budget = new LocalBudget()
  readonly #pools = new Map<string, FakeServers>()
  readonly #policy: Partial<PoolPolicy>

  constructor(policy: Partial<PoolPolicy>) {
    this.#policy = { size: 10, ...policy }
  }

  of(user: string, policy: Partial<PoolPolicy> = {}, database = 'app'): FakeServers {
    const key = `${database}/${user}`
    let servers = this.#pools.get(key)
    if (servers === undefined) {
      servers = new FakeServers({ ...this.#policy, ...policy }, { database, user, budget: this.budget })
      this.#pools.set(key, servers)
    }
    return servers
  }

  get all(): FakeServers[] {
    return [...this.#pools.values()]
  }

  get existing(): number {
    return this.all.reduce((sum, { existing }) => sum + existing, 0)
  }

  async settle(): Promise<void> {
    for (const servers of this.all) await servers.settle()
  }

  tick(): void {
    for (const { pool } of this.all) pool.tick(Date.now())
  }
}

describe('max_db_connections', () => {
  test('holds for all pools of a database together', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 3 })
    for (const user of ['ann', 'bob']) for (let i = 0; i < 4; i += 1) pools.of(user).lease(`${user} ${i}`)
    await pools.settle()
    expect(pools.existing).toBe(3)
  })

  test('does not concern pools of other databases', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 1 })
    await pools.of('ann').served('one')
    await pools.of('ann', {}, 'other').served('two')
    expect(pools.existing).toBe(2)
  })

  test('has the server that is idle for longest closed for a waiter of another pool', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 2 })
    const [ann, bob, carol] = [pools.of('ann'), pools.of('bob'), pools.of('carol')]
    const first = await ann.served('a')
    ann.pool.release(first.server)
    vi.advanceTimersByTime(10)
    const second = await bob.served('b')
    bob.pool.release(second.server)
    await carol.served('c')
    expect(ann.pool.size).toBe(0)
    expect(bob.pool.size).toBe(1)
    expect(pools.existing).toBe(2)
  })

  test('takes no server from a pool that has no more than min_pool_size', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 1 })
    const ann = pools.of('ann', { minSize: 1 })
    const held = await ann.served('a')
    ann.pool.release(held.server)
    const waiter = pools.of('bob').lease('b')
    await pools.settle()
    expect(waiter.server).toBeNull()
    expect(ann.pool.size).toBe(1)
  })

  test('gives a place that becomes free to the pool whose client has waited longest, whatever its name', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 1 })
    const ann = pools.of('ann')
    const held = await ann.served('a')
    const zoe = pools.of('zoe').lease('zoe')
    vi.advanceTimersByTime(5)
    const bob = pools.of('bob').lease('bob')
    held.server.handler = ann.holder
    ann.connection(held.server).lose()
    await pools.settle()
    expect(zoe.server).not.toBeNull()
    expect(bob.server).toBeNull()
  })

  test('lets a busy pool give up a server for clients who have waited longer than its own', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 1 })
    const [ann, bob] = [pools.of('ann'), pools.of('bob')]
    const held = await ann.served('a')
    const old = bob.lease('old')
    vi.advanceTimersByTime(51)
    const young = ann.lease('young')
    ann.pool.release(held.server)
    await pools.settle()
    expect(old.server).not.toBeNull()
    expect(young.server).toBeNull()
    expect(ann.pool.size).toBe(0)
  })

  test('does not make pools under equal pressure reconnect at each transaction', async () => {
    const pools = new Neighbours({ maxDatabaseConnections: 2 })
    const [ann, bob] = [pools.of('ann'), pools.of('bob')]
    const held = [await ann.served('a'), await bob.served('b')]
    const queues = [ann, bob].map((servers) => [servers.lease('next'), servers.lease('then')])
    const before = new Set(held.map(({ server }) => server))
    for (let round = 0; round < 20; round += 1) {
      vi.advanceTimersByTime(3)
      for (const [index, servers] of [ann, bob].entries()) {
        const queue = queues[index] as FakeLessee[]
        const holder = held[index] as { server: ServerConnection }
        servers.pool.release(holder.server)
        const next = queue.shift() as FakeLessee
        expect(next.server).not.toBeNull()
        expect(before).toContain(next.server)
        holder.server = next.server as ServerConnection
        queue.push(servers.lease(`round ${round}`))
      }
    }
    expect(pools.existing).toBe(2)
  })
})

describe('max_user_connections', () => {
  test('holds for all databases of a user together, and an idle server of another one makes room', async () => {
    const pools = new Neighbours({ maxUserConnections: 1 })
    const [one, two] = [pools.of('ann', {}, 'one'), pools.of('ann', {}, 'two')]
    const held = await one.served('a')
    const waiter = two.lease('b')
    await pools.settle()
    expect(waiter.server).toBeNull()
    one.pool.release(held.server)
    await pools.settle()
    expect(waiter.server).not.toBeNull()
    expect(pools.existing).toBe(1)
    await pools.of('bob', {}, 'one').served('c')
    expect(pools.existing).toBe(2)
  })
})

test('whatever happens, no limit is exceeded, every pool serves in order, and nothing is lost', async () => {
  const step = fc.record({
    kind: fc.constantFrom(
      ...(['lease', 'lease', 'release', 'release', 'cancel', 'die', 'fail', 'settle', 'later'] as const),
      ...(['pause', 'resume', 'renew', 'resize'] as const),
    ),
    user: fc.constantFrom('ann', 'bob', 'zoe'),
    size: fc.integer({ min: 1, max: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, limit) => {
        const pools = new Neighbours({ maxDatabaseConnections: limit, retryMs: 100, size: 3 })
        const waiting = new Map<FakeServers, FakeLessee[]>()
        const leased = new Map<FakeServers, ServerConnection[]>()
        for (const user of ['ann', 'bob', 'zoe']) {
          waiting.set(pools.of(user), [])
          leased.set(pools.of(user), [])
        }
        const collect = (): void => {
          for (const servers of pools.all) {
            const queue = waiting.get(servers) ?? []
            while (queue[0]?.server)
              leased.get(servers)?.push((queue.shift() as FakeLessee).server as ServerConnection)
            expect(queue.every(({ server }) => server === null)).toBe(true)
          }
          expect(pools.existing).toBeLessThanOrEqual(limit)
        }
        let count = 0
        for (const { kind, user, size } of steps) {
          const servers = pools.of(user)
          const queue = waiting.get(servers) ?? []
          const held = leased.get(servers) ?? []
          switch (kind) {
            case 'lease': {
              count += 1
              const lessee = servers.lease(String(count))
              if (lessee.server === null) queue.push(lessee)
              else held.push(lessee.server)
              break
            }
            case 'release':
              if (held.length > 0) servers.pool.release(held.shift() as ServerConnection)
              break
            case 'cancel':
              if (queue.length > 0) servers.pool.cancelWait(queue.pop() as FakeLessee)
              break
            case 'die':
              if (held.length > 0) {
                const server = held.pop() as ServerConnection
                server.handler = servers.holder
                servers.connection(server).lose()
              }
              break
            case 'fail':
              servers.automatic = false
              await servers.settle()
              for (const opening of [...servers.openings])
                opening.fail(new PoolerError('57P03', 'starting up'))
              servers.automatic = true
              break
            case 'later':
              vi.advanceTimersByTime(1500)
              pools.tick()
              break
            case 'settle':
              await pools.settle()
              break
            case 'pause':
              servers.pool.pause()
              break
            case 'resume':
              servers.pool.resume()
              break
            case 'renew':
              servers.pool.renew('reconnect')
              break
            case 'resize':
              servers.pool.configure({ ...servers.pool.policy, size })
              break
          }
          collect()
        }
        // In the end everybody is served, as far as servers come back.
        for (const { pool } of pools.all) pool.resume()
        for (let i = 0; i < 200 && [...waiting.values()].some((queue) => queue.length > 0); i += 1) {
          for (const servers of pools.all) {
            const held = leased.get(servers) ?? []
            for (const server of held.splice(0)) servers.pool.release(server)
          }
          vi.advanceTimersByTime(500)
          pools.tick()
          await pools.settle()
          collect()
        }
        expect([...waiting.values()].every((queue) => queue.length === 0)).toBe(true)
        for (const servers of pools.all)
          for (const server of leased.get(servers) ?? []) servers.pool.release(server)
        await Promise.all(pools.all.map(({ pool }) => pool.stop(new PoolerError('57P01', 'over'))))
        expect(pools.existing).toBe(0)
        // All places have been given back.
        expect(pools.budget.isUnused).toBe(true)
      },
    ),
    { numRuns: 60 },
  )
}, 30_000)
