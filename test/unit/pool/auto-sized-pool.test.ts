import { describe, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { FakeServers } from '../../support/fake-servers.ts'

/** A pool of four servers with `pool_size = "auto"`, which has found out that `limit` at once are best. */
function limitedPool(limit: number, policy: Partial<FakeServers['pool']['policy']> = {}) {
  const servers = new FakeServers({ size: 4, autoSize: true, ...policy })
  const auto = servers.pool.autoSize
  if (auto === null) throw new Error('it has a number as its size')
  const found = [vi.spyOn(auto, 'limit', 'get'), vi.spyOn(auto, 'level', 'get')]
  const limitTo = (other: number): void => {
    for (const each of found) each.mockReturnValue(other)
  }
  limitTo(limit)
  return { servers, auto, limitTo }
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index + 1))

test('no more servers are leased than were found to be best, and none is opened for who has to wait for that', async () => {
  const { servers } = limitedPool(2)
  for (const name of names(5)) servers.lease(name)
  await servers.settle()
  expect(servers.pool).toMatchObject({ activeCount: 2, waiting: 3, size: 2 })
})

test('who waits is served in turn by the servers that come back', async () => {
  const { servers } = limitedPool(1)
  const first = await servers.served('first')
  servers.lease('second')
  servers.lease('third')
  servers.pool.release(first.server)
  servers.pool.release(first.server)
  expect(servers.log).toEqual(['first is served', 'second is served', 'third is served'])
  expect(servers.existing).toBe(1)
})

test('a larger limit gives idle servers to those who wait, at the next tick, before others are opened', async () => {
  const { servers, limitTo } = limitedPool(3)
  const clients = await Promise.all(names(3).map((name) => servers.served(name)))
  limitTo(1)
  for (const name of ['a', 'b', 'c']) servers.lease(name)
  for (const { server } of clients) servers.pool.release(server)
  expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 2, size: 3 })
  limitTo(3)
  servers.pool.tick(Date.now())
  await servers.settle()
  expect(servers.pool).toMatchObject({ activeCount: 3, waiting: 0, size: 3 })
})

test('a limit that rises with a server that comes back serves all who may be served, in turn', async () => {
  const { servers, auto, limitTo } = limitedPool(3)
  const [one, two, three] = await Promise.all(names(3).map((name) => servers.served(name)))
  limitTo(1)
  for (const name of ['a', 'b', 'c', 'd']) servers.lease(name)
  if (one === undefined || two === undefined || three === undefined) throw new Error('all were served')
  servers.pool.release(one.server)
  servers.pool.release(two.server)
  expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 4 })
  vi.spyOn(auto, 'leaseEnded').mockImplementation(() => {
    limitTo(3)
    return true
  })
  servers.pool.release(three.server)
  expect(servers.log.slice(3)).toEqual(['a is served', 'b is served', 'c is served'])
  expect(servers.pool).toMatchObject({ activeCount: 3, waiting: 1, size: 3 })
})

test('an idle server takes the place of one that died, for the longest waiter', async () => {
  const { servers, limitTo } = limitedPool(2)
  const [one, two] = await Promise.all(names(2).map((name) => servers.served(name)))
  limitTo(1)
  servers.lease('waiter')
  if (one === undefined || two === undefined) throw new Error('both were served')
  servers.pool.release(one.server)
  expect(servers.pool.waiting).toBe(1)
  two.server.handler = servers.holder
  servers.connection(two.server).lose()
  expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 0, size: 1 })
})

test('at the limit of the pool its reserve may be used as ever', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    const servers = new FakeServers({ size: 2, autoSize: true, reserveSize: 1, reserveTimeoutMs: 1000 })
    for (const name of names(4)) servers.lease(name)
    await servers.settle()
    expect(servers.pool).toMatchObject({ activeCount: 2, waiting: 2 })
    vi.setSystemTime(Date.now() + 1001)
    servers.pool.tick(Date.now())
    await servers.settle()
    expect(servers.pool).toMatchObject({ activeCount: 3, waiting: 1 })
  } finally {
    vi.useRealTimers()
  }
})

test('replication connections are not counted', async () => {
  const { servers } = limitedPool(1)
  servers.dedicate('standby')
  await servers.settle()
  servers.lease('client')
  await servers.settle()
  expect(servers.log).toEqual(['standby is served', 'client is served'])
})

test('servers beyond the limit can be given to another pool, although clients wait', async () => {
  const { servers, limitTo } = limitedPool(2)
  const [one, two] = await Promise.all(names(2).map((name) => servers.served(name)))
  limitTo(1)
  servers.lease('waiter')
  if (one === undefined || two === undefined) throw new Error('both were served')
  servers.pool.release(one.server)
  expect(servers.pool.spare(false)).toBe(one.server)
})

