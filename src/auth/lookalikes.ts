import { createHmac, randomBytes } from 'node:crypto'
import type { UserSecret } from './user-secret.ts'

/**
 * Lookalikes: which known secret an unknown user's login shall resemble: its method under auth_type md5, its
 * iteration count, the time that a check takes. One answer for all would give away everybody whose secret is
 * of another kind; so each unknown name gets one kind for good, and the kinds are as frequent among unknown
 * names as among known ones. Made with the Credentials at start and on reload. Immutable.
 */

/** Random per process: an outsider cannot work out which kind an unknown name gets. */
const KEY = randomBytes(32)

const RANK: Readonly<Record<UserSecret['kind'], number>> = { plain: 0, md5: 1, scram: 2 }

export class Lookalikes {
  readonly #models: readonly UserSecret[]

  /**
   * `secrets` are those of all users who may log in. Leave it empty where auth_query knows them: unknown users
   * then get what PostgreSQL makes of a password by default.
   */
  constructor(secrets: Iterable<UserSecret> = []) {
    // In the order of their kinds: a user more or less moves only the names next to a border.
    this.#models = [...secrets].sort((left, right) => RANK[left.kind] - RANK[right.kind])
  }

  /** Whom `user` shall resemble; undefined if nobody is known. For ClientExchange, which lets nobody in by it. */
  of(user: string): UserSecret | undefined {
    const hash = createHmac('sha256', KEY).update(user).digest().readUInt32BE(0)
    return this.#models[Math.floor((hash / 2 ** 32) * this.#models.length)]
  }
}
