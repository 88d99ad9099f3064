/** Conditions: promises for states that will come, looked at whenever their owner says that something has changed. */
export class Conditions {
  readonly #pending = new Set<{ readonly holds: () => boolean; readonly resolve: () => void }>()

  /** Resolves when `holds` is true, at once if it is. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise((resolve) => this.#pending.add({ holds, resolve }))
  }

  check(): void {
    for (const condition of this.#pending) {
      if (!condition.holds()) continue
      this.#pending.delete(condition)
      condition.resolve()
    }
  }
}
