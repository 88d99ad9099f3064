import { PoolerError, SqlState } from '../errors.ts'
import { parseClientIp } from './ip-network.ts'

/**
 * LoginThrottle: how many logins of one address may be unfinished at a time, and how long the answer to a
 * wrong password waits. One per process; the client login enters each connection and ends its PendingLogin.
 * It owns both counts, the delayed answers and the one timer for them.
 * Source: PostgreSQL documentation, "auth_delay". There a delayed answer keeps a connection slot; here it
 * keeps one of the guesser's own address only.
 */

/** Time and timers; tests have their own. */
export interface LoginClock {
  nowMs(): number
  /** Calls back once, after the delay; returns what cancels it. */
  after(delayMs: number, callback: () => void): () => void
}

export interface LoginThrottleLimits {
  /** Setting max_pending_logins_per_address; 0 means without limit. */
  readonly maxPendingPerAddress: number
  /** Setting max_failed_logins_per_address; 0 means without limit. */
  readonly maxFailedPerAddress: number
  /** Setting auth_failure_delay, in milliseconds; 0 answers at once. */
  readonly failureDelayMs: number
}

/** The end of one connection's login. */
export interface PendingLogin {
  /** It is logged in or gone. May be called again, and by a connection that failed. */
  leave(): void
  /**
   * The password was wrong: `answer` is called when the delay is over, also if the client has gone by then,
   * or if too many others wait too. Until then the login counts for its address: hanging up to try again
   * gains nothing.
   */
  failed(answer: () => void): void
  /**
   * To be called before a password is called right or wrong. Throws PoolerError 53300 where too many wrong ones of
   * the address are still delayed, those included whose clients have hung up: who guesses need not wait for an answer,
   * as a right password is answered at once.
   */
  checkFailures(): void
}

/** Delayed answers keep sockets open: beyond this the oldest goes out at once. */
const MAX_DELAYED = 1000

const HOST_BITS_OF_IPV6 = 64n

interface Delayed {
  readonly dueMs: number
  readonly answer: () => void
}

export class LoginThrottle {
  readonly #clock: LoginClock
  readonly #pending = new Map<string, number>()
  /** Of those, whose password was wrong. */
  readonly #failed = new Map<string, number>()
  /** Oldest first. */
  readonly #delayed: Delayed[] = []
  #limits: LoginThrottleLimits
  #cancelTimer: (() => void) | undefined
  #waitingClients = 0

  constructor(limits: LoginThrottleLimits, clock: LoginClock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** Other limits after a reload, for what comes from now on. */
  set limits(limits: LoginThrottleLimits) {
    this.#limits = limits
  }

  /** Connections that only wait for a delayed answer: max_client_conn shall not count them. */
  get waitingClients(): number {
    return this.#waitingClients
  }

  /**
   * A connection from this address, '' for a unix socket, begins to log in. Throws PoolerError 53300 when too
   * many others from there have not finished. Unix sockets, which all look alike, have no limit.
   */
  enter(address: string): PendingLogin {
    const key = sourceOf(address)
    const count = key === undefined ? 0 : (this.#pending.get(key) ?? 0)
    const { maxPendingPerAddress } = this.#limits
    if (maxPendingPerAddress > 0 && count >= maxPendingPerAddress) {
      throw new PoolerError(
        SqlState.TooManyConnections,
        'too many logins from your address are not finished (max_pending_logins_per_address)',
      )
    }
    change(this.#pending, key, +1)
    return this.#pendingLogin(key)
  }

  /** Gives all delayed answers at once and stops the timer. For the end of the process. */
  stop(): void {
    for (let next = this.#delayed.shift(); next !== undefined; next = this.#delayed.shift()) next.answer()
    this.#schedule()
  }

  #pendingLogin(key: string | undefined): PendingLogin {
    let phase: 'pending' | 'delayed' | 'ended' = 'pending'
    let clientWaits = false
    const clientLeft = () => {
      if (clientWaits) this.#waitingClients--
      clientWaits = false
    }
    const end = () => {
      if (phase === 'delayed') change(this.#failed, key, -1)
      phase = 'ended'
      clientLeft()
      change(this.#pending, key, -1)
    }
    return {
      leave: () => {
        if (phase === 'pending') end()
        else clientLeft()
      },
      failed: (answer) => {
        if (phase !== 'pending') return
        phase = 'delayed'
        change(this.#failed, key, +1)
        clientWaits = true
        this.#waitingClients++
        this.#delay(() => {
          end()
          answer()
        })
      },
      checkFailures: () => this.#checkFailures(key),
    }
  }

  #checkFailures(key: string | undefined): void {
    const { maxFailedPerAddress: max } = this.#limits
    if (max === 0 || key === undefined || (this.#failed.get(key) ?? 0) < max) return
    throw new PoolerError(
      SqlState.TooManyConnections,
      'too many wrong passwords came from your address (max_failed_logins_per_address)',
      { hint: 'Try again in a moment.' },
    )
  }

  #delay(answer: () => void): void {
    const { failureDelayMs } = this.#limits
    if (failureDelayMs === 0) {
      answer()
      return
    }
    this.#delayed.push({ dueMs: this.#clock.nowMs() + failureDelayMs, answer })
    if (this.#delayed.length > MAX_DELAYED) this.#delayed.shift()?.answer()
    this.#schedule()
  }

  #schedule(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const [oldest] = this.#delayed
    if (oldest === undefined) return
    const delayMs = Math.max(0, oldest.dueMs - this.#clock.nowMs())
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#answerDue())
  }

  /** All have the same delay, so the oldest is due first; after a reload a later one may wait for it. */
  #answerDue(): void {
    const nowMs = this.#clock.nowMs()
    while (this.#delayed[0] !== undefined && this.#delayed[0].dueMs <= nowMs) this.#delayed.shift()?.answer()
    this.#schedule()
  }
}

/** Counts by address; unix sockets, without a key, are not counted. */
function change(counts: Map<string, number>, key: string | undefined, by: 1 | -1): void {
  if (key === undefined) return
  const count = (counts.get(key) ?? 0) + by
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}

/** An IPv4 address, or the /64 network of an IPv6 one, all of which one customer has to choose from. */
function sourceOf(address: string): string | undefined {
  const ip = parseClientIp(address)
  if (ip === undefined) return undefined
  return ip.bits === 32 ? `4:${ip.value}` : `6:${ip.value >> HOST_BITS_OF_IPV6}`
}
