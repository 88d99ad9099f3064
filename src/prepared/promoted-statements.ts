import { LRUCache } from 'lru-cache'
import { PoolerError } from '../errors.ts'
import { isPlannable } from './plannable-text.ts'
import type { Statement } from './statement.ts'

/** Longer texts are parsed by the server each time; also what one fingerprint costs to compute. */
const MAX_TEXT_BYTES = 8 * 1024
const MAX_STATEMENTS = 2000
const MAX_TOTAL_BYTES = 8 * 1024 * 1024
/** Texts seen once. A client that writes its values into its texts pushes out these and nothing else. */
const MAX_FINGERPRINTS = 20_000
/**
 * Parsed anew when it is older: what changes past the pooler, or hidden in a function, is noticed so late at most where
 * PostgreSQL itself does not say so (it keeps the types it has inferred for parameters). A busy text loses nothing by it.
 */
const MAX_AGE_MS = 2000

/** In front of what else decides the meaning of a text, in the keys of the registry. */
const ENVIRONMENT = 'unnamed\0'

/** What a StatementRegistry does for this. */
interface StatementSource {
  acquire(text: Buffer, environment: string): Statement
  releaseName(statement: Statement): void
}

/** A registry statement that stands for the unnamed statements of its text. */
export class PromotedStatement {
  readonly statement: Statement
  /** What `PromotedStatements.generation` was when it was known to fit the tables. */
  generation: number
  /** When it was last parsed anew, or for the first time. */
  sinceMs: number
  /** It has been evicted and must not be used any more. */
  retired = false

  constructor(statement: Statement, generation: number, sinceMs: number) {
    this.statement = statement
    this.generation = generation
    this.sinceMs = sinceMs
  }
}

/**
 * PromotedStatements: the texts of unnamed statements that are worth preparing (prepare_unnamed), those seen
 * at least twice. One per process. Registry statements of its own: what a client has named is never shared
 * with what it has not, because only the latter may be parsed anew whenever tables change.
 */
export class PromotedStatements {
  readonly #registry: StatementSource
  readonly #promoted: LRUCache<string, PromotedStatement>
  readonly #seen = new LRUCache<number, true>({ max: MAX_FINGERPRINTS })
  /** Raised with every change of the schema that passes the pooler. */
  generation = 0
  /** Texts promoted, unnamed Parse messages that no server was sent for it, and texts given up; since the start. */
  promotions = 0
  reuses = 0
  evictions = 0
  /** Times that a server was sent one anew that it had, and batches repeated with the client's own Parse. */
  replans = 0
  repeats = 0

  constructor(registry: StatementSource) {
    this.#registry = registry
    this.#promoted = new LRUCache({
      max: MAX_STATEMENTS,
      maxSize: MAX_TOTAL_BYTES,
      sizeCalculation: (one) => one.statement.textBytes,
      dispose: (one, _key, reason) => {
        if (reason === 'evict') this.evictions += 1
        one.retired = true
        registry.releaseName(one.statement)
      },
    })
  }

  get size(): number {
    return this.#promoted.size
  }

  /** False as long as no text was looked up: nobody needs to know what changes. */
  get inUse(): boolean {
    return this.#seen.size > 0
  }

  /**
   * The statement for the text at `buffer[start, end)`, a Parse message's body behind the name; null at its
   * first sight, and for texts that are not prepared. `meaning` as for StatementRegistry.acquire().
   */
  find(buffer: Buffer, start: number, end: number, meaning: string, nowMs: number): PromotedStatement | null {
    if (end - start > MAX_TEXT_BYTES) return null
    const text = buffer.toString('latin1', start, end)
    const key = `${meaning}\0${text}`
    const known = this.#promoted.get(key)
    if (known !== undefined) return known
    const print = fingerprint(key)
    if (!this.#seen.has(print)) {
      this.#seen.set(print, true)
      return null
    }
    if (!isPlannable(text)) return null
    return this.#promote(key, Buffer.from(buffer.subarray(start, end)), meaning, nowMs)
  }

  /** False if it has been evicted; true has also made sure that it is parsed anew if the schema has, or may have, changed. */
  isUsable(one: PromotedStatement, nowMs: number): boolean {
    if (one.retired) return false
    if (one.generation !== this.generation || nowMs - one.sinceMs > MAX_AGE_MS) {
      one.generation = this.generation
      one.sinceMs = nowMs
      one.statement.epoch += 1
    }
    return true
  }

  /** At the end of the process. */
  clear(): void {
    this.#promoted.clear()
    this.#seen.clear()
  }

  /** For operators: whether this statement of the registry stands for unnamed ones. */
  has(statement: Statement): boolean {
    return statement.key.startsWith(ENVIRONMENT)
  }

  #promote(key: string, text: Buffer, meaning: string, nowMs: number): PromotedStatement | null {
    let statement: Statement
    try {
      statement = this.#registry.acquire(text, `${ENVIRONMENT}${meaning}`)
    } catch (error) {
      // The memory for texts is used up: the server parses it each time, as without this.
      if (error instanceof PoolerError) return null
      throw error
    }
    const one = new PromotedStatement(statement, this.generation, nowMs)
    this.#promoted.set(key, one)
    this.promotions += 1
    return one
  }
}

/** FNV-1a, 32 bits: two texts that share one are promoted a sight too early, no more. */
function fingerprint(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return hash
}
