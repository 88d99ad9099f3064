import { PoolerError, SqlState } from '../errors.ts'
import type { LoggedInClient } from '../multiplexer/logged-in-client.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import { PauseReason } from '../net/wire.ts'

/** How often it is looked at whether everything has been taken. */
const POLL_MS = 10

/**
 * Suspension: SUSPEND and its end. Nothing is read from clients and their servers; what was read before is written
 * to its end.
 */
export class Suspension {
  readonly #multiplexer: Multiplexer

  constructor(multiplexer: Multiplexer) {
    this.#multiplexer = multiplexer
  }

  get suspended(): boolean {
    return this.#multiplexer.suspended
  }

  /** Resolves when nothing is on its way any more; who has not taken it after `timeoutMs` (0 = never) is closed. */
  async suspend(timeoutMs: number): Promise<void> {
    this.#multiplexer.suspended = true
    for (const { client, server } of this.#clients()) {
      client.wire.pause(PauseReason.Suspended)
      server?.wire.pause(PauseReason.Suspended)
    }
    const deadlineMs = timeoutMs > 0 ? Date.now() + timeoutMs : Number.POSITIVE_INFINITY
    while (this.suspended && this.#isWriting()) {
      if (Date.now() >= deadlineMs) {
        this.#multiplexer.disconnect(
          new PoolerError(SqlState.AdminShutdown, 'suspend_timeout'),
          ({ client, server }) => client.wire.pendingBytes > 0 || (server?.wire.pendingBytes ?? 0) > 0,
        )
        return
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  resume(): void {
    this.#multiplexer.suspended = false
    for (const { client, server } of this.#clients()) {
      client.wire.resume(PauseReason.Suspended)
      server?.wire.resume(PauseReason.Suspended)
    }
  }

  *#clients(): Generator<LoggedInClient> {
    yield* this.#multiplexer.sessions
    yield* this.#multiplexer.replications
  }

  #isWriting(): boolean {
    for (const { client, server } of this.#clients())
      if (client.wire.pendingBytes > 0 || (server?.wire.pendingBytes ?? 0) > 0) return true
    return false
  }
}
