import type { PoolPolicy } from '../config/pool-policy.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'

/**
 * How old a server may get. Times in milliseconds.
 */

/** Servers live this much shorter than server_lifetime at most, each by its own share: they must not all go at once. */
const JITTER = 0.1
/** The longest time by which a replacement comes before the end of a server's life, and its share of that life. */
const AHEAD_MS = 30_000
const AHEAD_SHARE = 0.05
/** A server used within this time is worth replacing; others are opened when they are needed. */
const USED_LATELY_MS = 10_000

/** Why a server must not be leased any more, as far as that is its own matter; null = it may. */
export function usedUpReason(server: ServerConnection, policy: PoolPolicy, nowMs: number): string | null {
  if (server.outdated !== null) return server.outdated
  if (!server.usable) return 'server connection is not reusable'
  if (policy.lifetimeMs === 0) return server.lastLessee === null ? null : 'server_lifetime'
  return nowMs >= endOfLifeMs(server, policy) ? 'server_lifetime' : null
}

/** Why one of `size` servers is not kept although nobody uses it; null = it is. */
export function idleReason(
  { idleSinceMs }: ServerConnection,
  { idleTimeoutMs, minSize }: PoolPolicy,
  size: number,
  nowMs: number,
): string | null {
  if (idleTimeoutMs === 0 || size <= minSize) return null
  return nowMs - idleSinceMs > idleTimeoutMs ? 'server_idle_timeout' : null
}

/** True shortly before the end of the life of a server that is in use: another one should be opened. */
export function wantsReplacement(server: ServerConnection, policy: PoolPolicy, nowMs: number): boolean {
  if (server.replaced || policy.lifetimeMs === 0 || !isUsed(server, nowMs)) return false
  const aheadMs = Math.min(AHEAD_MS, policy.lifetimeMs * AHEAD_SHARE)
  return nowMs >= endOfLifeMs(server, policy) - aheadMs
}

function endOfLifeMs(server: ServerConnection, { lifetimeMs }: PoolPolicy): number {
  return server.createdMs + lifetimeMs * (1 - JITTER * server.lifetimeJitter)
}

/** A successor that nobody has used needs none. */
function isUsed({ state, idleSinceMs, lastLessee }: ServerConnection, nowMs: number): boolean {
  return state === ServerState.Active || (lastLessee !== null && nowMs - idleSinceMs < USED_LATELY_MS)
}
