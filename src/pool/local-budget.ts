import type { BudgetMember, ConnectionBudget, SharedLimit } from './connection-budget.ts'

/**
 * A server changes its pool only for clients that have waited so much longer than those of its own: opening a
 * connection anew takes some milliseconds, and pools under equal pressure must not take turns at each transaction.
 */
const WORTH_A_LOGIN_MS = 50

/** LocalBudget: the ConnectionBudget of one process. It owns how many connections each database and user has. */
export class LocalBudget implements ConnectionBudget {
  readonly #databases = new Map<string, number>()
  readonly #users = new Map<string, number>()
  /** Everybody who has or had a connection: where makeRoom() looks. */
  readonly #members = new Set<BudgetMember>()
  readonly #waiting = new Set<BudgetMember>()
  #telling = false

  get contended(): boolean {
    return this.#waiting.size > 0
  }

  /** All places have been given back: what must be true when nobody has a connection. */
  get isUnused(): boolean {
    return this.#databases.size === 0 && this.#users.size === 0
  }

  exhausted({ database, user, policy }: BudgetMember): SharedLimit | null {
    if ((this.#databases.get(database) ?? 0) >= policy.maxDatabaseConnections) return 'max_db_connections'
    if ((this.#users.get(user) ?? 0) >= policy.maxUserConnections) return 'max_user_connections'
    return null
  }

  exceeded({ database, user, policy }: BudgetMember): boolean {
    return (
      (this.#databases.get(database) ?? 0) > policy.maxDatabaseConnections ||
      (this.#users.get(user) ?? 0) > policy.maxUserConnections
    )
  }

  take(member: BudgetMember): void {
    this.#members.add(member)
    count(this.#databases, member.database, 1)
    count(this.#users, member.user, 1)
  }

  give(member: BudgetMember): void {
    count(this.#databases, member.database, -1)
    count(this.#users, member.user, -1)
    this.#tellWaiting()
  }

  makeRoom(member: BudgetMember): boolean {
    const limit = this.exhausted(member)
    if (limit === null) return true
    let coldest: { readonly owner: BudgetMember; readonly idleSinceMs: number } | undefined
    for (const owner of this.#members) {
      const spare = owner === member || !shares(owner, member, limit) ? undefined : owner.spare
      if (spare !== undefined && spare.idleSinceMs < (coldest?.idleSinceMs ?? Number.POSITIVE_INFINITY))
        coldest = { owner, idleSinceMs: spare.idleSinceMs }
    }
    const spare = coldest?.owner.spare
    if (coldest === undefined || spare === undefined) return false
    coldest.owner.giveUp(spare)
    // The other limit may be exhausted, too.
    return this.makeRoom(member)
  }

  waitForRoom(member: BudgetMember): void {
    this.#waiting.add(member)
  }

  isOwed(member: BudgetMember, nowMs: number): boolean {
    const ownSinceMs = Math.min(member.waitingSinceMs, nowMs + WORTH_A_LOGIN_MS)
    for (const other of this.#waiting) {
      if (other === member || other.opening > 0) continue
      const limit = this.exhausted(other)
      if (limit === null || !shares(member, other, limit)) continue
      if (other.waitingSinceMs + WORTH_A_LOGIN_MS <= ownSinceMs) return true
    }
    return false
  }

  leave(member: BudgetMember): void {
    this.#members.delete(member)
    this.#waiting.delete(member)
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

function shares(one: BudgetMember, other: BudgetMember, limit: SharedLimit): boolean {
  return limit === 'max_db_connections' ? one.database === other.database : one.user === other.user
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
