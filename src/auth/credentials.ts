import { PoolerError } from '../errors.ts'
import { parseSecret, type UserSecret } from './user-secret.ts'

/**
 * Credentials: every user that may log in, and the secrets to log in to PostgreSQL with. Built at start and
 * on each reload from the [users] sections and the userlist file; read by client and server logins.
 * Immutable.
 */
export class Credentials {
  readonly #secrets: ReadonlyMap<string, UserSecret>

  /**
   * `users` maps names to secret texts and wins over `userlist`.
   * Throws PoolerError F0000 naming the user when a secret is malformed.
   */
  constructor(users: ReadonlyMap<string, string>, userlist: ReadonlyMap<string, UserSecret> = new Map()) {
    const secrets = new Map(userlist)
    for (const [user, text] of users) secrets.set(user, parseSecretOf(user, text))
    this.#secrets = secrets
  }

  get isEmpty(): boolean {
    return this.#secrets.size === 0
  }

  find(user: string): UserSecret | undefined {
    return this.#secrets.get(user)
  }
}

function parseSecretOf(user: string, text: string): UserSecret {
  try {
    return parseSecret(text)
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    throw new PoolerError(error.sqlState, `users.${user}.password: ${error.message}`)
  }
}
