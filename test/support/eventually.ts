import { setTimeout as delay } from 'node:timers/promises'
import { DEADLINE_MS } from './message-stream.ts'

/**
 * eventually: waits for a condition that nothing announces (a row of pg_stat_activity, a counter) by asking again
 * until it holds. Used by tests instead of sleeping.
 */

const PAUSE_MS = 10

/** Returns the first value for which `holds` is true; at the deadline throws with `what` and the last value. */
export async function eventually<Value>(
  what: string,
  ask: () => Promise<Value> | Value,
  holds: (value: Value) => boolean,
): Promise<Value> {
  const deadline = Date.now() + DEADLINE_MS
  for (;;) {
    const value = await ask()
    if (holds(value)) return value
    if (Date.now() > deadline) {
      throw new Error(`waited ${DEADLINE_MS} ms for ${what}; the last answer was ${JSON.stringify(value)}`)
    }
    await delay(PAUSE_MS)
  }
}
