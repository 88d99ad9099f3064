import { MAX_PAIRS, PairedTrial } from './paired-trial.ts'

/** A shorter window, or one with fewer transactions, says nothing about their rate; it is prolonged, but not beyond. */
const MIN_WINDOW_MS = 250
const MIN_FINISHED = 30
const MAX_WINDOW_MS = 2000
/** A window counts if at most this share of the servers that came back found nobody waiting. */
const MAX_SLACK = 0.5
/** A trial ends after so many windows in a row that do not count. */
const MAX_VOID_WINDOWS = 6
/** Nobody was served for so long, although somebody waits: transactions may be waiting for each other. */
const STALL_MS = 600
/** How long nothing is tried after every candidate was no better; doubled each time. */
const MIN_REST_MS = 10_000
const MAX_REST_MS = 120_000

/** What is tried, as factors of the level, in this order. */
const FACTORS = [1 / 2, 2, 3 / 4, 4 / 3] as const

/**
 * AutoSize: how many servers of a pool may be leased at once, found by measuring (`pool_size = "auto"`). PostgreSQL
 * finishes fewer transactions per second when more of them compete for its processors, locks and caches than these
 * can serve; how many that are depends on the machine and on the transactions, so it is tried out:
 *
 *   level 20 | 20 10 10 20 20 10 ... -> 10 is better: level 10 | 10 5 5 10 ... -> rest -> next trial
 *
 * Only while clients wait, for else the limit does not matter. In doubt it allows more, up to the limit of the pool:
 * when nobody is served any more, and where transactions are too long or too few to be measured. Owned by
 * ActiveServers; time is performance.now() in milliseconds.
 */
export class AutoSize {
  #max: number
  /** The best so far. */
  #level: number
  #trial: PairedTrial | null = null
  #candidate = 0
  /** Windows of the trial that counted; even: the next is the first of its pair. */
  #windows = 0
  #voidWindows = 0
  #firstRate = 0
  /** The next factor to try, and how many in a row were no better. */
  #factor = 0
  #failures = 0
  #restMs = MIN_REST_MS
  #restUntilMs = 0
  /** More than the limit were leased when the window began: it begins anew when they are through. */
  #settling = false
  #sinceMs: number
  #finished = 0
  #slack = 0
  /** What had finished at the last tick, and when anything had. */
  #seen = 0
  #servedAtMs: number
  #note = 'nothing measured yet'
  readonly #now: () => number

  /** `max`: the limit of the pool, finite. It begins with that. */
  constructor(max: number, now = () => performance.now()) {
    this.#max = max
    this.#level = max
    this.#now = now
    this.#sinceMs = now()
    this.#servedAtMs = this.#sinceMs
  }

  /** How many may be leased at once at this moment. */
  get limit(): number {
    return this.#trial !== null && this.#triesCandidate ? this.#candidate : this.#level
  }

  /** The limit beside trials. */
  get level(): number {
    return this.#level
  }

