import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { LocalBudget } from '../../../src/pool/local-budget.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import { type FakeLessee, FakeServers } from '../../support/fake-servers.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
  vi.spyOn(Math, 'random').mockReturnValue(0)
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

type Policy = Partial<FakeServers['pool']['policy']>

/** Pools of one database that share max_db_connections, one per name, each of ten servers by itself. */
function poolsOf<Name extends string>(
  limit: number,
  names: readonly Name[],
  policy: Policy = {},
): Record<Name, FakeServers> {
  const budget = new LocalBudget()
  const pools = names.map((user) => [
    user,
    new FakeServers({ size: 10, maxDatabaseConnections: limit, ...policy }, { user, budget }),
  ])
  return Object.fromEntries(pools) as Record<Name, FakeServers>
}

const isClosed = ({ state }: ServerConnection): boolean => state === ServerState.Closed

function existing(pools: Record<string, FakeServers>): number {
  return Object.values(pools).reduce((sum, { existing: own }) => sum + own, 0)
}

async function tick(pools: Record<string, FakeServers>): Promise<void> {
  for (const { pool } of Object.values(pools)) pool.tick(Date.now())
  for (const servers of Object.values(pools)) await servers.settle()
}

describe('max_db_connections', () => {
  test('is never exceeded by the pools of one database together, those being opened included', async () => {
    const pools = poolsOf(3, ['ann', 'bob'])
    for (const servers of Object.values(pools)) {
      servers.automatic = false
      for (let i = 0; i < 5; i++) servers.lease(String(i))
      await servers.settle()
    }
    expect(pools.ann.openings).toHaveLength(3)
    expect(pools.bob.openings).toHaveLength(0)
    for (const opening of [...pools.ann.openings]) opening.fail(new TypeError('no'))
    await tick(pools)
    expect(existing(pools)).toBe(3)
    expect(pools.bob.openings.length).toBeGreaterThan(0)
  })

  test('does not concern the pools of other databases', async () => {
    const budget = new LocalBudget()
    const pools = ['one', 'two'].map(
      (database) => new FakeServers({ maxDatabaseConnections: 1 }, { database, budget }),
    )
    for (const servers of pools) await servers.served('client')
    expect(budget.contended).toBe(false)
  })

  test('has the server closed that is idle for longest in another pool, where a client waits', async () => {
    const pools = poolsOf(3, ['ann', 'bob', 'cy'])
    const [older, newer] = [await pools.ann.served('a'), await pools.cy.served('c')]
    const held = await pools.cy.served('held')
    pools.ann.pool.release(older.server)
    vi.advanceTimersByTime(10)
    pools.cy.pool.release(newer.server)
    const bob = await pools.bob.served('bob')
    expect([older, newer, held, bob].map(({ server }) => isClosed(server))).toEqual([
      true,
      false,
      false,
      false,
    ])
    expect(existing(pools)).toBe(3)
  })

  test('has parked servers of another pool closed as well', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    const ann = await pools.ann.served('ann')
    pools.ann.pool.release(ann.server)
    vi.advanceTimersByTime(1001)
    await tick(pools)
    await pools.bob.served('bob')
    expect(isClosed(ann.server)).toBe(true)
    expect(existing(pools)).toBe(1)
  })

  test('takes an idle server from a pool at its min_pool_size only where no other pool has one to spare', async () => {
    const pools = poolsOf(3, ['ann', 'bob', 'cy'], { minSize: 2 })
    await tick({ ann: pools.ann })
    pools.cy.pool.configure({ ...pools.cy.pool.policy, minSize: 0 })
    vi.advanceTimersByTime(10)
    const cy = await pools.cy.served('cy')
    pools.cy.pool.release(cy.server)
    await pools.bob.served('first')
    expect(isClosed(cy.server)).toBe(true)
    expect(pools.ann.pool.size).toBe(2)
    await pools.bob.served('second')
    expect(pools.ann.pool.size).toBe(1)
    expect(existing(pools)).toBe(3)
  })

  test('keeps nobody waiting for the sake of min_pool_size, which is refilled when nobody waits', async () => {
    const pools = poolsOf(2, ['ann', 'bob'], { minSize: 2 })
    await tick({ ann: pools.ann })
    expect(pools.ann.pool.size).toBe(2)
    const [first, second] = [await pools.bob.served('first'), await pools.bob.served('second')]
    const third = pools.bob.lease('third')
    await tick(pools)
    expect([pools.ann.pool.size, pools.bob.pool.size]).toEqual([0, 2])
    first.server.handler = pools.bob.holder
    pools.bob.connection(first.server).lose()
    await tick(pools)
    expect(third.server).not.toBeNull()
    // Only where that takes it from nobody.
    pools.bob.pool.release(second.server)
    await tick(pools)
    expect([pools.ann.pool.size, pools.bob.pool.size]).toEqual([0, 2])
    pools.bob.pool.configure({ ...pools.bob.pool.policy, minSize: 0, size: 1 })
    await tick(pools)
    await tick(pools)
    expect([pools.ann.pool.size, pools.bob.pool.size]).toEqual([1, 1])
  })

  test('takes no server that is on its way to a client of its own pool', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    const { server } = await pools.ann.served('first')
    pools.ann.pool.release(server)
    vi.advanceTimersByTime(1001)
    await tick(pools)
    const ann = pools.ann.lease('ann')
    const bob = pools.bob.lease('bob')
    for (const servers of Object.values(pools)) await servers.settle()
    expect(ann.server).toBe(server)
    expect(bob.server).toBeNull()
    expect(isClosed(server)).toBe(false)
  })

  test('closes a server that comes back, for a pool whose client has waited for longer', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    const ann = await pools.ann.served('ann')
    const bob = pools.bob.lease('bob')
    vi.advanceTimersByTime(100)
    const later = pools.ann.lease('later')
    pools.ann.pool.release(ann.server)
    expect(isClosed(ann.server)).toBe(true)
    await pools.bob.settle()
    expect(bob.server).not.toBeNull()
    expect(later.server).toBeNull()
    pools.bob.pool.release(bob.server as ServerConnection)
    await pools.ann.settle()
    expect(later.server).not.toBeNull()
    expect(existing(pools)).toBe(1)
  })

  test('serves the longest waiting client of all pools first, whatever their names', async () => {
    const pools = poolsOf(1, ['holder', 'zoe', 'mia', 'ann'])
    const holder = await pools.holder.served('holder')
    const order: string[] = []
    const waiting: [FakeServers, FakeLessee][] = []
    for (const name of ['mia', 'zoe', 'ann'] as const) {
      waiting.push([pools[name], pools[name].lease(name)])
      vi.advanceTimersByTime(100)
    }
    pools.holder.pool.release(holder.server)
    for (let round = 0; round < 3; round++) {
      for (const servers of Object.values(pools)) await servers.settle()
      for (const [servers, { name, server }] of waiting) {
        if (server === null || order.includes(name)) continue
        order.push(name)
        servers.pool.release(server)
        break
      }
    }
    expect(order).toEqual(['mia', 'zoe', 'ann'])
    expect(existing(pools)).toBe(1)
  })

  test('does not make pools under equal pressure take turns at each transaction', async () => {
    const pools = poolsOf(2, ['ann', 'bob'])
    let opened = 0
    const leases: [FakeServers, FakeLessee][] = []
    const seen = new Set<ServerConnection>()
    for (const servers of Object.values(pools)) leases.push([servers, await servers.served('first')])
    // Three clients for each pool, transactions of a millisecond, for two seconds.
    for (const servers of Object.values(pools))
      for (let i = 0; i < 3; i++) leases.push([servers, servers.lease(String(i))])
    let served = 0
    for (let ms = 0; ms < 2000; ms++) {
      for (const servers of Object.values(pools)) await servers.settle()
      for (const lease of [...leases]) {
        const [servers, { server }] = lease
        if (server === null) continue
        if (!seen.has(server)) opened += 1
        seen.add(server)
        leases.splice(leases.indexOf(lease), 1)
        served += 1
        leases.push([servers, servers.lease('next')])
        servers.pool.release(server)
      }
      vi.advanceTimersByTime(1)
    }
    expect(served).toBeGreaterThan(2000)
    expect(opened).toBe(2)
  })

  test('shares the servers out over time between a pool under pressure and one that was late', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    const queue: FakeLessee[] = [await pools.ann.served('a'), pools.ann.lease('b'), pools.ann.lease('c')]
    const bob = pools.bob.lease('bob')
    let waitedMs = 0
    while (bob.server === null && waitedMs < 1000) {
      const first = queue.find(({ server }) => server !== null)
      if (first?.server) {
        queue.splice(queue.indexOf(first), 1)
        queue.push(pools.ann.lease('next'))
        pools.ann.pool.release(first.server)
      }
      for (const servers of Object.values(pools)) await servers.settle()
      vi.advanceTimersByTime(5)
      waitedMs += 5
    }
    expect(bob.server).not.toBeNull()
    expect(waitedMs).toBeLessThan(100)
  })

  test('that a reload makes smaller has servers closed: idle ones at a tick, those in use as they come back', async () => {
    const pools = poolsOf(4, ['ann', 'bob'])
    const ann = [await pools.ann.served('a'), await pools.ann.served('b')]
    const bob = [await pools.bob.served('c'), await pools.bob.served('d')]
    pools.ann.pool.release(ann[0]?.server as ServerConnection)
    for (const { pool } of Object.values(pools)) pool.configure({ ...pool.policy, maxDatabaseConnections: 2 })
    await tick(pools)
    expect(existing(pools)).toBe(3)
    for (const { server } of bob) pools.bob.pool.release(server)
    await tick(pools)
    expect(existing(pools)).toBe(2)
    await tick(pools)
    expect(existing(pools)).toBe(2)
  })

  test('that a reload makes larger has waiting clients served at once', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    await pools.ann.served('ann')
    const bob = pools.bob.lease('bob')
    for (const { pool } of Object.values(pools)) pool.configure({ ...pool.policy, maxDatabaseConnections: 2 })
    await pools.bob.settle()
    expect(bob.server).not.toBeNull()
  })

  test('gives the place of a pool that ends to the others', async () => {
    const pools = poolsOf(1, ['ann', 'bob'])
    const ann = await pools.ann.served('ann')
    ann.server.handler = pools.ann.holder
    const bob = pools.bob.lease('bob')
    await pools.ann.pool.stop(new TypeError('end') as never)
    await pools.bob.settle()
    expect(bob.server).not.toBeNull()
  })

  test('is not held up by a client that waits for RESUME, nor by one that has gone', async () => {
    const pools = poolsOf(1, ['holder', 'paused', 'bob'])
    const holder = await pools.holder.served('holder')
    pools.paused.lease('paused')
    vi.advanceTimersByTime(100)
    const gone = pools.bob.lease('gone')
    const bob = pools.bob.lease('bob')
    pools.paused.pool.pause()
    pools.bob.pool.cancelWait(gone)
    vi.advanceTimersByTime(100)
    pools.holder.pool.release(holder.server)
    await pools.bob.settle()
    expect(bob.server).not.toBeNull()
    pools.paused.pool.resume()
    vi.advanceTimersByTime(100)
    pools.bob.pool.release(bob.server as ServerConnection)
    await pools.paused.settle()
    expect(pools.paused.log).toEqual(['paused is served'])
  })
})

