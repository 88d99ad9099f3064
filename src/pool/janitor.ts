/** PgBouncer's rhythm: timeouts are kept to a third of a second. */
const TICK_MS = 333

/** Janitor: the one periodic tick of the process. Whoever has deadlines is asked every third of a second. */
export class Janitor {
  readonly #tasks: ((nowMs: number) => void)[] = []
  #timer: NodeJS.Timeout | undefined

  /** Adds a task for every tick from now on. */
  add(task: (nowMs: number) => void): void {
    this.#tasks.push(task)
  }

  start(): void {
    this.#timer = setInterval(() => {
      const nowMs = Date.now()
      for (const task of this.#tasks) task(nowMs)
    }, TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
