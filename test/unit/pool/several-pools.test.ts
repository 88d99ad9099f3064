import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { LocalBudget } from '../../../src/pool/local-budget.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'
import { ServerState } from '../../../src/server/server-state.ts'
import * as backend from '../../support/backend-messages.ts'
import { type FakeLessee, FakeServers } from '../../support/fake-servers.ts'

/**
 * Several pools under shared limits, to which anything may happen in any order. What holds at every step: no limit
 * is exceeded, the numbers of each pool are those of its servers, and each pool serves its clients in turn.
 */

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  })
})

afterEach(() => {
  vi.useRealTimers()
})

type Policy = FakeServers['pool']['policy']

const PLACES = [
  { database: 'd', user: 'u' },
  { database: 'd', user: 'v' },
  { database: 'e', user: 'u' },
] as const
const ANSWER = Buffer.concat([backend.commandComplete('SELECT 1'), backend.readyForQuery()])

/** One pool, who waits for it, and who has its servers. */
class Scene {
  readonly servers: FakeServers
  readonly waiting: FakeLessee[] = []
  readonly leased: ServerConnection[] = []
  readonly #place: (typeof PLACES)[number]
  #clients = 0
  /** What "auto" says, in place of what it would find. */
  #limit = Number.POSITIVE_INFINITY
  #active = 0

  constructor(place: (typeof PLACES)[number], budget: LocalBudget, policy: Partial<Policy>) {
    this.#place = place
    this.servers = new FakeServers(policy, { ...place, budget })
  }

  /** From the next tick on, which is now. */
  limitTo(limit: number): void {
    const { pool } = this.servers
    if (pool.autoSize === null) return
    this.#limit = limit
    vi.spyOn(pool.autoSize, 'limit', 'get').mockReturnValue(limit)
    pool.tick(Date.now())
  }

  lease(): void {
    this.#clients += 1
    const lessee = this.servers.lease(String(this.#clients))
    if (lessee.server === null) this.waiting.push(lessee)
    else this.#took(lessee, lessee.server)
  }

  /** Notes who was served and who was refused since; nobody is served before those who came first. */
  collect(): void {
    for (const lessee of [...this.waiting]) {
      if (lessee.server === null && lessee.refusal === null) continue
      if (lessee.server !== null) {
        const before = this.waiting.slice(0, this.waiting.indexOf(lessee))
        expect(before.filter(({ refusal }) => refusal === null)).toEqual([])
        this.#took(lessee, lessee.server)
      }
      this.waiting.splice(this.waiting.indexOf(lessee), 1)
    }
    for (const server of [...this.leased])
      if (server.state === ServerState.Closed) this.leased.splice(this.leased.indexOf(server), 1)
  }

  /** No server is leased beyond the limit, and none stays idle while somebody waits within it. */
  checkLimit(isSettled: boolean): void {
    const { pool, all } = this.servers
    const before = this.#active
    this.#active = pool.activeCount
    if (this.#limit >= pool.policy.size) return
    if (this.#active > before) expect(this.#active).toBeLessThanOrEqual(this.#limit)
    if (!isSettled || pool.paused || pool.waiting === 0 || this.#active + pool.tested >= this.#limit) return
    expect(all.filter(({ state, usable }) => usable && state === ServerState.Idle)).toEqual([])
  }

  /** All servers that are asked server_check_query answer it. */
  answerChecks(): void {
    for (const server of this.servers.all)
      if (server.state === ServerState.Tested) this.servers.connection(server).receive(ANSWER)
  }

  count(): { database: string; user: string; existing: number } {
    return { ...this.#place, existing: this.servers.existing }
  }

  #took(lessee: FakeLessee, server: ServerConnection): void {
    expect(server.state).toBe(ServerState.Active)
    expect(this.leased).not.toContain(server)
    server.handler = this.servers.holder
    server.lastLessee = lessee
    this.leased.push(server)
  }
}

const pool = fc.nat(PLACES.length - 1)
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('lease' as const), pool }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('release' as const), pool }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), pool }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('later' as const),
      pool,
      ms: fc.integer({ min: 1, max: 3000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('configure' as const),
      pool,
      size: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('limit' as const),
      pool,
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'cancel',
        'die',
        'idle dies',
        'fail',
        'open',
        'hold',
        'checked',
        'renew',
        'pause',
        'resume',
        'kill',
        'linger',
        'let one go',
        'let go',
      ),
      pool,
    }),
  },
)

const policies = fc.record({
  size: fc.integer({ min: 1, max: 4 }),
  autoSize: fc.boolean(),
  minSize: fc.integer({ min: 0, max: 1 }),
  reserveSize: fc.integer({ min: 0, max: 1 }),
  reserveTimeoutMs: fc.constant(1000),
  maxConnecting: fc.integer({ min: 1, max: 3 }),
  roundRobin: fc.boolean(),
  idleTimeoutMs: fc.constantFrom(0, 3000),
  lifetimeMs: fc.constantFrom(0, 5000, 1_000_000),
  checkDelayMs: fc.constantFrom(0, 2000, 1_000_000),
  checkQuery: fc.constantFrom(undefined, 'SELECT 1'),
  waitTimeoutMs: fc.constantFrom(0, 20_000),
})

