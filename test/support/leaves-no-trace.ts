import { afterAll, beforeAll, expect, vi } from 'vitest'

/**
 * Setup file of all projects: test files share a process, so each must leave it as it was found. What a file
 * changes and does not put back fails that file, not the one that comes after it.
 */

/** Not `exit`, where libraries register once for all that they will ever have. */
const EVENTS = [
  'SIGHUP',
  'SIGINT',
  'SIGTERM',
  'beforeExit',
  'uncaughtException',
  'unhandledRejection',
  'warning',
]

/** What is the process's own; modules keep nothing, for there is no state at their level. */
function traces(): Record<string, unknown> {
  return {
    environment: { ...process.env },
    workingFolder: process.cwd(),
    user: process.geteuid?.(),
    fakeTimers: vi.isFakeTimers(),
    listeners: EVENTS.map((event) => `${event}: ${process.listenerCount(event)}`),
  }
}

let before: Record<string, unknown>

beforeAll(() => {
  before = traces()
})

afterAll(() => {
  expect(traces(), 'what this test file leaves in the process that it shares').toEqual(before)
})