test('query_wait_timeout names the limit that was found', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    const { servers } = limitedPool(1)
    servers.pool.configure({ ...servers.pool.policy, waitTimeoutMs: 1000 })
    await servers.served('first')
    const late = servers.lease('late')
    vi.setSystemTime(Date.now() + 1001)
    servers.pool.tick(Date.now())
    expect(late.refusal?.detail).toBe(
      '1 of 1 server connections of the pool app/app are in use (pool_size auto, at present 1 of 4), and 1 clients ' +
        'have been waiting.',
    )
  } finally {
    vi.useRealTimers()
  }
})

test('query_wait_timeout names another limit where that is in the way', async () => {
  const { servers } = limitedPool(3, { maxDatabaseConnections: 1, waitTimeoutMs: 1000 })
  await servers.served('first')
  const late = servers.lease('late')
  servers.pool.tick(Date.now() + 1500)
  expect(late.refusal?.detail).toContain('max_db_connections 1')
})

test('a reload switches it on and off', async () => {
  const { servers } = limitedPool(1)
  for (const name of names(2)) servers.lease(name)
  await servers.settle()
  expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 1 })
  servers.pool.configure({ ...servers.pool.policy, autoSize: false })
  await servers.settle()
  expect(servers.pool).toMatchObject({ activeCount: 2, waiting: 0, autoSize: null })
  servers.pool.configure({ ...servers.pool.policy, autoSize: true })
  expect(servers.pool.autoSize?.level).toBe(4)
})

test.each([false, true])(
  'a reload to a number gives idle servers to those who wait, in turn: %s',
  async (roundRobin) => {
    const { servers, limitTo } = limitedPool(4, { roundRobin })
    const clients = await Promise.all(names(4).map((name) => servers.served(name)))
    limitTo(1)
    for (const name of ['a', 'b', 'c']) servers.lease(name)
    for (const { server } of clients.slice(1)) servers.pool.release(server)
    expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 3, size: 4 })
    servers.pool.configure({ ...servers.pool.policy, autoSize: false })
    expect(servers.pool).toMatchObject({ activeCount: 4, waiting: 0, size: 4 })
  },
)

test('who asks is not served from inside of that, although an idle server is retired for a standby meanwhile', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  try {
    const { servers, limitTo } = limitedPool(3)
    servers.lingering = true
    const clients = await Promise.all(names(3).map((name) => servers.served(name)))
    servers.automatic = false
    limitTo(4)
    const late = servers.lease('late')
    await servers.settle()
    limitTo(3)
    servers.openings[0]?.fail(new PoolerError('53300', 'too many clients'))
    await servers.settle()
    servers.pool.cancelWait(late)
    for (const { server } of clients.slice(1)) servers.pool.release(server)
    servers.dedicate('standby')
    expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 1, size: 3 })
    vi.setSystemTime(Date.now() + 20_000)
    // lease() of the fakes throws if it happens.
    const asking = servers.lease('asking')
    servers.pool.tick(Date.now())
    await servers.settle()
    expect(asking.server).not.toBeNull()
  } finally {
    vi.useRealTimers()
  }
})

test('a server that waits for a cancel leaves its place to an idle one, and is counted once', async () => {
  const { servers, auto, limitTo } = limitedPool(2)
  const [one, two] = await Promise.all(names(2).map((name) => servers.served(name)))
  if (one === undefined || two === undefined) throw new Error('both were served')
  limitTo(1)
  servers.lease('a')
  servers.lease('b')
  servers.pool.release(one.server)
  const ended = vi.spyOn(auto, 'leaseEnded')
  two.server.cancelsInFlight = 1
  servers.pool.release(two.server)
  expect(servers.pool).toMatchObject({ activeCount: 1, waiting: 1 })
  two.server.cancelsInFlight = 0
  servers.pool.cancelDone(two.server)
  expect(ended).toHaveBeenCalledTimes(1)
})

describe('a standby', () => {
  test('does not have a server opened for clients in front of it that the limit holds back', async () => {
    const { servers } = limitedPool(1)
    await servers.served('first')
    servers.lease('second')
    servers.dedicate('standby')
    await servers.settle()
    expect(servers.log).toEqual(['first is served', 'standby is served'])
    expect(servers.pool.size).toBe(2)
  })

  test('gets the place of an idle server behind them', async () => {
    const { servers, limitTo } = limitedPool(4)
    const clients = await Promise.all(names(4).map((name) => servers.served(name)))
    limitTo(1)
    servers.lease('a')
    for (const { server } of clients.slice(1)) servers.pool.release(server)
    servers.dedicate('standby')
    await servers.settle()
    expect(servers.log.at(-1)).toBe('standby is served')
    expect(servers.pool.size).toBe(4)
  })
})
