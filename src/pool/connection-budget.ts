import type { ServerConnection } from '../server/server-connection.ts'

/**
 * ConnectionBudget: the limits that several pools share, max_db_connections and max_user_connections. A pool
 * takes a place before it opens a connection and gives it back when the connection is gone. Local to the process
 * in LocalBudget; several processes that act as one pooler would share one.
 */
export interface ConnectionBudget {
  /** Which limit forbids one more connection to this pool; null = none does. */
  exhausted(member: BudgetMember): SharedLimit | null
  /** A reload has made a limit so small that connections of this pool have to go. */
  exceeded(member: BudgetMember): boolean
  /** A place for one more connection. Only where exhausted() is null. */
  take(member: BudgetMember): void
  give(member: BudgetMember): void
  /**
   * Closes the connection that is idle for longest in another pool under the same limit; false if there is none.
   * The place is free when this returns true.
   */
  makeRoom(member: BudgetMember): boolean
  /** The member has waiters that a limit keeps from being served: its onRoom() is called when that may have changed. */
  waitForRoom(member: BudgetMember): void
  /** Some pool waits for room: only then isOwed() can be true. */
  readonly contended: boolean
  /** A server that this pool gets back should be closed in favour of a pool whose clients have waited longer. */
  isOwed(member: BudgetMember, nowMs: number): boolean
  leave(member: BudgetMember): void
}

export type SharedLimit = 'max_db_connections' | 'max_user_connections'

/** A pool as the budget sees it. */
export interface BudgetMember {
  readonly database: string
  readonly user: string
  readonly policy: { readonly maxDatabaseConnections: number; readonly maxUserConnections: number }
  /** Since when its longest waiter waits; Infinity without one. */
  readonly waitingSinceMs: number
  /** Connections that it is opening. */
  readonly opening: number
  /** The server that it has not used for longest and can do without (min_pool_size). */
  readonly spare: ServerConnection | undefined
  /** Closes a `spare` for another pool. */
  giveUp(server: ServerConnection): void
  /** There may be room for another connection. */
  onRoom(): void
}
