import type { ClientConnection } from '../client/client-connection.ts'
import { CONSOLE_MESSAGES } from '../client/client-messages.ts'
import type { Config } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { AdminContext } from './admin-context.ts'
import { AdminSession } from './admin-session.ts'
import type { Access } from './command.ts'

/** ConsoleSessions: everybody who is connected to the admin console, and who may. */
export class ConsoleSessions {
  readonly #context: AdminContext
  readonly #log: Logger
  readonly #sessions = new Set<AdminSession>()

  constructor(context: Omit<AdminContext, 'consoles'>, log: Logger) {
    this.#context = { ...context, consoles: this }
    this.#log = log
  }

  [Symbol.iterator](): IterableIterator<AdminSession> {
    return this.#sessions.values()
  }

  /**
   * Begins the session of a client that has shown who it is. Throws PoolerError 42501 where that user may not use the
   * console: neither in admin_users nor in stats_users.
   */
  open(client: ClientConnection): void {
    const access = accessOf(this.#context.config(), client.user)
    if (access === null) {
      throw new PoolerError(SqlState.InsufficientPrivilege, 'not allowed', {
        detail: `User "${client.user}" is neither in admin_users nor in stats_users.`,
      })
    }
    client.leaveLogin(CONSOLE_MESSAGES)
    const session = new AdminSession(client, access, this.#context, (reason) => {
      this.#sessions.delete(session)
      const { identity, ageSeconds } = client
      this.#log.info({ ...identity, reason, ageSeconds }, 'console closed')
    })
    this.#sessions.add(session)
    this.#log.info({ ...client.identity, access }, 'console opened')
    session.start()
  }

  stop(error: PoolerError): void {
    for (const session of [...this.#sessions]) session.stop(error)
  }
}

function accessOf({ pooler }: Config, user: string): Access | null {
  if (pooler.admin_users.includes(user)) return 'admin'
  // With auth_type any nobody has shown who he is: he may look, as with PgBouncer.
  if (pooler.stats_users.includes(user) || pooler.auth_type === 'any') return 'stats'
  return null
}
