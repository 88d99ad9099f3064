import { PoolerError, SqlState } from '../errors.ts'
import { encodeParse } from '../protocol/extended-query.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'
import { PromotedStatements } from './promoted-statements.ts'

/**
 * StatementRegistry: every named statement of every client, once per (query text, parameter types,
 * environment). It outlives clients and servers for as long as one of them refers to the statement.
 */

/** Names on servers start with this; a client's own name never reaches a server while it is registered. */
export const SERVER_NAME_PREFIX = 'pooler_'

/** All texts that clients have names for; what a text costs in memory is about three times its length. */
const MAX_TEXT_BYTES = 256 * 1024 * 1024

/** One statement as servers know it. */
export class Statement {
  /** The name on every server. */
  readonly name: string
  readonly nameBytes: Buffer
  /** The whole Parse message under that name. */
  readonly parse: Buffer
  readonly key: string
  /** Length of the query text and its parameter types. */
  readonly textBytes: number
  /** Executing it may change session parameters without a tag that says so; null until somebody has looked. */
  setsParameters: boolean | null = null
  /** DEALLOCATE ALL or DISCARD: until it is answered it is not certain which names exist. */
  discards = false
  /** Clients' names and servers' entries that refer to it. */
  references = 0
  /** Those of clients alone. */
  names = 0
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
    this.textBytes = text.length
  }

  /** The query text, for operators. */
  get query(): string {
    const start = HEADER_BYTES + this.nameBytes.length + 1
    return this.parse.toString('utf8', start, this.parse.indexOf(0, start))
  }
}

export class StatementRegistry {
  readonly #statements = new Map<string, Statement>()
  /** Those that stand for unnamed statements. */
  readonly promoted = new PromotedStatements(this)
  #lastId = 0
  /** Statements that servers gave up for others, since the start. */
  evictions = 0
  #bytes = 0

  get size(): number {
    return this.#statements.size
  }

  [Symbol.iterator](): IterableIterator<Statement> {
    return this.#statements.values()
  }

  /**
   * The statement for this text, with one reference more. `text` is a Parse message's body behind the name:
   * the query with its NUL and the parameter types. `environment` is what else decides what the text means
   * (search_path): the same text under two of them is two statements. Throws 53200 when all texts together
   * would take more memory than a pooler should.
   */
  acquire(text: Buffer, environment: string): Statement {
    const key = `${environment}\0${text.toString('latin1')}`
    let statement = this.#statements.get(key)
    if (statement === undefined) {
      this.#lastId += 1
      statement = new Statement(this.#lastId, key, text)
      this.#statements.set(key, statement)
    }
    if (statement.names === 0) {
      if (this.#bytes + text.length > MAX_TEXT_BYTES) {
        if (statement.references === 0) this.#statements.delete(key)
        throw tooManyStatements()
      }
      this.#bytes += text.length
    }
    statement.names += 1
    statement.references += 1
    return statement
  }

  /** Gives back what acquire() gave. */
  releaseName(statement: Statement): void {
    statement.names -= 1
    if (statement.names === 0) this.#bytes -= statement.textBytes
    this.release(statement)
  }

  /** Gives a server's reference back; without any the statement is forgotten. */
  release(statement: Statement): void {
    statement.references -= 1
    if (statement.references === 0) this.#statements.delete(statement.key)
  }
}

function tooManyStatements(): PoolerError {
  return new PoolerError(
    SqlState.OutOfMemory,
    `the prepared statements of all clients together are longer than ${MAX_TEXT_BYTES} bytes`,
    {
      hint: 'Find out which client prepares statements without end: it should use parameters, or close them.',
    },
  )
}
