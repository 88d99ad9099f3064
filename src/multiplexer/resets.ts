/**
 * Resets: which parameters of a session RESET, SET ... TO DEFAULT or DISCARD ALL has taken to the server's defaults since
 * startup values were applied. Names are in lower case; 'all' is none's and stands for all of them.
 */
export class Resets {
  /** One that takes startup values away is on its way: until it is answered and these are back the client waits. */
  expected = false
  /** Something was reset. */
  seen = false
  readonly #names = new Set<string>()

  get some(): boolean {
    return this.expected || this.seen
  }

  /** One is being sent. */
  expect(name: string, startupParameters: ReadonlyMap<string, string>): void {
    for (const startup of startupParameters.keys())
      if (name === 'all' || startup.toLowerCase() === name) this.expected = true
  }

  /** One was executed. */
  note(name: string): void {
    this.#names.add(name)
    this.seen = true
  }

  /** Whether this parameter may have been reset. */
  cover(name: string): boolean {
    return this.seen && (this.#names.has('all') || this.#names.has(name.toLowerCase()))
  }

  clear(): void {
    this.seen = false
    this.#names.clear()
  }
}
