import { PoolerError } from '../errors.ts'
import type { AuthQueryCache } from './auth-query-cache.ts'
import { Lookalikes } from './lookalikes.ts'
import { parseSecret, type UserSecret } from './user-secret.ts'

/**
 * Credentials: every user that may log in, and the secrets to log in to PostgreSQL with. Built at start and
 * on each reload from the [users] sections and the userlist file; read by client and server logins. Users in
 * neither are asked for by auth_query, if there is one; its cache is the only thing here that changes.
 */
export class Credentials {
  readonly #secrets: ReadonlyMap<string, UserSecret>
  /** Known by name only: trust and certificates may let them in, no password does. */
  readonly #withoutSecret: ReadonlySet<string>
  readonly #authQuery: AuthQueryCache | undefined
  readonly #lookalikes: Lookalikes

  /**
   * `previous`: secrets that have not changed stay the same objects, with the keys that were derived or learnt.
   * `users` maps names to secret texts, undefined for none, and wins over `userlist`, which wins over `authQuery`.
   * Throws PoolerError F0000 naming the user when a secret is malformed.
   */
  constructor(
    users: ReadonlyMap<string, string | undefined>,
    userlist: ReadonlyMap<string, UserSecret> = new Map(),
    authQuery?: AuthQueryCache,
    previous?: Credentials,
  ) {
    const secrets = new Map(userlist)
    for (const [user, text] of users) if (text !== undefined) secrets.set(user, parseSecretOf(user, text))
    for (const [user, secret] of secrets) {
      const known = previous?.find(user)
      if (known?.equals(secret)) secrets.set(user, known)
    }
    this.#withoutSecret = new Set([...users.keys()].filter((user) => users.get(user) === undefined))
    this.#secrets = secrets
    this.#authQuery = authQuery
    this.#lookalikes = new Lookalikes(authQuery === undefined ? secrets.values() : [])
  }

  /** True for a user in [users] without a secret: the name is all that is known. */
  knowsByName(user: string): boolean {
    return this.#withoutSecret.has(user)
  }

  /** True where no user has a secret and none can be asked for: then nobody has said who is known. */
  get isEmpty(): boolean {
    return this.#secrets.size === 0 && this.#authQuery === undefined
  }

  /** The secret of a user in [users] or the userlist; auth_query is not asked. */
  find(user: string): UserSecret | undefined {
    return this.#secrets.get(user)
  }

  /**
   * The secret of a client who logs in to `database` (the name it asked for). A promise only where auth_query has
   * to be asked; that rejects with PoolerError 57P03 when it cannot be answered, with the reason as its cause. Nobody
   * is asked any more once `stillWanted` says no.
   */
  lookup(
    user: string,
    database: string,
    stillWanted?: () => boolean,
  ): UserSecret | undefined | Promise<UserSecret | undefined> {
    return this.#secrets.get(user) ?? this.#authQuery?.lookup(user, database, stillWanted)
  }

  /**
   * Derives the SCRAM verifiers of all plain passwords, one after the other and off the main thread: otherwise the
   * first login of each would take that much longer, and show that the user exists. Ends early when `signal` aborts.
   */
  async deriveVerifiers(signal: AbortSignal): Promise<void> {
    for (const secret of this.#secrets.values()) {
      if (signal.aborted) return
      // What goes wrong here goes wrong again at the login, which has somebody to tell.
      if (secret.kind === 'plain') await secret.scramVerifier().catch(() => undefined)
    }
  }

  /** Whom the login of an unknown `user` shall resemble, see Lookalikes. */
  lookalike(user: string): UserSecret | undefined {
    return this.#lookalikes.of(user)
  }

  /**
   * To be called when a client's login failed: auth_query is asked anew, so that a changed password works from
   * then on. Resolves with the secret that is known then; never rejects.
   */
  refresh(user: string, database: string): Promise<UserSecret | undefined> {
    const secret = this.#secrets.get(user)
    if (secret !== undefined || this.#authQuery === undefined) return Promise.resolve(secret)
    return this.#authQuery.refresh(user, database)
  }

  /**
   * The secret to log in to the server of `database` with, as `user`. An answer of auth_query counts however old
   * it is: the keys that a client proved belong to it, and the server itself says whether they still open.
   */
  serverSecret(user: string, database: string): UserSecret | undefined | Promise<UserSecret | undefined> {
    return (
      this.#secrets.get(user) ??
      this.#authQuery?.peek(user, database) ??
      this.#authQuery?.lookup(user, database)
    )
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
