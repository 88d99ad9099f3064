/** ReloadRecord: how the reloads of the configuration have gone, for /metrics. */
export class ReloadRecord {
  succeeded = 0
  failed = 0
  /** The last one; true before the first. */
  lastSucceeded = true
  /** When the configuration that is in effect was read. */
  loadedAtMs = Date.now()

  /** Notes how `reload` ends. */
  watch(reload: Promise<unknown>): void {
    reload.then(
      () => {
        this.succeeded += 1
        this.lastSucceeded = true
        this.loadedAtMs = Date.now()
      },
      () => {
        this.failed += 1
        this.lastSucceeded = false
      },
    )
  }
}