  /** Why that, in words for an operator. */
  get note(): string {
    if (this.#trial === null) return this.#note
    const { pairs, ratio } = this.#trial
    const soFar =
      pairs === 0 ? '' : `: ${Math.round(ratio * 100)} % after ${pairs} of at most ${MAX_PAIRS} pairs`
    return `trying ${this.#candidate}${soFar}`
  }

  /** A reload. */
  set max(max: number) {
    if (max === this.#max) return
    this.#max = max
    this.#level = Math.min(this.#level, max)
    this.#endTrial()
  }

  /** A lease is over; `active` are still going on. */
  leaseEnded(active: number): void {
    this.#finished += 1
    if (this.#settling && active <= this.limit) this.#beginWindow(active)
  }

  /** A server came back and nobody waited for it. */
  noteSlack(): void {
    this.#slack += 1
  }

  /** Nothing can be measured at the moment: the pool is paused. */
  skip(): void {
    this.#beginWindow(0)
  }

  /** Called by the janitor. `waiting`: somebody waits for a server; `active` are leased. */
  tick(waiting: boolean, active: number): void {
    const nowMs = this.#now()
    if (this.#finished > this.#seen || !waiting) this.#servedAtMs = nowMs
    this.#seen = this.#finished
    const elapsedMs = nowMs - this.#sinceMs
    if (nowMs - this.#servedAtMs >= STALL_MS) this.#relent(nowMs, 'nobody was served')
    else if (!this.#settling && this.#finished >= MIN_FINISHED && elapsedMs >= MIN_WINDOW_MS) {
      if (this.#slack <= this.#finished * MAX_SLACK) this.#measured(this.#finished / elapsedMs, nowMs)
      else this.#voidWindow(nowMs)
    } else if (elapsedMs < MAX_WINDOW_MS) return
    else if (waiting) this.#relent(nowMs, 'too few transactions to be measured')
    else this.#voidWindow(nowMs)
    this.#beginWindow(active)
  }

  /** The order base, candidate, candidate, base, ... needs fewest changes, and a trend does not favour one side. */
  get #triesCandidate(): boolean {
    return ((this.#windows + 1) & 2) !== 0
  }

  #beginWindow(active: number): void {
    this.#settling = active > this.limit
    this.#sinceMs = this.#now()
    this.#servedAtMs = this.#sinceMs
    this.#finished = 0
    this.#seen = 0
    this.#slack = 0
  }

  #measured(rate: number, nowMs: number): void {
    this.#voidWindows = 0
    if (this.#trial === null) {
      if (nowMs >= this.#restUntilMs) this.#beginTrial()
      return
    }
    const wasCandidate = this.#triesCandidate
    this.#windows += 1
    if (this.#windows % 2 === 1) {
      this.#firstRate = rate
      return
    }
    const verdict = wasCandidate
      ? this.#trial.add(this.#firstRate, rate)
      : this.#trial.add(rate, this.#firstRate)
    if (verdict === 'better') this.#accept()
    else if (verdict === 'no better') this.#reject(nowMs)
  }

  #beginTrial(): void {
    for (const _ of FACTORS) {
      const candidate = this.#level * (FACTORS[this.#factor] as number)
      this.#candidate = Math.min(
        this.#max,
        candidate < this.#level ? Math.floor(candidate) : Math.ceil(candidate),
      )
      if (this.#candidate >= 1 && this.#candidate !== this.#level) {
        this.#trial = new PairedTrial()
        this.#windows = 0
        return
      }
      this.#nextFactor()
    }
  }

  /** The same direction is tried once more, next. */
  #accept(): void {
    const percent = Math.round(((this.#trial?.ratio ?? 1) - 1) * 100)
    this.#note = `${percent} % more than with ${this.#level}`
    this.#level = this.#candidate
    this.#failures = 0
    this.#restMs = MIN_REST_MS
    this.#endTrial()
  }

  #reject(nowMs: number): void {
    this.#endTrial()
    this.#nextFactor()
    this.#failures += 1
    if (this.#failures < FACTORS.length) return
    this.#failures = 0
    this.#note = 'neither more nor fewer were better'
    this.#restUntilMs = nowMs + this.#restMs
    this.#restMs = Math.min(MAX_REST_MS, this.#restMs * 2)
  }

  /** Nothing can be measured, which is no reason to allow less: a smaller candidate is given up, or the level doubled. */
  #relent(nowMs: number, note: string): void {
    if (this.limit < this.#level) this.#reject(nowMs)
    else {
      this.#level = Math.min(this.#max, this.#level * 2)
      this.#note = note
      this.#endTrial()
      this.#failures = 0
      this.#restMs = MIN_REST_MS
      this.#restUntilMs = nowMs + this.#restMs
    }
  }

  /** Clients did not wait for servers, so the limit did not decide. */
  #voidWindow(nowMs: number): void {
    this.#windows &= ~1
    this.#voidWindows += 1
    if (this.#voidWindows < MAX_VOID_WINDOWS) return
    this.#voidWindows = 0
    if (this.#trial === null) this.#note = 'clients hardly wait'
    else this.#reject(nowMs)
  }

  #nextFactor(): void {
    this.#factor = (this.#factor + 1) % FACTORS.length
  }

  #endTrial(): void {
    this.#trial = null
    this.#windows = 0
    this.#voidWindows = 0
  }
}
