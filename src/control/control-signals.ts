import type { Logger } from '../log.ts'
import type { PoolerControl, ShutdownMode } from './pooler-control.ts'

/** What a first signal of this kind asks for, as with PgBouncer; a second one ends the pooler at once. */
const SHUTDOWN_SIGNALS: readonly (readonly [NodeJS.Signals, ShutdownMode])[] = [
  ['SIGTERM', 'wait_for_clients'],
  ['SIGINT', 'wait_for_servers'],
  ['SIGQUIT', 'immediate'],
]

/** Told what the signals have begun: systemd's view of the process. */
export interface SignalObserver {
  reloading(): void
  /** Also where it failed. */
  reloaded(): void
  stopping(status: string): void
}

/**
 * ControlSignals: an operator's signals as calls of a PoolerControl: SIGHUP reload, SIGUSR1 pause, SIGUSR2 resume,
 * SIGTERM, SIGINT and SIGQUIT shutdown. Made by the command line before the pooler starts.
 */
export class ControlSignals {
  /** Resolves when a signal has ended the pooler. */
  readonly ended: Promise<void>
  readonly #log: Logger
  #shutdowns = 0

  constructor(control: PoolerControl, observer: SignalObserver, log: Logger) {
    this.#log = log
    this.ended = new Promise((resolve, reject) => {
      for (const [signal, mode] of SHUTDOWN_SIGNALS) {
        process.on(signal, () => {
          this.#shutdowns += 1
          log.info({ signal, again: this.#shutdowns > 1 }, 'signal received')
          observer.stopping(`${signal}: letting clients come to their end`)
          control.shutdown(this.#shutdowns > 1 ? 'immediate' : mode).then(resolve, reject)
        })
      }
    })
    this.#on('SIGHUP', 'reload', () => {
      observer.reloading()
      return control.reload().finally(() => observer.reloaded())
    })
    this.#on('SIGUSR1', 'pause', () => control.pause())
    this.#on('SIGUSR2', 'resume', async () => control.resume())
  }

  /** Nothing of this makes sense any more while the pooler ends. */
  #on(signal: NodeJS.Signals, what: string, act: () => Promise<unknown>): void {
    process.on(signal, () => {
      if (this.#shutdowns > 0) return
      this.#log.info({ signal }, `${what} asked for`)
      act().then(
        () => this.#log.info(`${what} done`),
        (error: unknown) => this.#log.error({ err: error }, `${what} failed, everything stays as it was`),
      )
    })
  }
}
