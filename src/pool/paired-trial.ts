/** Fewer pairs say nothing about how much they scatter; more are not worth the time, but for what looks better so far. */
const MIN_PAIRS = 5
const MAX_PAIRS = 25
const MAX_PROMISING_PAIRS = 60
/** What has lost so much together is not worth the time of more pairs: as two pairs of two thirds, or one below a half. */
const HOPELESS = 2 * Math.log(2 / 3)
/** What is worth a change: 2 percent. */
const WORTH = Math.log(1.02)
/** How many standard errors away from the mean the truth is taken to be at most. */
const SURE = 2.5

export type TrialVerdict = 'better' | 'no better' | 'undecided'

/**
 * PairedTrial: are transactions finished faster with the candidate than with what there is? Both rates are measured in
 * turns, so that whatever else goes on slows both down, and compared pair by pair; the mean of the logarithms of the
 * ratios counts once it is larger than its scatter explains.
 */
export class PairedTrial {
  #pairs = 0
  #mean = 0
  /** Sum of the squared distances from the mean (Welford's algorithm). */
  #squares = 0

  get pairs(): number {
    return this.#pairs
  }

  /** Candidate to base, of all pairs so far; 1 = the same. */
  get ratio(): number {
    return Math.exp(this.#mean)
  }

  /** Two rates above 0, in the same unit, of two neighbouring windows. */
  add(base: number, candidate: number): TrialVerdict {
    const gain = Math.log(candidate / base)
    this.#pairs += 1
    const distance = gain - this.#mean
    this.#mean += distance / this.#pairs
    this.#squares += distance * (gain - this.#mean)
    if (this.#pairs < MIN_PAIRS) return this.#pairs * this.#mean < HOPELESS ? 'no better' : 'undecided'
    const error = SURE * Math.sqrt(this.#squares / (this.#pairs - 1) / this.#pairs)
    if (this.#mean > WORTH && this.#mean > error) return 'better'
    const isHopeless = this.#mean + error < WORTH
    const most = this.#mean > WORTH ? MAX_PROMISING_PAIRS : MAX_PAIRS
    return isHopeless || this.#pairs >= most ? 'no better' : 'undecided'
  }
}
