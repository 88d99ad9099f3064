/**
 * Ledger: the ids that clients have sent in INSERTs, those whose COMMIT was acknowledged to them, and those whose
 * transaction cannot have been committed. After any trouble the table must hold each acknowledged one exactly once,
 * none that was never sent and none that was rejected; of the others nobody knows. Used by the ledger test and the soak; shared by all clients of one table.
 */
export class Ledger {
  readonly #sent = new Set<number>()
  readonly #acknowledged = new Set<number>()
  readonly #rejected = new Set<number>()

  get sent(): number {
    return this.#sent.size
  }

  get acknowledged(): number {
    return this.#acknowledged.size
  }

  /** The id of a new entry, which counts as sent from now on. */
  next(): number {
    const id = this.#sent.size + 1
    this.#sent.add(id)
    return id
  }

  acknowledge(...ids: readonly number[]): void {
    for (const id of ids) this.#acknowledged.add(id)
  }

  /** Rolled back, or never asked to be committed. */
  reject(...ids: readonly number[]): void {
    for (const id of ids) this.#rejected.add(id)
  }

  /** What is wrong with a table that holds these ids; empty = nothing. */
  problems(ids: readonly number[]): string[] {
    const found = new Map<number, number>()
    for (const id of ids) found.set(id, (found.get(id) ?? 0) + 1)
    const problems: string[] = []
    for (const id of this.#acknowledged)
      if (!found.has(id)) problems.push(`${id} was acknowledged and is lost`)
    for (const [id, count] of found) {
      if (!this.#sent.has(id)) problems.push(`${id} was never sent`)
      if (this.#rejected.has(id)) problems.push(`${id} was not committed and is there`)
      if (count > 1) problems.push(`${id} is there ${count} times`)
    }
    return problems
  }
}
