import type { LoginClock } from './login-throttle.ts'

/** The process's own clock and timers; a timer does not keep the process alive. */
export const loginClock: LoginClock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs).unref()
    return () => clearTimeout(timer)
  },
}
