import type { ServerConnection } from '../server/server-connection.ts'
import type { BudgetMember, ConnectionBudget, SharedLimit } from './connection-budget.ts'

/**
 * A server changes its pool only for clients that have waited so much longer than those of its own: opening a
 * connection anew takes some milliseconds, and pools under equal pressure must not take turns at each transaction.
 */
const WORTH_A_LOGIN_MS = 50

/** The place of a server that is closed, or to be closed. */
interface Place {
  readonly owner: BudgetMember
  readonly server: ServerConnection
}

/** LocalBudget: the ConnectionBudget of one process. It owns how many connections each database and user has. */
export class LocalBudget implements ConnectionBudget {
  readonly #databases = new Map<string, number>()
  readonly #users = new Map<string, number>()
  /** Everybody who has or had a connection: where spare servers are looked for. */
  readonly #members = new Set<BudgetMember>()
  readonly #waiting = new Set<BudgetMember>()
  /** Connections that are closed, and whose sessions are not gone. */
  readonly #leaving = new Map<ServerConnection, Place>()
  /** For whom servers are closed. */
  readonly #claims = new WeakMap<ServerConnection, BudgetMember>()
  #telling = false

  get contended(): boolean {
    return this.#waiting.size > 0
  }

  /** All places have been given back: what must be true when nobody has a connection. */
  get isUnused(): boolean {
    return this.#databases.size === 0 && this.#users.size === 0
  }

  exhausted(member: BudgetMember): SharedLimit | null {
    if (this.#room(member, 'max_db_connections') <= 0) return 'max_db_connections'
    return this.#room(member, 'max_user_connections') <= 0 ? 'max_user_connections' : null
  }

  taken({ database, user }: BudgetMember, limit: SharedLimit): number {
    return (limit === 'max_db_connections' ? this.#databases.get(database) : this.#users.get(user)) ?? 0
  }

  exceeded(member: BudgetMember): boolean {
    return LIMITS.some((limit) => {
      const room = this.#room(member, limit)
      return room < 0 && room + this.#leavingUnder(member, limit).length < 0
    })
  }

  take(member: BudgetMember): void {
    this.#members.add(member)
    count(this.#databases, member.database, 1)
    count(this.#users, member.user, 1)
  }

  leaving(owner: BudgetMember, server: ServerConnection): void {
    this.#leaving.set(server, { owner, server })
  }

  give(member: BudgetMember, server: ServerConnection | null): void {
    if (server !== null) this.#leaving.delete(server)
    count(this.#databases, member.database, -1)
    count(this.#users, member.user, -1)
    this.#tellWaiting()
  }

  waitForRoom(member: BudgetMember, wanted: number): void {
    this.#waiting.add(member)
    for (let each = 1; each <= wanted; each += 1) {
      const places = this.#findPlaces(member, each)
      if (places === null) break
      for (const place of places) this.#claimFor(member, place)
    }
  }

  comesSoon(member: BudgetMember): boolean {
    return LIMITS.every(
      (limit) =>
        this.#room(member, limit) > 0 ||
        this.#leavingUnder(member, limit).some(
          ({ owner, server }) => (this.#claims.get(server) ?? owner) === member,
        ),
    )
  }

  isContended(member: BudgetMember): boolean {
    for (const other of this.#waiting)
      if (other !== member && LIMITS.some((limit) => shares(member, other, limit))) return true
    return false
  }

  claim(member: BudgetMember, server: ServerConnection, nowMs: number): boolean {
    const ownSinceMs = Math.min(member.waitingSinceMs, nowMs + WORTH_A_LOGIN_MS)
    for (const other of this.#waiting) {
      if (other === member || other.opening > 0) continue
      if (other.waitingSinceMs + WORTH_A_LOGIN_MS > ownSinceMs) continue
      const offered = { owner: member, server }
      const places = this.#findPlaces(other, 1, offered)
      if (places === null || !places.includes(offered)) continue
      this.#claims.set(server, other)
      for (const place of places) if (place !== offered) this.#claimFor(other, place)
      return true
    }
    return false
  }

  leave(member: BudgetMember): void {
    this.#members.delete(member)
    this.#waiting.delete(member)
  }

  /** How many more connections the limit allows. */
  #room(member: BudgetMember, limit: SharedLimit): number {
    const { maxDatabaseConnections, maxUserConnections } = member.policy
    const max = limit === 'max_db_connections' ? maxDatabaseConnections : maxUserConnections
    return max - this.taken(member, limit)
  }

  #leavingUnder(member: BudgetMember, limit: SharedLimit): Place[] {
    return [...this.#leaving.values()].filter(({ owner }) => shares(owner, member, limit))
  }

  /**
   * The places that `member` has to claim so that it gets `wanted` of them, one under each limit at most; null where
   * they cannot be had. `offered` is one that it could have, too.
   */
  #findPlaces(member: BudgetMember, wanted: number, offered?: Place): Place[] | null {
    const found: Place[] = []
    for (const limit of LIMITS) {
      if (this.#room(member, limit) > 0) continue
      const leaving = this.#leavingUnder(member, limit)
      const claimed = leaving.filter(({ server }) => this.#claims.get(server) === member).length
      const isMet = ({ owner }: Place): boolean => shares(owner, member, limit)
      if (claimed + found.filter(isMet).length >= wanted) continue
      const place =
        leaving.find(({ server }) => !this.#claims.has(server)) ??
        (offered !== undefined && isMet(offered) ? offered : undefined) ??
        this.#coldestSpare(member, limit, false) ??
        this.#coldestSpare(member, limit, true)
      if (place === undefined) return null
      found.push(place)
    }
    return found
  }

  #coldestSpare(member: BudgetMember, limit: SharedLimit, belowMinimum: boolean): Place | undefined {
    let coldest: Place | undefined
    for (const owner of this.#members) {
      const server = owner === member || !shares(owner, member, limit) ? undefined : owner.spare(belowMinimum)
      if (server === undefined) continue
      if (coldest === undefined || server.idleSinceMs < coldest.server.idleSinceMs)
        coldest = { owner, server }
    }
    return coldest
  }

  #claimFor(member: BudgetMember, { owner, server }: Place): void {
    this.#claims.set(server, member)
    if (!this.#leaving.has(server)) owner.giveUp(server)
  }

  /** The pool whose client has waited longest is asked first; each says again if it has to go on waiting. */
  #tellWaiting(): void {
    if (this.#telling || this.#waiting.size === 0) return
    this.#telling = true
    try {
      const waiting = [...this.#waiting].sort((one, other) => one.waitingSinceMs - other.waitingSinceMs)
      this.#waiting.clear()
      for (const member of waiting) member.onRoom()
    } finally {
      this.#telling = false
    }
  }
}

const LIMITS = ['max_db_connections', 'max_user_connections'] as const satisfies readonly SharedLimit[]

function shares(one: BudgetMember, other: BudgetMember, limit: SharedLimit): boolean {
  return limit === 'max_db_connections' ? one.database === other.database : one.user === other.user
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
