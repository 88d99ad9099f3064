/** Resets: which parameters of a session RESET has taken to the server's defaults since startup values were applied. */
export class Resets {
  /** Something was reset. */
  seen = false
  /** What, in lower case; null = all of them, or it is not known. */
  #names: Set<string> | null = null

  /** A RESET was executed: of one parameter, or of all, or of an unknown one (null). */
  note(name: string | null): void {
    if (name === null) this.#names = null
    else if (!this.seen) this.#names = new Set([name])
    else this.#names?.add(name)
    this.seen = true
  }

  /** Whether this parameter may have been reset. */
  cover(name: string): boolean {
    return this.seen && (this.#names === null || this.#names.has(name.toLowerCase()))
  }

  clear(): void {
    this.seen = false
    this.#names = null
  }
}
