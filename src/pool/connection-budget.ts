import type { ServerConnection } from '../server/server-connection.ts'

/**
 * ConnectionBudget: the limits that several pools share, max_db_connections and max_user_connections. A pool
 * takes a place before it opens a connection and gives it back when PostgreSQL has ended the session. Local to the
 * process in LocalBudget; several processes that act as one pooler would share one.
 *
 *   take() -> in use -> leaving() -> closed, perhaps claimed for a pool that waits -> give()
 */
export interface ConnectionBudget {
  /** Which limit forbids one more connection to this pool; null = none does. */
  exhausted(member: BudgetMember): SharedLimit | null
  /** How many places under this limit are taken. */
  taken(member: BudgetMember, limit: SharedLimit): number
  /** A reload has made a limit so small that connections of this pool have to go. */
  exceeded(member: BudgetMember): boolean
  /** A place for one more connection. Only where exhausted() is null. */
  take(member: BudgetMember): void
  /** A connection of this pool is closed; its place is free after give(). */
  leaving(member: BudgetMember, server: ServerConnection): void
  /** Its session is gone; null where there has been none. */
  give(member: BudgetMember, server: ServerConnection | null): void
  /**
   * A pool for whose clients no place is free waits for `wanted` of them: they are claimed among those of connections
   * that are leaving, or of the connections that are idle for longest in other pools, which are closed, those that
   * exceed min_pool_size first. Nothing is closed where another limit would be in the way all the same. The member's
   * onRoom() is called when there may be room.
   */
  waitForRoom(member: BudgetMember, wanted: number): void
  /** Every limit that forbids one more connection has a place for this pool soon. */
  comesSoon(member: BudgetMember): boolean
  /** Some pool waits for room: only then claim() can be true. */
  readonly contended: boolean
  /** Some other pool waits for room under a limit that this one shares. */
  isContended(member: BudgetMember): boolean
  /**
   * A server that this pool gets back should be closed in favour of a pool whose clients have waited longer; if so its
   * place is theirs.
   */
  claim(member: BudgetMember, server: ServerConnection, nowMs: number): boolean
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
  /** The server that it has not used for longest and can do without; with `belowMinimum` even in spite of min_pool_size. */
  spare(belowMinimum: boolean): ServerConnection | undefined
  /** Closes a spare for another pool. */
  giveUp(server: ServerConnection): void
  /** There may be room for another connection. */
  onRoom(): void
}
