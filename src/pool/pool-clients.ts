import type { PoolerError } from '../errors.ts'

/** PoolClients: the clients that belong to one pool, with a server or without. Owned by a ServerPool. */
export class PoolClients {
  /** How many there are. */
  count = 0
  /** When the last of them ended. */
  usedAtMs = Date.now()
  /** Why they are disconnected once they are in no transaction; null = they are served. */
  ending: PoolerError | null = null

  join(): void {
    this.count += 1
  }

  leave(): void {
    this.count -= 1
    this.usedAtMs = Date.now()
  }
}
