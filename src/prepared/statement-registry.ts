import { encodeParse } from '../protocol/extended-query.ts'

/**
 * StatementRegistry: every named statement of every client, once per (query text, parameter types,
 * environment). It outlives clients and servers for as long as one of them refers to the statement.
 */

/** Names on servers start with this; a client's own name never reaches a server while it is registered. */
export const SERVER_NAME_PREFIX = 'pooler_'

/** One statement as servers know it. */
export class Statement {
  /** The name on every server. */
  readonly name: string
  readonly nameBytes: Buffer
  /** The whole Parse message under that name. */
  readonly parse: Buffer
  readonly key: string
  /** Clients' names and servers' entries that refer to it. */
  references = 0
  /**
   * Raised when a server said that its plan no longer fits the tables; entries of an older epoch are parsed
   * anew before their next use, on every server.
   */
  epoch = 0

  constructor(id: number, key: string, text: Buffer) {
    this.name = `${SERVER_NAME_PREFIX}${id.toString(36)}`
    this.nameBytes = Buffer.from(this.name, 'latin1')
    this.parse = encodeParse(this.name, text)
    this.key = key
  }
}

export class StatementRegistry {
  readonly #statements = new Map<string, Statement>()
  #lastId = 0

  get size(): number {
    return this.#statements.size
  }

  /**
   * The statement for this text, with one reference more. `text` is a Parse message's body behind the name:
   * the query with its NUL and the parameter types. `environment` is what else decides what the text means
   * (search_path): the same text under two of them is two statements.
   */
  acquire(text: Buffer, environment: string): Statement {
    const key = `${environment}\0${text.toString('latin1')}`
    let statement = this.#statements.get(key)
    if (statement === undefined) {
      this.#lastId += 1
      statement = new Statement(this.#lastId, key, text)
      this.#statements.set(key, statement)
    }
    statement.references += 1
    return statement
  }

  /** Gives one reference back; without any the statement is forgotten. */
  release(statement: Statement): void {
    statement.references -= 1
    if (statement.references === 0) this.#statements.delete(statement.key)
  }
}
