import { setTimeout as pause } from 'node:timers/promises'
import { Client } from 'pg'
import type { Direction } from '../support/fault-proxy.ts'
import type { Random } from './random.ts'
import type { SoakStage } from './soak-stage.ts'

/**
 * What goes wrong during a soak, each for a moment. An act resolves when PostgreSQL and the network are whole again;
 * what the pooler makes of it afterwards is the test. A new way to disturb is a new object in the list.
 */
export interface Disturbance {
  readonly name: string
  act(stage: SoakStage, random: Random): Promise<void>
}

const DIRECTIONS: readonly Direction[] = ['toServer', 'toClient']
const ENDINGS = ['close', 'reset'] as const

/** Signals one of the pooler's servers, if there is one at the moment. */
async function signalBackend(stage: SoakStage, random: Random, name: NodeJS.Signals): Promise<number | null> {
  const pids = await stage.backends()
  if (pids.length === 0) return null
  const pid = random.pick(pids)
  return send(pid, name) ? pid : null
}

/** False if there is no such process any more. */
function send(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Whatever `begin` does to the network lasts for a moment. */
function forAMoment(name: string, begin: (stage: SoakStage, random: Random) => void): Disturbance {
  return {
    name,
    async act(stage, random) {
      begin(stage, random)
      await pause(random.between(100, 1500))
      await stage.proxy.heal()
    },
  }
}

export const DISTURBANCES: readonly Disturbance[] = [
  {
    name: 'a backend is terminated',
    act: async (stage, random) => void (await signalBackend(stage, random, 'SIGTERM')),
  },
  {
    name: 'all backends are terminated',
    act: async (stage) => {
      await stage.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port > 0')
    },
  },
  {
    name: 'a backend is killed',
    act: async (stage, random) => void (await signalBackend(stage, random, 'SIGKILL')),
  },
  {
    name: 'a backend is stopped for a moment',
    async act(stage, random) {
      const pid = await signalBackend(stage, random, 'SIGSTOP')
      await pause(random.between(100, 1000))
      if (pid !== null) send(pid, 'SIGCONT')
    },
  },
  {
    name: 'the postmaster is stopped for a moment',
    async act({ postgres: { pid } }, random) {
      if (pid === undefined) return
      send(pid, 'SIGSTOP')
      await pause(random.between(100, 1500))
      send(pid, 'SIGCONT')
    },
  },
  { name: 'a fast restart', act: ({ postgres }) => postgres.restart('fast') },
  { name: 'an immediate restart', act: ({ postgres }) => postgres.restart('immediate') },
  {
    name: 'all connections are cut',
    act: async ({ proxy }, random) => proxy.cut(random.pick(ENDINGS)),
  },
  {
    name: 'a connection is cut somewhere',
    act: async ({ proxy }, random) =>
      proxy.cutAfter(random.pick(DIRECTIONS), random.between(1, 20_000), random.pick(ENDINGS)),
  },
  forAMoment('the network stands still', ({ proxy }, random) => proxy.stall(random.pick(DIRECTIONS))),
  forAMoment('the network is slow', ({ proxy }, random) =>
    proxy.delay(random.pick(DIRECTIONS), random.between(1, 50)),
  ),
  forAMoment('the network trickles', ({ proxy }, random) => proxy.trickle(random.pick(DIRECTIONS))),
  forAMoment('new connections are not answered', ({ proxy }, random) => {
    proxy.swallow()
    if (random.chance(0.5)) proxy.cut(random.pick(ENDINGS))
  }),
  forAMoment('connections are refused', ({ proxy }, random) => {
    proxy.refuse()
    proxy.cut(random.pick(ENDINGS))
  }),
  {
    name: 'others take all connections of PostgreSQL',
    async act(stage, random) {
      // Asked for now: when all connections are taken there is none to ask on.
      const pids = await stage.backends()
      const crowd: Client[] = []
      for (let full = false; !full; ) {
        const client = new Client({ connectionString: stage.postgres.url })
        client.on('error', () => {})
        full = await client.connect().then(
          () => crowd.push(client) === 0,
          () => true,
        )
      }
      if (pids.length > 0 && random.chance(0.5)) send(random.pick(pids), 'SIGTERM')
      await pause(random.between(100, 1000))
      await Promise.all(crowd.map((client) => client.end()))
    },
  },
  { name: 'a reload', act: ({ pooler }) => pooler.reload() },
]