test('max_db_connections, max_user_connections, pool_size, max_connecting and FIFO hold whatever happens, and nobody is forgotten', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      policies,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      async (steps, policy, maxDatabaseConnections, maxUserConnections) => {
        const budget = new LocalBudget()
        const limits = { ...policy, retryMs: 500, maxDatabaseConnections, maxUserConnections }
        const scenes = PLACES.map((place) => new Scene(place, budget, limits))
        /** The largest size that each pool has had: what a reload makes smaller goes in time only. */
        const largest = scenes.map(() => policy.size)

        const settle = async (): Promise<void> => {
          for (const { servers } of scenes) await servers.settle()
        }
        const later = async (ms: number): Promise<void> => {
          for (let passed = 0; passed < ms; passed += 333) {
            await vi.advanceTimersByTimeAsync(Math.min(333, ms - passed))
            for (const { servers } of scenes) servers.pool.tick(Date.now())
            await settle()
          }
        }
        const check = (isSettled: boolean): void => {
          const counts = scenes.map((scene) => scene.count())
          for (const [index, scene] of scenes.entries()) {
            scene.collect()
            scene.checkLimit(isSettled)
            const { servers, leased, waiting } = scene
            expect(servers.pool).toMatchObject({ activeCount: leased.length, waiting: waiting.length })
            expect(servers.openings.length).toBeLessThanOrEqual(policy.maxConnecting)
            expect(servers.existing).toBeLessThanOrEqual((largest[index] ?? 0) + policy.reserveSize)
            const sum = (matches: (count: (typeof counts)[number]) => boolean): number =>
              counts.filter(matches).reduce((total, { existing }) => total + existing, 0)
            const { database, user } = servers.pool
            expect(sum((count) => count.database === database)).toBeLessThanOrEqual(maxDatabaseConnections)
            expect(sum((count) => count.user === user)).toBeLessThanOrEqual(maxUserConnections)
          }
        }
        const act = async (what: (typeof steps)[number]): Promise<void> => {
          const scene = scenes[what.pool] as Scene
          const { servers, waiting, leased } = scene
          switch (what.kind) {
            case 'lease':
              scene.lease()
              break
            case 'release': {
              const server = leased.shift()
              if (server !== undefined) servers.pool.release(server)
              break
            }
            case 'cancel': {
              const lessee = waiting.pop()
              if (lessee !== undefined) expect(servers.pool.cancelWait(lessee)).toBe(true)
              break
            }
            case 'die': {
              const server = leased.pop()
              if (server !== undefined) servers.connection(server).lose()
              break
            }
            case 'idle dies': {
              const server = servers.all.find(
                ({ state }) => state === ServerState.Idle || state === ServerState.Tested,
              )
              if (server !== undefined) servers.connection(server).lose()
              break
            }
            case 'hold':
              servers.automatic = false
              break
            case 'open':
              servers.automatic = true
              for (const opening of [...servers.openings]) opening.succeed()
              break
            case 'fail':
              for (const opening of [...servers.openings])
                opening.fail(new PoolerError('57P03', 'starting up'))
              break
            case 'checked':
              scene.answerChecks()
              break
            case 'configure':
              largest[what.pool] = Math.max(largest[what.pool] ?? 0, what.size)
              servers.pool.configure({
                ...servers.pool.policy,
                size: what.size,
              })
              break
            case 'limit':
              scene.limitTo(what.limit)
              break
            case 'renew':
              servers.pool.renew('RECONNECT')
              break
            case 'pause':
              servers.pool.pause()
              break
            case 'resume':
              servers.pool.resume()
              break
            case 'kill':
              servers.pool.kill(new PoolerError('57P01', 'KILL'))
              break
            case 'linger':
              servers.lingering = true
              break
            case 'let one go':
              servers.letGo(1)
              break
            case 'let go':
              servers.lingering = false
              servers.letGo()
              break
            case 'settle':
              await settle()
              break
            case 'later':
              await later(what.ms)
              break
          }
        }

        for (const what of steps) {
          await act(what)
          check(what.kind === 'settle' || what.kind === 'later')
        }
        // Everything works again, and clients release what they get: everybody is served.
        for (const { servers } of scenes) {
          servers.automatic = true
          for (const opening of [...servers.openings]) opening.succeed()
          servers.pool.resume()
        }
        for (
          let round = 0;
          scenes.some(({ waiting, leased }) => waiting.length + leased.length > 0);
          round++
        ) {
          if (round > 400) throw new Error('clients wait for ever')
          for (const scene of scenes) {
            for (const server of scene.leased.splice(0)) scene.servers.pool.release(server)
            scene.answerChecks()
            scene.servers.letGo(1)
          }
          await settle()
          check(true)
          await later(333)
          check(true)
        }
        for (const { servers } of scenes) {
          await servers.pool.stop(new PoolerError('57P01', 'shutting down'))
          servers.lingering = false
          servers.letGo()
        }
        await settle()
        expect(budget.isUnused).toBe(true)
        for (const { servers } of scenes) {
          expect(servers.pool).toMatchObject({ size: 0, activeCount: 0, waiting: 0, tested: 0, opening: 0 })
          expect(servers.existing).toBe(0)
        }
        // No place is lost, and none counted twice: the shared limits have as much room as at first.
        for (const place of PLACES) {
          const fresh = new FakeServers(
            { size: 10, maxConnecting: 10, maxDatabaseConnections, maxUserConnections },
            { ...place, budget },
          )
          for (let i = 0; i < 10; i++) fresh.lease(String(i))
          await fresh.settle()
          expect(fresh.existing).toBe(Math.min(maxDatabaseConnections, maxUserConnections))
          await fresh.pool.stop(new PoolerError('57P01', 'shutting down'))
          await fresh.settle()
        }
      },
    ),
    { numRuns: Number(process.env.POOLER_FUZZ_RUNS ?? 30) },
  )
}, 30_000)
