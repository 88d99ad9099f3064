import type { Logger } from '../log.ts'

export interface DnsCacheOptions {
  /** All addresses of a name, in the order in which they should be tried; rejects with the system's error. */
  readonly lookup: (name: string) => Promise<readonly string[]>
  /** dns_max_ttl and dns_nxdomain_ttl in milliseconds, as they are now. */
  readonly ttls: () => { readonly answerMs: number; readonly failureMs: number }
  readonly log: Logger
}

interface Entry {
  /** The last good answer; empty before the first. */
  addresses: readonly string[]
  /** Why the last question has no answer; null if it has one. */
  failure: Error | null
  settledMs: number
  /** The question that is under way. Never rejects. */
  question: Promise<void> | null
}

/** Who has an answer already, if an old one, waits no longer than this for a new one. */
const PATIENCE_MS = 500
/** With dns_max_ttl = 0 connections that exist still ask no more often than this. */
const SHORTEST_REFRESH_MS = 1000

/**
 * DnsCache: the addresses of the names of servers, one for the process. A new answer replaces the old one; a
 * question without answer does not, so that a DNS server that is down takes no database with it. The system does
 * not say reliably whether a name is gone or nobody could be asked (EAI_NODATA, ENOTFOUND), so neither does this.
 */
export class DnsCache {
  readonly #options: DnsCacheOptions
  readonly #entries = new Map<string, Entry>()
  /** Questions that had an answer, and those that had none, since the start. */
  answers = 0
  failures = 0

  constructor(options: DnsCacheOptions) {
    this.#options = options
  }

  /** The addresses of a name, asked for if they are too old. Rejects where there has never been an answer. */
  async resolve(name: string): Promise<readonly string[]> {
    const entry = this.#entryOf(name)
    const isFirst = entry.addresses.length === 0 && entry.failure === null
    if (this.#isOld(entry, 0)) this.#ask(name, entry)
    if (entry.question !== null) {
      if (isFirst) await entry.question
      // While DNS is in trouble nobody waits for it to end.
      else if (entry.failure === null || entry.addresses.length === 0)
        await settledWithin(PATIENCE_MS, entry.question)
    }
    if (entry.addresses.length > 0) return entry.addresses
    throw entry.failure ?? new Error(`no address of ${name} is known`)
  }

  /** The last good answer, however old; undefined before the first. */
  known(name: string): readonly string[] | undefined {
    const addresses = this.#entries.get(name)?.addresses ?? []
    return addresses.length > 0 ? addresses : undefined
  }

  /** Everything that was asked, for SHOW DNS_HOSTS; `ttlMs` is how long the answer is still good. */
  *[Symbol.iterator](): Generator<{ name: string; ttlMs: number; addresses: readonly string[] }> {
    const { answerMs, failureMs } = this.#options.ttls()
    for (const [name, { addresses, failure, settledMs }] of this.#entries) {
      const lifeMs = failure === null ? answerMs : failureMs
      yield { name, addresses, ttlMs: Math.max(0, settledMs + lifeMs - Date.now()) }
    }
  }

  /** Asks again if the answer is too old; `known` tells what has come of it. */
  refresh(name: string): void {
    const entry = this.#entryOf(name)
    if (this.#isOld(entry, SHORTEST_REFRESH_MS)) this.#ask(name, entry)
  }

  #entryOf(name: string): Entry {
    let entry = this.#entries.get(name)
    if (entry === undefined) {
      entry = { addresses: [], failure: null, settledMs: Number.NEGATIVE_INFINITY, question: null }
      this.#entries.set(name, entry)
    }
    return entry
  }

  #isOld({ failure, settledMs }: Entry, shortestMs: number): boolean {
    const { answerMs, failureMs } = this.#options.ttls()
    return Date.now() - settledMs >= Math.max(shortestMs, failure === null ? answerMs : failureMs)
  }

  #ask(name: string, entry: Entry): void {
    entry.question ??= this.#options.lookup(name).then(
      (addresses) => {
        if (addresses.length > 0) this.#answered(name, entry, addresses)
        else this.#failed(name, entry, new Error(`${name} has no address`))
      },
      (error: unknown) =>
        this.#failed(name, entry, error instanceof Error ? error : new Error(String(error))),
    )
  }

  #answered(name: string, entry: Entry, answer: readonly string[]): void {
    const { log } = this.#options
    this.answers += 1
    const before = entry.addresses
    // DNS servers shuffle their answers: an order that stays makes every address have its turn.
    const kept = before.filter((address) => answer.includes(address))
    entry.addresses = [...new Set([...kept, ...answer])]
    if (before.length > 0 && (kept.length < before.length || entry.addresses.length > kept.length))
      log.info({ host: name, addresses: entry.addresses, before }, 'host name has other addresses')
    if (entry.failure !== null) log.info({ host: name }, 'host name can be looked up again')
    this.#settled(entry, null)
  }

  #failed(name: string, entry: Entry, failure: Error): void {
    this.failures += 1
    if (entry.failure === null)
      this.#options.log.warn(
        { host: name, reason: failure.message, addresses: entry.addresses },
        'host name cannot be looked up',
      )
    this.#settled(entry, failure)
  }

  #settled(entry: Entry, failure: Error | null): void {
    entry.failure = failure
    entry.settledMs = Date.now()
    entry.question = null
  }
}

async function settledWithin(limitMs: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([promise, limit])
  clearTimeout(timer)
}
