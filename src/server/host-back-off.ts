import { endpointName } from '../net/endpoint-name.ts'
import type { Endpoint } from '../net/transport.ts'
import { RetryDelay } from './retry-delay.ts'

interface Trouble {
  readonly delay: RetryDelay
  retryAtMs: number
}

/** How long somebody may take to find out whether a host is back, while nobody else tries. */
const PROBE_MS = 15_000
/** What nobody has tried for so long after its back-off is forgotten: addresses come and go. */
const FORGET_AFTER_MS = 10 * 60_000

/**
 * HostBackOff: which hosts could not be connected to lately, one for the process: what one pool has found out, all
 * know. Owned by the composition root, used by HostLists.
 */
export class HostBackOff {
  readonly #longestMs: () => number
  readonly #troubles = new Map<string, Trouble>()

  /** `longestMs` is server_login_retry, the longest back-off. */
  constructor(longestMs: () => number) {
    this.#longestMs = longestMs
  }

  /** Its back-off is not over: others are tried first. */
  isBackedOff(endpoint: Endpoint, nowMs: number): boolean {
    return nowMs < (this.#troubles.get(endpointName(endpoint))?.retryAtMs ?? 0)
  }

  /** Nobody has connected to it since it failed. */
  hasFailed(endpoint: Endpoint): boolean {
    return this.#troubles.has(endpointName(endpoint))
  }

  /** It is tried now, after its back-off: until that has an end the others need not find out as well. */
  probe(endpoint: Endpoint, nowMs: number): void {
    const trouble = this.#troubles.get(endpointName(endpoint))
    if (trouble !== undefined) trouble.retryAtMs = nowMs + PROBE_MS
  }

  /** True if it had not failed before. */
  failed(endpoint: Endpoint, nowMs: number): boolean {
    for (const [key, { retryAtMs }] of this.#troubles)
      if (nowMs - retryAtMs > FORGET_AFTER_MS) this.#troubles.delete(key)
    const key = endpointName(endpoint)
    const before = this.#troubles.get(key)
    const trouble = before ?? { delay: new RetryDelay(), retryAtMs: 0 }
    trouble.retryAtMs = nowMs + trouble.delay.next(this.#longestMs(), true)
    this.#troubles.set(key, trouble)
    return before === undefined
  }

  /** True if it had failed before. */
  succeeded(endpoint: Endpoint): boolean {
    return this.#troubles.delete(endpointName(endpoint))
  }
}
