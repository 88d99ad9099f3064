import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type LoginClock, LoginThrottle } from '../../../src/auth/login-throttle.ts'

/** A clock that goes on when the test says so. */
class FakeClock implements LoginClock {
  #nowMs = 0
  #timers: { dueMs: number; callback: () => void }[] = []

  get timers(): number {
    return this.#timers.length
  }

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms
    for (;;) {
      const [next] = this.#timers.sort((left, right) => left.dueMs - right.dueMs)
      if (next === undefined || next.dueMs > untilMs) break
      this.#timers.shift()
      this.#nowMs = next.dueMs
      next.callback()
    }
    this.#nowMs = untilMs
  }
}

function make(maxPendingPerAddress: number, failureDelayMs: number, maxFailedPerAddress = 0) {
  const clock = new FakeClock()
  const limits = { maxPendingPerAddress, maxFailedPerAddress, failureDelayMs }
  return { clock, throttle: new LoginThrottle(limits, clock) }
}

const REFUSED = expect.objectContaining({ sqlState: '53300', severity: 'FATAL' })

describe('logins of one address', () => {
  test('have as many places as configured, and give them back', () => {
    const { throttle } = make(2, 0)
    const first = throttle.enter('10.0.0.1')
    throttle.enter('10.0.0.1')
    expect(() => throttle.enter('10.0.0.1')).toThrow(REFUSED)
    throttle.enter('10.0.0.2')
    first.leave()
    first.leave()
    throttle.enter('10.0.0.1')
    expect(() => throttle.enter('10.0.0.1')).toThrow(REFUSED)
  })

  test.each([
    ['10.0.0.1', '::ffff:10.0.0.1', true],
    ['2001:db8::1', '2001:db8::ffff:2', true],
    ['2001:db8::1', '2001:db8:0:1::1', false],
    ['0.0.0.1', '::1', false],
    ['fe80::1%eth0', 'fe80::1', true],
  ])('%s and %s are one: %s', (one, other, same) => {
    const { throttle } = make(1, 0)
    throttle.enter(one)
    if (same) expect(() => throttle.enter(other)).toThrow(REFUSED)
    else expect(() => throttle.enter(other)).not.toThrow()
  })

  test('are not counted on unix sockets, nor without a limit', () => {
    const local = make(1, 0).throttle
    const unlimited = make(0, 0).throttle
    for (let count = 0; count < 100; count++) {
      local.enter('')
      unlimited.enter('10.0.0.1')
    }
  })

  test('follow a limit that a reload brings', () => {
    const { throttle } = make(0, 0)
    throttle.enter('10.0.0.1')
    throttle.limits = { maxFailedPerAddress: 0, maxPendingPerAddress: 1, failureDelayMs: 0 }
    expect(() => throttle.enter('10.0.0.1')).toThrow(REFUSED)
  })
})

describe('the answer to a wrong password', () => {
  test('waits as long as configured', () => {
    const { clock, throttle } = make(0, 500)
    const answers: string[] = []
    throttle.enter('10.0.0.1').failed(() => answers.push('a'))
    clock.advance(200)
    throttle.enter('10.0.0.2').failed(() => answers.push('b'))
    clock.advance(299)
    expect(answers).toEqual([])
    clock.advance(1)
    expect(answers).toEqual(['a'])
    clock.advance(200)
    expect(answers).toEqual(['a', 'b'])
    expect(clock.timers).toBe(0)
  })

  test('is given once and at once without a delay', () => {
    const { clock, throttle } = make(0, 0)
    let answers = 0
    const login = throttle.enter('10.0.0.1')
    login.failed(() => answers++)
    login.failed(() => answers++)
    expect([answers, clock.timers, throttle.waitingClients]).toEqual([1, 0, 0])
  })

  test('keeps a place of its address only, also when the client hangs up', () => {
    const { clock, throttle } = make(1, 500)
    const login = throttle.enter('10.0.0.1')
    login.failed(() => {})
    expect(throttle.waitingClients).toBe(1)
    login.leave()
    expect(throttle.waitingClients).toBe(0)
    throttle.enter('10.0.0.2').leave()
    expect(() => throttle.enter('10.0.0.1')).toThrow(REFUSED)
    clock.advance(500)
    throttle.enter('10.0.0.1').leave()
    expect(throttle.waitingClients).toBe(0)
  })

  test('goes out at once to the oldest where a thousand others wait', () => {
    const { throttle } = make(0, 500)
    const answers: number[] = []
    for (let count = 0; count < 1002; count++) throttle.enter('10.0.0.1').failed(() => answers.push(count))
    expect(answers).toEqual([0, 1])
    expect(throttle.waitingClients).toBe(1000)
  })

  test('goes out at the end of the process', () => {
    const { clock, throttle } = make(0, 500)
    let answers = 0
    for (let count = 0; count < 3; count++) throttle.enter('10.0.0.1').failed(() => answers++)
    throttle.stop()
    expect([answers, clock.timers, throttle.waitingClients]).toEqual([3, 0, 0])
  })
})

describe('wrong passwords of one address', () => {
  test('are no more in auth_failure_delay than configured, also when the client hangs up', () => {
    const { clock, throttle } = make(0, 500, 2)
    for (let count = 0; count < 2; count++) {
      const login = throttle.enter('10.0.0.1')
      login.checkFailures()
      login.failed(() => {})
      login.leave()
    }
    // Right or wrong: whoever guesses would see the right one otherwise.
    const next = throttle.enter('10.0.0.1')
    expect(() => next.checkFailures()).toThrow(REFUSED)
    throttle.enter('10.0.0.2').checkFailures()
    throttle.enter('').checkFailures()
    clock.advance(500)
    next.checkFailures()
  })

  test('are not counted without a limit, nor without a delay', () => {
    for (const { throttle } of [make(0, 500, 0), make(0, 0, 1)]) {
      for (let count = 0; count < 3; count++) throttle.enter('10.0.0.1').failed(() => {})
      throttle.enter('10.0.0.1').checkFailures()
    }
  })
})

test('whatever connections do, all places come back', () => {
  const step = fc.record({
    act: fc.constantFrom('enter', 'leave', 'fail', 'wait'),
    which: fc.nat(9),
    address: fc.constantFrom('10.0.0.1', '10.0.0.2'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { clock, throttle } = make(3, 500, 1)
      const logins: ReturnType<LoginThrottle['enter']>[] = []
      for (const { act, which, address } of steps) {
        const login = logins[which]
        if (act === 'enter') {
          try {
            logins.push(throttle.enter(address))
          } catch (error) {
            expect(error).toEqual(REFUSED)
          }
        } else if (act === 'wait') clock.advance(which * 100)
        else if (act === 'leave') login?.leave()
        else login?.failed(() => {})
      }
      for (const login of logins) login.leave()
      clock.advance(500)
      expect([throttle.waitingClients, clock.timers]).toEqual([0, 0])
      for (const address of ['10.0.0.1', '10.0.0.2'])
        for (let n = 0; n < 3; n++) throttle.enter(address).checkFailures()
    }),
  )
})
