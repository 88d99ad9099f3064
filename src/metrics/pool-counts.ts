import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { Session } from '../multiplexer/session.ts'
import type { ServerPool } from '../pool/server-pool.ts'
import { ServerState } from '../server/server-state.ts'

/** How many clients and servers of one pool do what at this moment; the words are PgBouncer's. */
export interface PoolCounts {
  readonly clientsActive: number
  readonly clientsWaiting: number
  readonly serversActive: number
  readonly serversIdle: number
  /** Idle for so long that server_check_query comes first. */
  readonly serversUsed: number
  readonly serversTested: number
  readonly serversLogin: number
  readonly serversBeingCanceled: number
  /** CancelRequests under way. */
  readonly cancels: number
  /** How many servers may be in use at once; Infinity = no limit. */
  readonly concurrency: number
  /** How long the longest waiter has waited. */
  readonly maxWaitMs: number
}

/** Of every pool, in the order of the directory. */
export function poolCounts(
  pools: Iterable<ServerPool>,
  multiplexer: Multiplexer,
  nowMs: number,
): (readonly [ServerPool, PoolCounts])[] {
  const sessions = new Map<ServerPool, Session[]>()
  for (const session of multiplexer.sessions) {
    const known = sessions.get(session.pool)
    if (known === undefined) sessions.set(session.pool, [session])
    else known.push(session)
  }
  return [...pools].map((pool) => [pool, countsOf(pool, sessions.get(pool) ?? [], nowMs)] as const)
}

function countsOf(pool: ServerPool, sessions: readonly Session[], nowMs: number): PoolCounts {
  const { checkDelayMs, checkQuery } = pool.policy
  let serversIdle = 0
  let serversUsed = 0
  let serversBeingCanceled = 0
  let cancels = 0
  for (const { state, idleSinceMs, cancelsInFlight } of pool.supply.servers) {
    cancels += cancelsInFlight
    if (state === ServerState.BeingCanceled) serversBeingCanceled += 1
    else if (state === ServerState.Idle) {
      if (checkQuery !== undefined && nowMs - idleSinceMs >= checkDelayMs) serversUsed += 1
      else serversIdle += 1
    }
  }
  const waiting = sessions.filter((session) => session.waiting)
  return {
    clientsActive: pool.clients.count - waiting.length,
    clientsWaiting: waiting.length,
    serversActive: pool.activeCount,
    serversIdle,
    serversUsed,
    serversTested: pool.tested,
    serversLogin: pool.supply.opening,
    serversBeingCanceled,
    cancels,
    concurrency: pool.autoSize?.level ?? pool.policy.size,
    maxWaitMs: waiting.reduce((most, { requestSinceMs }) => Math.max(most, nowMs - requestSinceMs), 0),
  }
}
