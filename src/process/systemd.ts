import type { Logger } from '../log.ts'
import { NotifyHelper } from './notify-helper.ts'

/**
 * Systemd: tells the service manager what the process is doing, where there is one (NOTIFY_SOCKET): ready,
 * reloading, stopping, and alive for the watchdog. Node.js has no datagram sockets of the unix kind, so the
 * program systemd-notify says it, which comes with systemd; as that is another process, the unit needs
 * NotifyAccess=all. Made by cli.ts as early as possible; owns the watchdog's timer.
 * Source: sd_notify(3), sd_watchdog_enabled(3), systemd-notify(1).
 */

export type Environment = Readonly<Record<string, string | undefined>>

/** The advice of sd_watchdog_enabled(3): twice in the time after which systemd gives up. */
const PingsPerTimeout = 2
/** How long the end of the process waits for what was said last; systemd answers in milliseconds. */
const PatienceMs = 2000

export class Systemd {
  readonly #log: Logger
  /** Null where nobody listens. */
  readonly #helper: NotifyHelper | null
  /** How often the watchdog wants to hear from us; null where there is none. */
  readonly #pingEveryMs: number | null
  #watchdog: NodeJS.Timeout | undefined
  #pinging = false
  #last: Promise<void> = Promise.resolve()
  #failed = false

  constructor(log: Logger, environment: Environment = process.env) {
    this.#log = log
    const isPresent = (environment.NOTIFY_SOCKET ?? '') !== ''
    this.#helper = isPresent ? new NotifyHelper(environment) : null
    this.#pingEveryMs = isPresent ? pingEveryMs(environment) : null
  }

  /** The start, or a reload, is done; `status` is for "systemctl status". The watchdog runs from here on. */
  ready(status: string): Promise<void> {
    if (this.#pingEveryMs !== null) {
      this.#watchdog ??= setInterval(() => void this.#ping(), this.#pingEveryMs).unref()
    }
    return this.#say('READY=1', `STATUS=${status}`)
  }

  /** A reload begins; ready() must follow, also where it failed. */
  reloading(): Promise<void> {
    // Units of Type=notify-reload need the time, to tell this reload's end from an earlier one's.
    const nowUs = process.hrtime.bigint() / 1000n
    return this.#say('RELOADING=1', `MONOTONIC_USEC=${nowUs}`, 'STATUS=reloading the configuration')
  }

  /** The process is on its way out. */
  stopping(status: string): Promise<void> {
    return this.#say('STOPPING=1', `STATUS=${status}`)
  }

  /** For the end of the process: resolves when all that was said has been delivered, or nobody takes it. */
  async close(): Promise<void> {
    clearInterval(this.#watchdog)
    this.#helper?.close()
    let patience: NodeJS.Timeout | undefined
    await Promise.race([
      this.#last,
      new Promise((resolve) => {
        patience = setTimeout(resolve, PatienceMs)
      }),
    ])
    clearTimeout(patience)
  }

  /** That the timer fires at all is the sign of life: it comes from the loop that serves the clients. */
  async #ping(): Promise<void> {
    // One that is under way says the same.
    if (this.#pinging) return
    this.#pinging = true
    await this.#say('WATCHDOG=1')
    this.#pinging = false
  }

  #say(...assignments: string[]): Promise<void> {
    if (this.#helper !== null)
      this.#last = this.#helper.notify(assignments).then((problem) => this.#note(problem))
    return this.#last
  }

  #note(problem: string | undefined): void {
    // Once, as the watchdog would repeat it for ever.
    if (problem !== undefined && !this.#failed) {
      this.#log.error(
        { reason: problem },
        'systemd-notify failed, so systemd hears nothing from this process: is it installed? Without it, set ' +
          'Type=exec and no WatchdogSec= in the unit',
      )
    }
    this.#failed = problem !== undefined
  }
}

/** Null where there is no watchdog, or it watches another process: the shell around this one. */
function pingEveryMs({ WATCHDOG_USEC: timeoutUs, WATCHDOG_PID: pid }: Environment): number | null {
  const timeoutMs = Number(timeoutUs) / 1000
  if (!(timeoutMs > 0) || (pid !== undefined && pid !== String(process.pid))) return null
  return Math.max(1, Math.floor(timeoutMs / PingsPerTimeout))
}
