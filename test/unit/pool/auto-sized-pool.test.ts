import { expect, test, vi } from 'vitest'
import { FakeServers } from '../../support/fake-servers.ts'

/** A pool of four servers with `pool_size = "auto"`, which has found out that `limit` at once are best. */
function limitedPool(limit: number): { servers: FakeServers; limitTo: (limit: number) => void } {
  const servers = new FakeServers({ size: 4, autoSize: true })
  const { autoSize } = servers.pool
  if (autoSize === null) throw new Error('it has a number as its size')
  const found = vi.spyOn(autoSize, 'limit', 'get').mockReturnValue(limit)
  return { servers, limitTo: (other) => void found.mockReturnValue(other) }
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
