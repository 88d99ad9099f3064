import { PairedTrial } from './paired-trial.ts'
import { RateWindow } from './rate-window.ts'
import { TrialSide } from './trial-side.ts'

/**
 * How long one limit has its turn, if transactions are short enough. The shorter, the less changes in between; but long
 * transactions among short ones are seen by longer turns only, so these have theirs after each round of trials in vain.
 */
const TURNS_MS = [40, 160, 640]
/** Turns are added up until they have taken so long together: that is one pair of rates. */
const MIN_PERIOD_MS = 500
/** A turn that is so old, and twice as old as turns are to get, does not count when nobody waits. */
const IDLE_MS = 250
/** A trial outlasts pauses of the load, but not longer ones. */
const MAX_PAUSE_MS = 60_000
/** A turn that is so old is over; with too few transactions it says nothing. */
const MAX_TURN_MS = 2000
/** A period counts if at most this share of the servers that came back found nobody waiting. */
const MAX_SLACK = 0.5
/** A trial ends after so many periods in a row that do not count. */
const MAX_VOID_PERIODS = 6
/**
 * Somebody waited at so many of the janitor's ticks, three a second, since anything could be measured: the load comes in
 * bursts that are too short for it.
 */
const MAX_UNMEASURED_TICKS = 40
/** Nobody was served for so long, although somebody waits: transactions may be waiting for each other. */
const STALL_MS = 600
/** How long nothing is tried after every candidate was no better; doubled each time. */
const MIN_REST_MS = 10_000
const MAX_REST_MS = 240_000

const NOTHING_KNOWN = 'nothing measured yet'
const TOO_FEW = 'too few transactions to be measured'

