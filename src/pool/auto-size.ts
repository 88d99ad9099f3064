import { PairedTrial } from './paired-trial.ts'

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

const NOTHING_KNOWN = 'nothing measured yet'

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
  /** What was no better than the level, or the level before. */
  readonly #tried = new Set<number>()
  /** Windows of the trial that counted; even: the next is the first of its pair. */
  #windows = 0
  #voidWindows = 0
  #firstRate = 0
  #restMs = MIN_REST_MS
  #restUntilMs = 0
  /** The limit of the window before this. */
  #before: number
  /**
   * Leases that end before the window begins. Those from before another limit are in step with each other: they would
   * all end in it, or none.
   */
  #toSkip = 0
  /** More than the limit were leased, or some have to be skipped: the window begins when they are through. */
  #settling = false
  #sinceMs: number
  #finished = 0
  #slack = 0
  /** The most servers that were leased at once in the window. */
  #most = 0
  /** What had finished at the last tick, and when anything had. */
  #seen = 0
  #servedAtMs: number
  #note = NOTHING_KNOWN
  readonly #now: () => number

  /** `max`: the limit of the pool, finite. It begins with that. */
  constructor(max: number, now = () => performance.now()) {
    this.#max = max
    this.#level = max
    this.#before = max
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
    const soFar = pairs === 0 ? '' : `: ${Math.round(ratio * 100)} % in ${pairs} of 5 or more pairs`
    return `trying ${this.#candidate}${soFar}`
  }

  /** A reload. What was found stands as far as it can; a level that was nothing but the limit goes with it. */
  set max(max: number) {
    if (max === this.#max) return
    const level = this.#level === this.#max ? max : Math.min(this.#level, max)
    if (level !== this.#level) this.#note = NOTHING_KNOWN
    this.#max = max
    this.#moveTo(level, 0)
    this.#tried.clear()
  }

  /** A lease is over; `active` are still going on. */
  leaseEnded(active: number): void {
    if (this.#settling) {
      this.#toSkip -= 1
      if (this.#toSkip <= 0 && this.#fits(active)) this.#beginCounting(active)
    } else {
      this.#finished += 1
      if (active >= this.#most) this.#most = active + 1
    }
  }

  /** A server came back and nobody waited for it. */
  noteSlack(): void {
    this.#slack += 1
  }

  /** Nothing can be measured at the moment: the pool is paused, or has no connection. */
  skip(): void {
    this.#beginWindow(0)
  }

  /** Called by the janitor. `waiting`: somebody waits for a server; `active` are leased. */
  tick(waiting: boolean, active: number): void {
    const nowMs = this.#now()
    if (this.#progress !== this.#seen || !waiting) this.#servedAtMs = nowMs
    this.#seen = this.#progress
    const elapsedMs = nowMs - this.#sinceMs
    const isEnough = !this.#settling && this.#finished >= MIN_FINISHED && elapsedMs >= MIN_WINDOW_MS
    if (nowMs - this.#servedAtMs >= STALL_MS) this.#relent(nowMs, 'nobody was served')
    else if (isEnough && this.#slack <= this.#finished * MAX_SLACK)
      this.#measured(this.#finished / elapsedMs, nowMs)
    else if (isEnough || !waiting) this.#voidWindow()
    else if (elapsedMs >= MAX_WINDOW_MS) this.#relent(nowMs, 'too few transactions to be measured')
    else return
    this.#beginWindow(active)
  }

  /** Changes with every lease that ends. */
  get #progress(): number {
    return this.#finished - this.#toSkip
  }

  /** The order base, candidate, candidate, base, ... needs fewest changes, and a trend does not favour one side. */
  get #triesCandidate(): boolean {
    return ((this.#windows + 1) & 2) !== 0
  }

  /** At the limit of the pool there may be more, from its reserve. */
  #fits(active: number): boolean {
    return active <= this.limit || this.limit === this.#max
  }

  #beginWindow(active: number): void {
    const { limit } = this
    this.#toSkip = limit === this.#before ? 0 : Math.max(limit, this.#before)
    this.#before = limit
    this.#beginCounting(active)
    this.#settling = this.#toSkip > 0 || !this.#fits(active)
  }

  #beginCounting(active: number): void {
    this.#settling = false
    this.#sinceMs = this.#now()
    this.#servedAtMs = this.#sinceMs
    this.#finished = 0
    this.#most = active
    this.#slack = 0
    this.#seen = this.#progress
  }

  #measured(rate: number, nowMs: number): void {
    this.#voidWindows = 0
    if (this.#trial === null) {
      if (nowMs >= this.#restUntilMs) this.#beginTrial(nowMs)
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
    if (verdict === 'better') {
      this.#note = `${Math.round((this.#trial.ratio - 1) * 100)} % more than with ${this.#level}`
      this.#moveTo(this.#candidate, 0)
    } else if (verdict === 'no better') this.#reject()
  }

  /** The next candidate; behind the last one a rest. */
  #beginTrial(nowMs: number): void {
    const candidate = this.#candidates().find((each) => !this.#tried.has(each))
    if (candidate === undefined) {
      this.#tried.clear()
      this.#note = 'neither more nor fewer were better'
      this.#restUntilMs = nowMs + this.#restMs
      this.#restMs = Math.min(MAX_REST_MS, this.#restMs * 2)
      return
    }
    this.#candidate = candidate
    this.#trial = new PairedTrial()
    this.#windows = 0
  }

  /** Half, twice, a quarter less, a third more. Where other limits allow fewer than the level, only less makes a difference. */
  #candidates(): number[] {
    const level = this.#level
    const reached = Math.min(level, this.#most)
    const fewer = [Math.floor(reached / 2), reached - Math.max(1, Math.floor(reached / 4))]
    const more = reached < level ? [] : [level * 2, level + Math.max(1, Math.floor(level / 3))]
    return [fewer[0], more[0], fewer[1], more[1]]
      .map((candidate = 0) => Math.min(candidate, this.#max))
      .filter((candidate) => candidate >= 1 && candidate !== level)
  }

  #reject(): void {
    this.#tried.add(this.#candidate)
    this.#endTrial()
  }

  /** Nothing is known about the neighbours of another level but that the one before was worse. */
  #moveTo(level: number, restUntilMs: number): void {
    this.#tried.clear()
    this.#tried.add(this.#level)
    this.#level = level
    this.#restMs = MIN_REST_MS
    this.#restUntilMs = restUntilMs
    this.#endTrial()
  }

  /** Nothing can be measured, which is no reason to allow less: a smaller candidate is given up, or the level doubled. */
  #relent(nowMs: number, note: string): void {
    if (this.limit < this.#level) {
      this.#reject()
      return
    }
    this.#note = note
    this.#moveTo(Math.min(this.#max, this.#level * 2), nowMs + MIN_REST_MS)
  }

  /** Clients hardly waited for servers, so the limit did not decide. */
  #voidWindow(): void {
    this.#windows &= ~1
    this.#voidWindows += 1
    if (this.#voidWindows < MAX_VOID_WINDOWS) return
    this.#voidWindows = 0
    if (this.#trial === null) this.#note = 'clients hardly wait'
    else this.#reject()
  }

  #endTrial(): void {
    this.#trial = null
    this.#windows = 0
    this.#voidWindows = 0
  }
}
