import { LRUCache } from 'lru-cache'
import type { Statement, StatementRegistry } from './statement-registry.ts'

/** A statement that one server has, or will have when the Parse on its way succeeds. */
export class ServerStatement {
  readonly statement: Statement
  /** The statement's epoch when its Parse was sent. */
  readonly epoch: number
  /** The Parse is on its way; and the batch it belongs to. */
  outstanding = false
  batch = 0

  constructor(statement: Statement) {
    this.statement = statement
    this.epoch = statement.epoch
  }
}

/** Texts of one server; more than the longest statement that a client may prepare. */
const MAX_TEXT_BYTES = 17 * 1024 * 1024

/**
 * ServerStatements: what one server connection has prepared, least recently used first out. Owned by the
 * ServerConnection. It only keeps the books; the Close for an evicted statement is sent by its caller.
 */
export class ServerStatements {
  readonly #registry: StatementRegistry
  readonly #entries: LRUCache<string, ServerStatement>
  #evicted: ServerStatement[] = []

  /** `max` is max_prepared_statements, at least 1. */
  constructor(registry: StatementRegistry, max: number) {
    this.#registry = registry
    this.#entries = new LRUCache({
      max,
      maxSize: MAX_TEXT_BYTES,
      sizeCalculation: (entry) => Math.max(1, entry.statement.textBytes),
      dispose: (entry, _name, reason) => {
        if (reason === 'evict') this.#evicted.push(entry)
      },
    })
  }

  get size(): number {
    return this.#entries.size
  }

  /** The server's entry, which becomes the most recently used. */
  find(statement: Statement): ServerStatement | undefined {
    return this.#entries.get(statement.name)
  }

  /** Notes that a Parse is on its way. Returns the entries pushed out by it: they must be closed. */
  add(statement: Statement, batch: number): readonly ServerStatement[] {
    const entry = new ServerStatement(statement)
    entry.outstanding = true
    entry.batch = batch
    statement.references += 1
    this.#entries.set(statement.name, entry)
    if (this.#evicted.length === 0) return NONE
    const evicted = this.#evicted
    this.#evicted = []
    return evicted
  }

  /** ParseComplete arrived for the statement. */
  settle(statement: Statement): void {
    const entry = this.#entries.peek(statement.name)
    if (entry !== undefined) entry.outstanding = false
  }

  /** Takes out an entry for which a Close is being sent; `forget` or `restore` follows. */
  evict(entry: ServerStatement): void {
    this.#entries.delete(entry.statement.name)
  }

  /** The server does not have the statement: its Parse failed, or it was lost. */
  remove(statement: Statement): void {
    if (this.#entries.delete(statement.name)) this.#registry.release(statement)
  }

  /** The Close of an evicted statement was never carried out: the server still has it. */
  restore(entry: ServerStatement): void {
    if (this.#entries.peek(entry.statement.name) !== undefined) {
      this.#registry.release(entry.statement)
      return
    }
    this.#entries.set(entry.statement.name, entry)
    // The cache may now push out another entry, which the server keeps although nobody knows of it.
    for (const lost of this.#evicted.splice(0)) this.#registry.release(lost.statement)
  }

  /** The Close of an evicted statement is final. */
  forget(entry: ServerStatement): void {
    this.#registry.release(entry.statement)
  }

  /** DEALLOCATE ALL succeeded on the server: everything goes but what was sent after it. */
  clearSettled(): void {
    for (const entry of [...this.#entries.values()]) if (!entry.outstanding) this.remove(entry.statement)
  }

  /** The server is gone. */
  clear(): void {
    for (const entry of this.#entries.values()) this.#registry.release(entry.statement)
    this.#entries.clear()
    this.#evicted = []
  }
}

const NONE: readonly ServerStatement[] = []
