import type { PoolerError } from '../errors.ts'

/** Messages may quote what clients sent: beyond this all are counted by their SQLSTATE alone. */
const MAX_MESSAGES = 1000

export interface ErrorCount {
  readonly sqlState: string
  readonly message: string
  readonly count: number
}

/** ErrorCounts: how often clients were told each of the pooler's own errors, since the start. */
export class ErrorCounts {
  readonly #counts = new Map<string, { sqlState: string; message: string; count: number }>()

  note({ sqlState, message }: PoolerError): void {
    const known = this.#counts.get(`${sqlState} ${message}`)
    if (known !== undefined) {
      known.count += 1
      return
    }
    const text = this.#counts.size < MAX_MESSAGES ? message : '(others)'
    const key = `${sqlState} ${text}`
    const entry = this.#counts.get(key) ?? { sqlState, message: text, count: 0 }
    entry.count += 1
    this.#counts.set(key, entry)
  }

  [Symbol.iterator](): IterableIterator<ErrorCount> {
    return this.#counts.values()
  }
}