/**
 * AutoSize: how many servers of a pool may be leased at once, found by measuring (`pool_size = "auto"`). PostgreSQL
 * finishes fewer transactions per second when more of them compete for its processors, locks and caches than these
 * can serve; how many that are depends on the machine and on the transactions, so it is tried out:
 *
 *   level 20 | 20 5 5 20 20 5 ... -> 5 is better: level 5 | 5 1 1 5 ... -> rest -> next trial
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
  readonly #window = new RateWindow()
  /** The limit of the turn before this; 0 = not known what is leased under which, so that the next turn skips some. */
  #before = 0
  /** Turns of this period that are over. */
  #turns = 0
  readonly #ofLevel = new TrialSide()
  readonly #ofCandidate = new TrialSide()
  /** In the turns of the smaller limit, which alone say whether it decides: all leases, and those nobody waited behind. */
  #finished = 0
  #slack = 0
  #voidPeriods = 0
  /** Ticks at which somebody waited since a period was over. */
  #unmeasuredTicks = 0
  /** Rounds of trials in vain, at this level. */
  #rounds = 0
  #restMs = MIN_REST_MS
  #restUntilMs = 0
  /** Leases that have ended, how many had at the last tick, and when any had. */
  #ended = 0
  #seen = 0
  #servedAtMs: number
  /** The last tick behind which anything had. */
  #loadAtMs: number
  #note = NOTHING_KNOWN
  readonly #now: () => number

  /** `max`: the limit of the pool, finite. It begins with that. */
  constructor(max: number, now = () => performance.now()) {
    this.#max = max
    this.#level = max
    this.#now = now
    this.#servedAtMs = now()
    this.#loadAtMs = this.#servedAtMs
    this.#beginTurn(this.#servedAtMs, 0)
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
    this.#beginTurn(this.#now(), Number.POSITIVE_INFINITY)
  }

  /** A lease is over, `active` are still going on; true if more may be leased from now on. */
  leaseEnded(active: number): boolean {
    this.#ended += 1
    if (!this.#window.leaseEnded(active, this.#now)) return false
    const { limit } = this
    const nowMs = this.#now()
    this.#turnEnded(nowMs)
    this.#beginTurn(nowMs, active)
    return this.limit > limit
  }

  /** A server came back and nobody waited for it. */
  noteSlack(): void {
    this.#window.slack += 1
  }

  /** Nothing can be measured at the moment: the pool is paused, or has no connection. */
  skip(): void {
    const nowMs = this.#now()
    this.#servedAtMs = nowMs
    this.#startAnew()
    this.#pause(nowMs)
    this.#beginTurn(nowMs, 0)
  }

  /** Called by the janitor. `waiting`: somebody waits for a server; `active` are leased. */
  tick(waiting: boolean, active: number): void {
    const nowMs = this.#now()
    const hasServed = this.#ended !== this.#seen
    if (hasServed) this.#loadAtMs = nowMs
    if (hasServed || !waiting) this.#servedAtMs = nowMs
    this.#seen = this.#ended
    if (waiting) this.#unmeasuredTicks += 1
    const elapsedMs = nowMs - this.#window.beganMs
    const isIdle = !waiting && elapsedMs >= Math.max(IDLE_MS, 2 * this.#turnMs)
    if (nowMs - this.#servedAtMs >= STALL_MS) this.#relent(nowMs, 'nobody was served')
    else if (this.#unmeasuredTicks > MAX_UNMEASURED_TICKS) this.#relent(nowMs, TOO_FEW)
    else if (isIdle && !hasServed) this.#pause(nowMs)
    else if (isIdle && this.#isSmaller) this.#voidPeriod()
    else if (elapsedMs < MAX_TURN_MS) return
    else if (this.#window.isMeasurable) this.#turnEnded(nowMs)
    else if (waiting) this.#relent(nowMs, TOO_FEW)
    else this.#voidPeriod()
    this.#beginTurn(nowMs, active)
  }

  /** The order level, candidate, candidate, level needs fewest changes, and a trend does not favour one side. */
  get #triesCandidate(): boolean {
    return ((this.#turns + 1) & 2) !== 0
  }

  get #turnMs(): number {
    return TURNS_MS[this.#rounds % TURNS_MS.length] as number
  }

  get #side(): TrialSide {
    return this.#trial !== null && this.#triesCandidate ? this.#ofCandidate : this.#ofLevel
  }

  /** Beside the larger limit of a trial nobody may be waiting any more, which is what makes it better. */
  get #isSmaller(): boolean {
    return this.#trial === null || this.limit === Math.min(this.#level, this.#candidate)
  }

  #beginTurn(nowMs: number, active: number): void {
    const { limit } = this
    const { lastRate, lastMost } = this.#side
    // As many as are leased, or will be: fewer than the limit where others of the pool's limits allow fewer.
    const most = Math.max(1, active, this.#ofLevel.lastMost, this.#ofCandidate.lastMost)
    const toSkip = limit === this.#before ? 0 : Math.min(Math.max(limit, this.#before), most)
    // At the limit of the pool there may be more, from its reserve.
    const room = limit === this.#max ? Number.POSITIVE_INFINITY : limit
    this.#before = limit
    const round = lastMost === 0 ? limit : Math.min(limit, lastMost)
    this.#window.begin(nowMs, active, toSkip, room, round, lastRate * this.#turnMs)
  }

  #turnEnded(nowMs: number): void {
    const { finished, beganMs, slack, most } = this.#window
    this.#side.add(finished, nowMs - beganMs, most)
    if (this.#isSmaller) {
      this.#finished += finished
      this.#slack += slack
    }
    this.#turns += 1
    const isBalanced = this.#trial === null || this.#turns % 4 === 0
    if (!isBalanced || this.#ofLevel.ms + this.#ofCandidate.ms < MIN_PERIOD_MS) return
    this.#unmeasuredTicks = 0
    if (this.#slack > this.#finished * MAX_SLACK) this.#voidPeriod()
    else this.#measured(nowMs)
  }

  /** Nobody asks for anything: a trial stands still, and goes on with the load. */
  #pause(nowMs: number): void {
    this.#before = 0
    this.#beginPeriod()
    if (nowMs - this.#loadAtMs >= MAX_PAUSE_MS) this.#endTrial()
  }

  /** What was measured before is of another load. */
  #startAnew(): void {
    this.#before = 0
    this.#ofLevel.forget()
    this.#ofCandidate.forget()
    this.#beginPeriod()
  }

  #beginPeriod(): void {
    this.#turns = 0
    this.#ofLevel.beginPeriod()
    this.#ofCandidate.beginPeriod()
    this.#finished = 0
    this.#slack = 0
  }

  #measured(nowMs: number): void {
    this.#voidPeriods = 0
    if (this.#trial === null) {
      if (nowMs >= this.#restUntilMs) this.#beginTrial(nowMs)
    } else {
      const verdict = this.#trial.add(this.#ofLevel.rate, this.#ofCandidate.rate)
      if (verdict === 'better') {
        this.#note = `${Math.round((this.#trial.ratio - 1) * 100)} % more than with ${this.#level}`
        this.#moveTo(this.#candidate, 0)
      } else if (verdict === 'no better') this.#reject()
    }
    this.#beginPeriod()
  }

  /** The next candidate; behind the last one a rest. */
  #beginTrial(nowMs: number): void {
    const candidate = this.#candidates().find((each) => !this.#tried.has(each))
    if (candidate === undefined) {
      this.#tried.clear()
      this.#note = 'neither more nor fewer were better'
      this.#restUntilMs = nowMs + this.#restMs
      this.#restMs = Math.min(MAX_REST_MS, this.#restMs * 2)
      this.#rounds += 1
      return
    }
    this.#candidate = candidate
    this.#trial = new PairedTrial()
    this.#ofCandidate.forget()
  }

  /**
   * A quarter, half, twice, a quarter less, a third more: large steps first, whose difference is seen soonest. Where other
   * limits allow fewer than the level, only less makes a difference.
   */
  #candidates(): number[] {
    const level = this.#level
    const reached = Math.min(level, this.#ofLevel.lastMost)
    const fewer = [
      Math.floor(reached / 4),
      Math.floor(reached / 2),
      reached - Math.max(1, Math.floor(reached / 4)),
    ]
    const more = reached < level ? [] : [level * 2, level + Math.max(1, Math.floor(level / 3))]
    return [fewer[0], fewer[1], more[0], fewer[2], more[1]]
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
    this.#rounds = 0
    this.#restMs = MIN_REST_MS
    this.#restUntilMs = restUntilMs
    this.#endTrial()
    this.#startAnew()
  }

  /**
   * Nothing can be measured, which is no reason to allow less: a smaller candidate is given up, or the level doubled, or,
   * where it is the limit of the pool already, whatever was tried ends.
   */
  #relent(nowMs: number, note: string): void {
    const triesFewer = this.limit < this.#level
    this.#servedAtMs = nowMs
    this.#unmeasuredTicks = 0
    this.#startAnew()
    if (triesFewer) {
      this.#reject()
      return
    }
    this.#note = note
    if (this.#level < this.#max) this.#moveTo(Math.min(this.#max, this.#level * 2), nowMs + MIN_REST_MS)
    else {
      this.#endTrial()
      this.#restUntilMs = nowMs + this.#restMs
    }
  }

  /** Clients hardly waited for servers, so the limit did not decide. */
  #voidPeriod(): void {
    this.#before = 0
    this.#beginPeriod()
    this.#voidPeriods += 1
    if (this.#voidPeriods < MAX_VOID_PERIODS) return
    this.#voidPeriods = 0
    if (this.#trial === null) this.#note = 'clients hardly wait'
    else this.#reject()
  }

  #endTrial(): void {
    this.#trial = null
    this.#voidPeriods = 0
    this.#beginPeriod()
  }
}