describe('the error of query_wait_timeout names', () => {
  const detailOf = async (policy: Policy): Promise<string | undefined> => {
    const budget = new LocalBudget()
    const make = (user: string): FakeServers =>
      new FakeServers({ waitTimeoutMs: 1000, ...policy }, { database: 'd', user, budget })
    const [own, other] = [make('ann'), make('bob')]
    await own.served('a')
    await other.served('b')
    const waiter = own.lease('waiter')
    vi.advanceTimersByTime(1001)
    own.pool.tick(Date.now())
    return waiter.refusal?.detail
  }

  test.each([
    [{ size: 1, maxDatabaseConnections: 2 }, 'pool_size 1'],
    [{ size: 5, maxDatabaseConnections: 2 }, 'max_db_connections 2 of database d, of which 2 are taken'],
    [{ size: 5, maxUserConnections: 1 }, 'max_user_connections 1 of user ann, of which 1 are taken'],
  ])('the limit, with the numbers: %j', async (policy, limit) => {
    expect(await detailOf(policy)).toBe(
      `1 of 1 server connections of the pool d/ann are in use (${limit}), and 1 clients have been waiting.`,
    )
  })
})

describe('max_user_connections', () => {
  test('is never exceeded by the pools of one user together, and an idle server makes room', async () => {
    const budget = new LocalBudget()
    const pools = Object.fromEntries(
      ['one', 'two'].map((database) => [
        database,
        new FakeServers({ size: 10, maxUserConnections: 2 }, { database, budget }),
      ]),
    ) as Record<'one' | 'two', FakeServers>
    const first = await pools.one.served('first')
    await pools.one.served('second')
    const third = pools.two.lease('third')
    await pools.two.settle()
    expect(third.server).toBeNull()
    expect(existing(pools)).toBe(2)
    pools.one.pool.release(first.server)
    await pools.two.settle()
    expect(isClosed(first.server)).toBe(true)
    expect(third.server).not.toBeNull()
    expect(existing(pools)).toBe(2)
  })

  test('and max_db_connections may both be in the way: room is made under both', async () => {
    const budget = new LocalBudget()
    const limits = { size: 10, maxDatabaseConnections: 1, maxUserConnections: 1 }
    const make = (database: string, user: string): FakeServers =>
      new FakeServers(limits, { database, user, budget })
    const [ours, sameDatabase, sameUser] = [make('d', 'u'), make('d', 'other'), make('other', 'u')]
    for (const servers of [sameDatabase, sameUser]) {
      const { server } = await servers.served('client')
      servers.pool.release(server)
    }
    await ours.served('us')
    expect([ours, sameDatabase, sameUser].map(({ existing: count }) => count)).toEqual([1, 0, 0])
  })

  test('and max_db_connections may both be in the way: nothing is closed where room can be made under one only', async () => {
    const budget = new LocalBudget()
    const limits = { size: 10, maxDatabaseConnections: 1, maxUserConnections: 1 }
    const make = (database: string, user: string): FakeServers =>
      new FakeServers(limits, { database, user, budget })
    const [ours, sameDatabase, sameUser] = [make('d', 'u'), make('d', 'other'), make('other', 'u')]
    const spare = await sameDatabase.served('spare')
    sameDatabase.pool.release(spare.server)
    const busy = await sameUser.served('busy')
    const us = ours.lease('us')
    await ours.settle()
    expect(isClosed(spare.server)).toBe(false)
    vi.advanceTimersByTime(100)
    sameUser.pool.release(busy.server)
    await ours.settle()
    expect([spare, busy].map(({ server }) => isClosed(server))).toEqual([true, true])
    expect(us.server).not.toBeNull()
  })
})

