import type { PoolPolicy } from '../config/pool-policy.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'
import { idleReason, usedUpReason } from './server-age.ts'
import type { ServerSupply } from './server-supply.ts'

/** A warm server unused for so long is parked, where server_idle_timeout applies. */
const PARK_AFTER_MS = 1000

/**
 * IdleServers: the servers of one pool that nobody uses: a warm stack, in order of last use, and the parked ones
 * in the supply's generic-pool. Owned by a ServerPool.
 */
export class IdleServers {
  readonly #supply: ServerSupply
  readonly #warm: ServerConnection[] = []

  constructor(supply: ServerSupply) {
    this.#supply = supply
  }

  /** A warm server: the one used last, or with server_round_robin the one used first. */
  take(roundRobin: boolean): ServerConnection | undefined {
    return roundRobin ? this.#warm.shift() : this.#warm.pop()
  }

  put(server: ServerConnection): void {
    server.isUsed = true
    let place = this.#warm.length
    // One that was fetched from the parked ones for somebody who has gone is colder than those that are here.
    while (place > 0 && (this.#warm[place - 1]?.idleSinceMs ?? 0) > server.idleSinceMs) place -= 1
    this.#warm.splice(place, 0, server)
  }

  /** A server is closed. */
  remove(server: ServerConnection): void {
    const index = this.#warm.indexOf(server)
    if (index !== -1) this.#warm.splice(index, 1)
  }

  /**
   * Called by the janitor: parks what is not warm any more. With server_round_robin all are used in turn, however
   * long that takes, so only those are parked that are to be closed there.
   */
  park(nowMs: number, policy: PoolPolicy): void {
    const { roundRobin } = policy
    const isCold = (server: ServerConnection): boolean =>
      roundRobin
        ? idleReason(server, policy, this.#supply.established, nowMs) !== null ||
          usedUpReason(server, policy, nowMs) !== null
        : nowMs - server.idleSinceMs > PARK_AFTER_MS
    if (!this.#warm.some(isCold)) return
    for (const server of this.#warm.filter(isCold)) {
      this.remove(server)
      this.#supply.park(server)
    }
  }

  /** All of them, warm and parked. */
  get all(): ServerConnection[] {
    return [...this.#supply.servers].filter(({ state }) => state === ServerState.Idle)
  }

  /** Marks those of the pool for which `matches` holds to be closed after their lease; returns those without one. */
  outdate(matches: (server: ServerConnection) => boolean, reason: string): ServerConnection[] {
    for (const server of this.#supply.servers) if (matches(server)) server.outdated = reason
    return this.all.filter(({ outdated }) => outdated !== null)
  }

  /** All of them; first the one that was used last the longest time ago. */
  get coldestFirst(): ServerConnection[] {
    return this.all.sort((one, other) => one.idleSinceMs - other.idleSinceMs)
  }
}
