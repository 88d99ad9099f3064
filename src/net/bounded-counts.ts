/** What is counted together once there are too many labels. */
export const OTHER = 'other'

/** BoundedCounts: how often each of a few labels came up; whoever invents more of them gets no more memory. */
export class BoundedCounts {
  readonly #max: number
  readonly #counts = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  note(label: string): void {
    const isKnown = this.#counts.has(label)
    const key = isKnown || this.#counts.size < this.#max ? label : OTHER
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  [Symbol.iterator](): IterableIterator<[string, number]> {
    return this.#counts.entries()
  }
}
