import { randomFillSync, randomInt, timingSafeEqual } from 'node:crypto'
import type { ClientConnection } from '../client/client-connection.ts'

/** Protocol 3.0 has room for four bytes, 3.2 for up to 256. */
const SECRET_BYTES_3_0 = 4
const SECRET_BYTES_3_2 = 32
/** The low bits of a process id tell sessions apart, the high ones which process of a pooler they are in. */
const SESSION_BITS = 24
const MAX_WORKERS = 127
const RANDOM_BYTES = 4096

export interface CancelKey {
  readonly processId: number
  readonly secret: Buffer
}

/** Somebody whose client may send a CancelRequest, and who knows what it means. */
export interface Cancelable {
  readonly client: ClientConnection
  cancel(): Promise<void> | void
}

/**
 * CancelKeys: the BackendKeyData that the pooler invents for its clients, and whose it is. A server's own key
 * never leaves the pooler.
 */
export class CancelKeys<Owner> {
  readonly #worker: number
  readonly #byProcessId = new Map<number, { readonly owner: Owner; readonly secret: Buffer }>()
  readonly #byOwner = new Map<Owner, number>()

  /** Drawn in advance, each byte used once: asking for four at a time costs as much as for all of these. */
  readonly #random = Buffer.alloc(RANDOM_BYTES)
  #randomUsed = RANDOM_BYTES

  constructor(worker = 0) {
    this.#worker = worker % (MAX_WORKERS + 1)
  }

  /** A new key for `owner`; `protocolMinor` decides how long the secret may be. */
  add(owner: Owner, protocolMinor: number): CancelKey {
    const secret = this.#randomBytes(protocolMinor >= 2 ? SECRET_BYTES_3_2 : SECRET_BYTES_3_0)
    let processId: number
    do processId = (this.#worker << SESSION_BITS) | randomInt(1, 1 << SESSION_BITS)
    while (this.#byProcessId.has(processId))
    this.#byProcessId.set(processId, { owner, secret })
    this.#byOwner.set(owner, processId)
    return { processId, secret }
  }

  remove(owner: Owner): void {
    const processId = this.#byOwner.get(owner)
    if (processId === undefined) return
    this.#byOwner.delete(owner)
    this.#byProcessId.delete(processId)
  }

  /** Whose key this is; undefined for a wrong one. */
  find(processId: number, secret: Buffer): Owner | undefined {
    const entry = this.#byProcessId.get(processId)
    if (entry === undefined || entry.secret.length !== secret.length) return undefined
    return timingSafeEqual(entry.secret, secret) ? entry.owner : undefined
  }

  #randomBytes(count: number): Buffer {
    if (this.#randomUsed + count > RANDOM_BYTES) {
      randomFillSync(this.#random)
      this.#randomUsed = 0
    }
    const start = this.#randomUsed
    this.#randomUsed += count
    return Buffer.from(this.#random.subarray(start, this.#randomUsed))
  }
}
