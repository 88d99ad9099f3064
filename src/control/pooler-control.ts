import type { ReloadReport } from '../config/reload.ts'

/** How a pooler ends: at once; when servers are free; when clients have left. */
export type ShutdownMode = 'immediate' | 'wait_for_servers' | 'wait_for_clients'

/**
 * PoolerControl: what an operator can do to a running pooler, by signals, from a program and from the console.
 * Names and meanings are those of PgBouncer's console commands. Without a database, all are meant. Methods throw a
 * PoolerError with PgBouncer's text where the command makes no sense: an unknown database, nothing to resume.
 */
export interface PoolerControl {
  /**
   * Gives no server to anybody and closes the servers as they fall idle; clients wait, also new ones. Replication
   * clients that have their connection are disconnected. Resolves when no server is in use, or when resumed.
   */
  pause(database?: string): Promise<void>
  /** Ends pause(), kill() or suspend(). */
  resume(database?: string): void
  /**
   * Stops reading from clients and servers. Resolves when all that was under way has been written; who does not
   * take it within suspend_timeout is closed.
   */
  suspend(): Promise<void>
  /** Replaces all server connections: idle ones now, those in use when they are released. */
  reconnect(database?: string): void
  /** Closes all clients and servers at once; new clients wait until resume(). */
  kill(database?: string): void
  /** Lets nobody log in to the database, until enable(). */
  disable(database: string): void
  enable(database: string): void
  /** Resolves when no connection from before the last reconnect() or changed setting is in use. */
  waitClose(database?: string): Promise<void>
  /**
   * Reads the configuration again. What cannot change in a running pooler is reported and stays as it is. Rejects, with
   * nothing changed, where the new configuration is not valid.
   */
  reload(): Promise<ReloadReport>
  /**
   * Changes one setting of [pooler] until the next reload(). Rejects with a PoolerError for an unknown setting, a value
   * that it does not take, or one that needs a restart.
   */
  set(name: string, value: string): Promise<void>
  /**
   * Ends the pooler in order; see the setting shutdown_timeout. A second call may ask for a quicker end, which takes
   * the place of the first. Resolves when everything is closed.
   */
  shutdown(mode: ShutdownMode): Promise<void>
}
