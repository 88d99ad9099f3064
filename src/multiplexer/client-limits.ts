import type { Config, DatabaseConfig } from '../config/config.ts'
import { unlimited } from '../config/pool-policy.ts'
import { PoolerError, SqlState } from '../errors.ts'

/**
 * ClientLimits: how many clients each database and each user has, against max_db_client_connections and
 * max_user_client_connections.
 */
export class ClientLimits {
  readonly #databases = new Map<string, number>()
  readonly #users = new Map<string, number>()

  /** Counts one more. Throws PoolerError 53300 where that is one too many. */
  enter({ pooler, users }: Config, database: DatabaseConfig, user: string): void {
    check(
      'max_db_client_connections',
      `database "${database.name}"`,
      this.#databases.get(database.name) ?? 0,
      unlimited(database.max_db_client_connections ?? pooler.max_db_client_connections),
    )
    check(
      'max_user_client_connections',
      `user "${user}"`,
      this.#users.get(user) ?? 0,
      unlimited(users.get(user)?.max_user_client_connections ?? pooler.max_user_client_connections),
    )
    count(this.#databases, database.name, 1)
    count(this.#users, user, 1)
  }

  leave(database: string, user: string): void {
    count(this.#databases, database, -1)
    count(this.#users, user, -1)
  }
}

function check(setting: string, whose: string, have: number, limit: number): void {
  if (have < limit) return
  throw new PoolerError(SqlState.TooManyConnections, `client connections exceeded (${setting})`, {
    detail: `The ${whose} has ${have} clients, and its limit is ${limit}.`,
  })
}

function count(counts: Map<string, number>, key: string, change: number): void {
  const next = (counts.get(key) ?? 0) + change
  if (next === 0) counts.delete(key)
  else counts.set(key, next)
}
