import type { ServerPool } from '../pool/server-pool.ts'

/** After so many different values of one pool, knowledge starts anew. */
const MAX_VALUES = 10_000

/**
 * KnownParameters: startup parameters that a server of a pool has accepted before, and how it spells their
 * values (DateStyle "ISO" becomes "ISO, MDY"). A client with known parameters only is welcomed without a
 * server; any other has its parameters applied to a real one first, and gets that server's error if it
 * does not take them.
 */
export class KnownParameters {
  readonly #byPool = new WeakMap<ServerPool, Map<string, string>>()

  /** The server's spelling of a value; undefined if no server has been asked yet. */
  find(pool: ServerPool, name: string, value: string): string | undefined {
    if (name === 'application_name' && /^[ -~]{0,63}$/.test(value)) return value
    if (pool.generation.welcome?.parameters.get(name) === value) return value
    return this.#byPool.get(pool)?.get(`${name}=${value}`)
  }

  add(pool: ServerPool, name: string, value: string, spelling: string): void {
    let values = this.#byPool.get(pool)
    if (values === undefined || values.size >= MAX_VALUES) {
      values = new Map()
      this.#byPool.set(pool, values)
    }
    values.set(`${name}=${value}`, spelling)
  }
}