describe('a server whose session PostgreSQL has not ended yet', () => {
  /** Pools of which one has `idle` idle servers; sockets close when the test says so. */
  async function withIdle(idle: number, policy: Policy = {}): Promise<Record<'ann' | 'bob', FakeServers>> {
    const pools = poolsOf(idle, ['ann', 'bob'], policy)
    pools.ann.lingering = true
    const leases = []
    for (let i = 0; i < idle; i++) leases.push(await pools.ann.served(String(i)))
    for (const { server } of leases) pools.ann.pool.release(server)
    return pools
  }

  test('has its place until then, and no second one is closed meanwhile', async () => {
    const pools = await withIdle(2)
    const bob = pools.bob.lease('bob')
    await tick(pools)
    expect(pools.ann).toMatchObject({ leaving: 1, existing: 2 })
    expect(pools.bob.openings).toHaveLength(0)
    expect(bob.server).toBeNull()
    pools.ann.letGo()
    await pools.bob.settle()
    expect(bob.server).not.toBeNull()
    expect(pools.ann).toMatchObject({ leaving: 0, existing: 1 })
  })

  test('is one of as many as there are clients that wait, closed at once', async () => {
    const pools = await withIdle(4)
    const clients = ['a', 'b', 'c'].map((name) => pools.bob.lease(name))
    expect(pools.ann.leaving).toBe(3)
    pools.ann.letGo(1)
    await tick(pools)
    expect(clients.map(({ server }) => server !== null)).toEqual([true, false, false])
    pools.ann.letGo()
    await tick(pools)
    expect(clients.map(({ server }) => server !== null)).toEqual([true, true, true])
    expect(pools.ann).toMatchObject({ leaving: 0, existing: 1 })
  })

  test('serves whoever waits, so that no idle one is closed while one is going anyway', async () => {
    const pools = await withIdle(2)
    pools.ann.pool.retireWhere((server) => server === pools.ann.all[0], 'its host is not listed any more')
    const bob = pools.bob.lease('bob')
    expect(pools.ann.leaving).toBe(1)
    pools.ann.letGo()
    await tick(pools)
    expect(bob.server).not.toBeNull()
    expect(pools.ann.existing).toBe(1)
  })

  test('is closed once for a pool whose client has waited longer, not again as others come back', async () => {
    const pools = poolsOf(2, ['ann', 'bob'])
    pools.ann.lingering = true
    const [one, two] = [await pools.ann.served('1'), await pools.ann.served('2')]
    const bob = pools.bob.lease('bob')
    vi.advanceTimersByTime(100)
    for (const { server } of [one, two]) pools.ann.pool.release(server)
    expect([one, two].map(({ server }) => isClosed(server))).toEqual([true, false])
    pools.ann.letGo()
    await tick(pools)
    expect(bob.server).not.toBeNull()
  })

  test('has its place in its own pool, too', async () => {
    const servers = new FakeServers({ size: 1 })
    servers.lingering = true
    const ann = await servers.served('ann')
    ann.server.handler = servers.holder
    ann.server.close(new TypeError('its client has gone') as never)
    const bob = servers.lease('bob')
    await servers.settle()
    expect(servers).toMatchObject({ leaving: 1, existing: 1 })
    expect(servers.pool).toMatchObject({ size: 0, opening: 0 })
    servers.letGo()
    await servers.settle()
    expect(bob.server).not.toBeNull()
    expect(servers.most).toBe(1)
  })

  test('does not keep its place for ever: it is given up after three seconds', async () => {
    const pools = await withIdle(1)
    const bob = pools.bob.lease('bob')
    vi.advanceTimersByTime(2999)
    await tick(pools)
    expect(bob.server).toBeNull()
    vi.advanceTimersByTime(1)
    await tick(pools)
    expect(bob.server).not.toBeNull()
  })

  test('keeps nobody from a place that is free', async () => {
    const servers = new FakeServers({ size: 2, maxDatabaseConnections: 2 })
    servers.lingering = true
    const ann = await servers.served('ann')
    servers.pool.release(ann.server)
    servers.pool.renew('RECONNECT')
    const bob = await servers.served('bob')
    expect(bob.server).not.toBe(ann.server)
    expect(servers.leaving).toBe(1)
  })

  test('and is used up gets its successor where there is no place before that', async () => {
    const servers = new FakeServers({ size: 1, lifetimeMs: 1000 })
    servers.lingering = true
    const ann = await servers.served('ann')
    ann.server.lastLessee = ann
    vi.advanceTimersByTime(1001)
    servers.pool.release(ann.server)
    await servers.settle()
    expect(servers).toMatchObject({ leaving: 1, existing: 1 })
    servers.letGo()
    await servers.settle()
    expect(servers.pool.size).toBe(1)
    expect(servers.most).toBe(1)
  })
})
