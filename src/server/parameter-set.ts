/** So many different startup parameters of one pool are remembered. */
const MAX_SHARED = 256

/**
 * ParameterSet: the session parameters (GUCs) of one client or server, by lower-case name. Immutable and
 * shared: a thousand clients with the same values hold one set, and comparing two is mostly comparing two
 * pointers. Owned by nobody; ClientConnection and ServerConnection each point to their current one.
 */
export class ParameterSet {
  static readonly empty = new ParameterSet(new Map())

  readonly values: ReadonlyMap<string, string>
  /** Equal sets have equal keys. */
  readonly #key: string
  #meaning: string | null = null
  readonly #shared = new Map<string, ParameterSet>()

  private constructor(values: ReadonlyMap<string, string>) {
    this.values = values
    this.#key = JSON.stringify([...values].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  get(name: string): string | undefined {
    return this.values.get(name)
  }

  /** What decides how the text of a statement is understood: everything but the application's name. */
  get meaning(): string {
    this.#meaning ??= JSON.stringify(
      [...this.values].filter(([name]) => name !== 'application_name').sort(([a], [b]) => (a < b ? -1 : 1)),
    )
    return this.#meaning
  }

  equals(other: ParameterSet): boolean {
    return this === other || this.#key === other.#key
  }

  /** This set with one value changed. */
  with(name: string, value: string): ParameterSet {
    if (this.values.get(name) === value) return this
    return new ParameterSet(new Map(this.values).set(name, value))
  }

  without(name: string): ParameterSet {
    if (!this.values.has(name)) return this
    const values = new Map(this.values)
    values.delete(name)
    return new ParameterSet(values)
  }

  /** This set with all of the other's values over it. */
  withAll(others: ReadonlyMap<string, string>): ParameterSet {
    if (others.size === 0) return this
    return new ParameterSet(new Map([...this.values, ...others]))
  }

  /** The same, but one set for all who ask for the same: for the many clients of one kind that log in. */
  sharedWith(others: ReadonlyMap<string, string>): ParameterSet {
    if (others.size === 0) return this
    const key = JSON.stringify([...others])
    let shared = this.#shared.get(key)
    if (shared === undefined) {
      shared = this.withAll(others)
      if (this.#shared.size >= MAX_SHARED) this.#shared.clear()
      this.#shared.set(key, shared)
    }
    return shared
  }
}
