import { LRUCache } from 'lru-cache'
import type { Statement } from './statement.ts'
import type { StatementRegistry } from './statement-registry.ts'

/** A statement that one server has, or will have when the Parse on its way succeeds. */
export class ServerStatement {
  readonly statement: Statement
  /** The statement's epoch when its Parse was sent. */
  readonly epoch: number
  /** The Parse is on its way. */
  outstanding = false
  /** The batch of its Parse. */
  batch = 0
  /** The batch of its Close, once it is evicted. */
  closeBatch = 0
  /** Its Parse was not carried out after all. */
  lost = false

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
  readonly #max: number
  readonly #entries: LRUCache<string, ServerStatement>
  #evicted: ServerStatement[] = []
  /** The entry found last, which is the most recently used already; forgotten with every change. */
  #last: ServerStatement | null = null
  /** A Close is on its way for these; an error before it would leave them where they are. */
  readonly #leaving = new Map<string, ServerStatement>()
  /** Left over by such an error when their place had been taken: on the server, but one too many. */
  readonly #strays = new Map<string, ServerStatement>()

  /** `max` is max_prepared_statements, at least 1. */
  constructor(registry: StatementRegistry, max: number) {
    this.#registry = registry
    this.#max = max
    this.#entries = new LRUCache({
      max,
      maxSize: MAX_TEXT_BYTES,
      sizeCalculation: (entry) => Math.max(1, entry.statement.textBytes),
      dispose: (entry, _name, reason) => {
        if (reason !== 'evict') return
        registry.evictions += 1
        this.#evicted.push(entry)
      },
    })
  }

  get size(): number {
    return this.#entries.size + this.#strays.size
  }

  /** The server's entry, which becomes the most recently used. */
  find(statement: Statement): ServerStatement | undefined {
    if (this.#last?.statement === statement) return this.#last
    const entry = this.#entries.get(statement.name)
    this.#last = entry ?? null
    return entry ?? this.#strays.get(statement.name)
  }

  /**
   * True while it is open whether the server has the statement: a Parse or Close of it, sent in another
   * batch than `batch`, has not been answered. Or whether it has another one, which would be closed to make room:
   * if the Parse of that fails and the Close fails too, nobody could say any more what is there.
   */
  isUnsettled(statement: Statement, batch: number): boolean {
    const leaving = this.#leaving.get(statement.name)
    if (leaving !== undefined && leaving.closeBatch !== batch) return true
    const entry = this.#entries.peek(statement.name)
    return entry === undefined ? this.#evictsUnsettled(statement, batch) : isUnsettled(entry, batch)
  }

  /** Notes that a Parse is being sent. `takeEvicted` then tells what has to be closed for it. */
  add(statement: Statement, batch: number): ServerStatement {
    const entry = new ServerStatement(statement)
    entry.outstanding = true
    entry.batch = batch
    statement.references += 1
    this.#last = null
    this.#entries.set(statement.name, entry)
    return entry
  }

  /** Entries for which a Close must be sent now, in `batch`; `forget` or `restore` follows for each. */
  takeEvicted(batch: number): readonly ServerStatement[] {
    if (this.#evicted.length === 0 && this.#strays.size === 0) return NONE
    const evicted = [...this.#evicted, ...this.#strays.values()]
    this.#evicted = []
    this.#strays.clear()
    for (const entry of evicted) this.#leave(entry, batch)
    return evicted
  }

  /** Takes out an entry for which a Close is being sent; `forget` or `restore` follows. */
  evict(entry: ServerStatement, batch: number): void {
    this.#last = null
    const { name } = entry.statement
    if (this.#entries.peek(name) === entry) this.#entries.delete(name)
    if (this.#strays.get(name) === entry) this.#strays.delete(name)
    this.#leave(entry, batch)
  }

  /** The Close of an evicted statement is final. */
  forget(entry: ServerStatement): void {
    this.#arrive(entry)
    this.#registry.release(entry.statement)
  }

  /** The Close of an evicted statement was never carried out: the server still has it, if it ever did. */
  restore(entry: ServerStatement): void {
    this.#last = null
    const { name } = entry.statement
    this.#arrive(entry)
    if (entry.lost || this.find(entry.statement) !== undefined) this.#registry.release(entry.statement)
    else if (this.#entries.size < this.#max) this.#entries.set(name, entry)
    else this.#strays.set(name, entry)
    // Its length may have pushed others out, which the server has all the same.
    for (const other of this.#evicted.splice(0)) this.#strays.set(other.statement.name, other)
  }

  /** The Parse of this entry was refused or never carried out. */
  undo(entry: ServerStatement): void {
    entry.outstanding = false
    entry.lost = true
    this.#drop(entry)
  }

  /** The server says that it does not have the statement. */
  remove(statement: Statement): void {
    const entry = this.#entries.peek(statement.name) ?? this.#strays.get(statement.name)
    if (entry !== undefined) this.#drop(entry)
  }

  /** DEALLOCATE ALL succeeded on the server: everything goes but what was sent after it. */
  clearSettled(): void {
    for (const entry of [...this.#entries.values(), ...this.#strays.values()]) {
      if (!entry.outstanding) this.#drop(entry)
    }
  }

  /** The server is gone. */
  clear(): void {
    for (const entry of [...this.#entries.values(), ...this.#strays.values()]) this.#drop(entry)
    this.#evicted = []
  }

  /** Takes an entry out of the books, unless it is on its way out already. */
  #drop(entry: ServerStatement): void {
    this.#last = null
    const { name } = entry.statement
    if (this.#entries.peek(name) === entry) this.#entries.delete(name)
    else if (this.#strays.get(name) === entry) this.#strays.delete(name)
    else return
    this.#registry.release(entry.statement)
  }

  /** Would preparing the statement close one that may not be there? */
  #evictsUnsettled(statement: Statement, batch: number): boolean {
    for (const stray of this.#strays.values()) if (isUnsettled(stray, batch)) return true
    if (this.#entries.calculatedSize + statement.textBytes > MAX_TEXT_BYTES) {
      for (const entry of this.#entries.values()) if (isUnsettled(entry, batch)) return true
    } else if (this.#entries.size >= this.#max) {
      const [leastRecent] = this.#entries.rvalues()
      return leastRecent !== undefined && isUnsettled(leastRecent, batch)
    }
    return false
  }

  #leave(entry: ServerStatement, batch: number): void {
    entry.closeBatch = batch
    this.#leaving.set(entry.statement.name, entry)
  }

  #arrive(entry: ServerStatement): void {
    if (this.#leaving.get(entry.statement.name) === entry) this.#leaving.delete(entry.statement.name)
  }
}

/** Is its Parse on its way, sent in another batch? */
function isUnsettled(entry: ServerStatement, batch: number): boolean {
  return entry.outstanding && entry.batch !== batch
}

const NONE: readonly ServerStatement[] = []
