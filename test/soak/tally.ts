/** What the report shows of a problem; the first ones tell the most. */
const MAX_PROBLEMS = 50

/** Tally: everything that is counted during a soak, and everything that was wrong. */
export class Tally {
  readonly work = new Map<string, number>()
  readonly disturbances = new Map<string, number>()
  /** How connections of clients ended that they did not end themselves: by SQLSTATE, or without a word. */
  readonly losses = new Map<string, number>()
  readonly problems: string[] = []
  problemCount = 0
  connections = 0
  longestWaitMs = 0

  /** Units of work that were done and answered rightly. */
  get done(): number {
    return [...this.work.values()].reduce((sum, count) => sum + count, 0)
  }

  count(counts: Map<string, number>, name: string): void {
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }

  problem(text: string): void {
    this.problemCount += 1
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text)
  }

  waited(ms: number): void {
    this.longestWaitMs = Math.max(this.longestWaitMs, ms)
  }
}
