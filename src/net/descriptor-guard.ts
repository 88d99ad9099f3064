import type { Logger } from '../log.ts'
import { openFileLimit } from './open-file-limit.ts'
import type { Connection } from './transport.ts'

/**
 * DescriptorGuard: what happens to clients when the process is nearly out of file descriptors. Where accept()
 * fails with EMFILE, libuv takes the connection with a descriptor that it keeps for this and closes it without a
 * word to anybody: the client sees a lost connection, and the pooler nothing at all. So the last descriptors are
 * kept for server connections, cancel requests and files, and a client that gets one of them is told why. When
 * others leave, the next one gets a lower descriptor and is let in. It owns the count and the pace of the log.
 */

/** No more than this many are kept, and no more than a part of a small limit. */
const MaxReserve = 64
const ReserveShare = 8
const LogIntervalMs = 5000
/** How long a client has to read why it is refused: it may be busy sending. */
const LingerMs = 1000

export interface DescriptorGuardOptions {
  /** What a refused client is sent, as one write. */
  readonly refusal: Buffer
  readonly log: Logger
  readonly nowMs?: () => number
  readonly limit?: () => number | undefined
}

export class DescriptorGuard {
  readonly #refusal: Buffer
  readonly #log: Logger
  readonly #nowMs: () => number
  readonly #readLimit: () => number | undefined
  #limit: number
  #loggedMs = Number.NEGATIVE_INFINITY
  #unlogged = 0
  /** Connections refused, or not accepted, for want of descriptors since the start. */
  refused = 0

  constructor({
    refusal,
    log,
    nowMs = () => performance.now(),
    limit = openFileLimit,
  }: DescriptorGuardOptions) {
    this.#refusal = refusal
    this.#log = log
    this.#nowMs = nowMs
    this.#readLimit = limit
    this.#limit = limit() ?? Number.POSITIVE_INFINITY
  }

  /** False for a connection on one of the last descriptors: it has been refused and is no longer the caller's. */
  admits(connection: Connection): boolean {
    const { descriptor } = connection
    // The system gives the lowest free number, so a high one means that all below it are taken.
    if (descriptor === undefined || descriptor < this.#limit - reserveOf(this.#limit)) return true
    this.#note({ descriptor }, 'client refused: the limit of open files is nearly reached')
    if (descriptor < this.#limit - reserveOf(this.#limit) / 2) {
      connection.write(this.#refusal)
      connection.end()
      setTimeout(() => connection.destroy(), LingerMs).unref()
    } else {
      // The last ones of all are worth more than an explanation.
      connection.destroy()
    }
    return false
  }

  /** The listener failed to accept. Nothing ends by that: it is listening still. */
  failed(error: Error): void {
    this.#note({ err: error }, 'a client could not be accepted')
  }

  #note(details: object, message: string): void {
    this.refused += 1
    this.#unlogged += 1
    const nowMs = this.#nowMs()
    if (nowMs - this.#loggedMs < LogIntervalMs) return
    // An operator may raise it for the running process (prlimit): the next client profits.
    this.#limit = this.#readLimit() ?? this.#limit
    this.#log.error(
      { ...details, limit: this.#limit, refused: this.#unlogged, refusedSinceStart: this.refused },
      `${message}; raise LimitNOFILE= or "ulimit -n", or lower max_client_conn`,
    )
    this.#loggedMs = nowMs
    this.#unlogged = 0
  }
}

function reserveOf(limit: number): number {
  return Math.min(MaxReserve, Math.floor(limit / ReserveShare))
}
