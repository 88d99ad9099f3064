import type { PoolPolicy } from '../config/pool-policy.ts'
import { PoolerError, SqlState } from '../errors.ts'
import { type CheckOwner, ServerCheck } from '../server/server-check.ts'
import type { ServerConnection } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'

/** ServerChecks: the servers of one pool that are asked server_check_query at the moment, and since when. */
export class ServerChecks {
  readonly #checks = new Map<ServerConnection, ServerCheck>()

  get size(): number {
    return this.#checks.size
  }

  /**
   * A server that was not used for server_check_delay is asked before its next lease. One that has just logged in is
   * not: a check that always fails would open connections for ever.
   */
  isDue({ idleSinceMs, isUsed }: ServerConnection, { checkQuery, checkDelayMs }: PoolPolicy): boolean {
    return isUsed && checkQuery !== undefined && Date.now() - idleSinceMs >= checkDelayMs
  }

  start(server: ServerConnection, { checkQuery = '' }: PoolPolicy, owner: CheckOwner): void {
    server.state = ServerState.Tested
    this.#checks.set(server, new ServerCheck(server, checkQuery, owner))
  }

  /** The check is over, or the server closed. */
  remove(server: ServerConnection): void {
    this.#checks.delete(server)
  }

  /** Called by the janitor: a check takes no longer than a login. */
  tick(nowMs: number, { connectTimeoutMs }: PoolPolicy): void {
    if (connectTimeoutMs === 0) return
    for (const [server, { sinceMs }] of this.#checks) {
      if (nowMs - sinceMs <= connectTimeoutMs) continue
      server.close(
        new PoolerError(
          SqlState.ConnectionFailure,
          'the server did not answer server_check_query in time (server_connect_timeout)',
        ),
      )
    }
  }
}
