import { PoolerError, SqlState } from '../errors.ts'
import { PromotedStatements } from './promoted-statements.ts'
import { Statement } from './statement.ts'

/**
 * StatementRegistry: every named statement of every client, once per (query text, parameter types,
 * environment). It outlives clients and servers for as long as one of them refers to the statement.
 */

/** All texts that clients have names for; what a text costs in memory is about three times its length. */
const MAX_TEXT_BYTES = 256 * 1024 * 1024

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
