import { PoolerError, SqlState } from '../errors.ts'
import type { Statement } from './statement.ts'
import type { StatementRegistry } from './statement-registry.ts'

/** Far more than any driver keeps; a client that never closes its statements must not fill the memory. */
const MAX_NAMES = 50_000
const MAX_TEXT_BYTES = 32 * 1024 * 1024

/** A name that one client gave to a statement. */
export class ClientStatement {
  readonly name: string
  readonly nameBytes: Buffer
  readonly statement: Statement
  /** Close was sent for it; the name is free, but an error in the same batch brings it back. */
  closed = false
  /** Replies to Parse or Close of this name that are still owed, and the batch they belong to. */
  outstanding = 0
  batch = 0
  /** The client has asked for its columns, and may go by what it was told. */
  described = false
  /** Its reference to the statement has been given back. */
  released = false

  constructor(name: string, nameBytes: Buffer, statement: Statement) {
    this.name = name
    this.nameBytes = nameBytes
    this.statement = statement
  }
}

/**
 * ClientStatements: one client's names for its prepared statements. Owned by the client's session; a name
 * takes effect when its message is handled and is taken back if the server never got to it.
 */
export class ClientStatements {
  readonly #registry: StatementRegistry
  readonly #byName = new Map<string, ClientStatement>()
  #cleared = false
  #textBytes = 0
  /** The entry found last: most clients use one statement many times. */
  #last: ClientStatement | null = null

  constructor(registry: StatementRegistry) {
    this.#registry = registry
  }

  /** How many names are in use. */
  get size(): number {
    let size = 0
    for (const entry of this.#byName.values()) if (!entry.closed) size += 1
    return size
  }

  /** The entry with the name at `buffer[start, end)`, closed or not. */
  find(buffer: Buffer, start: number, end: number): ClientStatement | undefined {
    const last = this.#last
    if (last !== null && sameBytes(last.nameBytes, buffer, start, end)) return last
    const found = this.#byName.get(buffer.toString('latin1', start, end))
    if (found !== undefined) this.#last = found
    return found
  }

  get(name: string): ClientStatement | undefined {
    return this.#byName.get(name)
  }

  /**
   * Binds a name; a closed entry of that name is replaced. Takes over one reference to `statement`. Throws
   * 54000 when the client has too many names.
   */
  add(nameBytes: Buffer, statement: Statement): ClientStatement {
    if (this.#byName.size >= MAX_NAMES || this.#textBytes + statement.textBytes > MAX_TEXT_BYTES) {
      this.#registry.releaseName(statement)
      throw new PoolerError(
        SqlState.ProgramLimitExceeded,
        `a client cannot have more than ${MAX_NAMES} prepared statements, or ${MAX_TEXT_BYTES} bytes of them`,
        { hint: 'Close statements that are not needed any more.' },
      )
    }
    this.#textBytes += statement.textBytes
    const name = nameBytes.toString('latin1')
    const entry = new ClientStatement(name, nameBytes, statement)
    this.#byName.set(name, entry)
    this.#last = null
    return entry
  }

  /** The name's Close, or the undoing of its Parse, is final. */
  remove(entry: ClientStatement): void {
    if (this.#byName.get(entry.name) === entry) this.#byName.delete(entry.name)
    if (this.#last === entry) this.#last = null
    this.#release(entry)
  }

  /** A Close of this entry was never carried out. */
  restore(entry: ClientStatement): void {
    if (this.#cleared) {
      this.#release(entry)
      return
    }
    entry.closed = false
    this.#byName.set(entry.name, entry)
    this.#last = null
  }

  /** DEALLOCATE ALL succeeded: every name goes but those whose own message is still on its way. */
  clearSettled(): void {
    for (const entry of [...this.#byName.values()]) if (entry.outstanding === 0) this.remove(entry)
  }

  /** The client is gone. */
  clear(): void {
    this.#cleared = true
    for (const entry of this.#byName.values()) this.#release(entry)
    this.#byName.clear()
    this.#last = null
  }

  /** Gives the entry's reference back, once: replies to its messages may still come after clear(). */
  #release(entry: ClientStatement): void {
    if (entry.released) return
    entry.released = true
    this.#textBytes -= entry.statement.textBytes
    this.#registry.releaseName(entry.statement)
  }
}

function sameBytes(name: Buffer, buffer: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false
  for (let i = 0; i < name.length; i++) if (name[i] !== buffer[start + i]) return false
  return true
}
