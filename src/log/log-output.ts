import { writeSync } from 'node:fs'
import { pino } from 'pino'

const StandardError = 2
/** How long a line may stay in memory when few follow it. */
const FlushDelayMs = 200
const CollectedBytes = 4096
/** More than this is dropped rather than kept when nobody takes the lines. */
const MaxWaitingBytes = 16 * 1024 * 1024

/**
 * LogOutput: one open file that lines are written to, in the background, so that logging never waits for a disk or a
 * pipe; what is still collected at the exit of the process is written then. Made by createLogger.
 */
export class LogOutput {
  readonly #output: ReturnType<typeof pino.destination>
  #failed = false
  #flushIsDue = false

  constructor(fd: number) {
    const output = pino.destination({
      dest: fd,
      sync: false,
      minLength: CollectedBytes,
      maxLength: MaxWaitingBytes,
    })
    // Without a listener a full disk would end the process; pino itself only takes care of a closed pipe.
    output.on('error', (error: Error) => {
      if (this.#failed) return
      this.#failed = true
      report(error)
      // Unregisters pino's flush at the exit of the process: it repeats a write that fails until it succeeds,
      // so that the process could not end. Writing in the background goes on.
      output.emit('close')
    })
    this.#output = output
  }

  write(line: string): void {
    this.#output.write(line)
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    // A timer per burst, not an interval: an idle pooler writes nothing, a forgotten logger costs nothing.
    setTimeout(() => {
      this.#flushIsDue = false
      this.#output.flush(ignore)
    }, FlushDelayMs).unref()
  }

  /** Resolves when every line written before the call has left the process, or cannot. Never rejects. */
  async flush(): Promise<void> {
    // If a write is under way, the first call waits for that one only; the lines collected meanwhile are
    // the second call's.
    await this.#flushed()
    await this.#flushed()
  }

  /** Writes what is collected, then closes the file, unless it is standard output or standard error. */
  async close(): Promise<void> {
    // Its timer finds nothing to do any more.
    this.#flushIsDue = true
    await this.flush()
    this.#output.end()
  }

  #flushed(): Promise<void> {
    return new Promise((resolve) => this.#output.flush(() => resolve()))
  }
}

/** Whatever goes wrong in a flush also reaches the error listener. */
function ignore(): void {}

function report(error: Error): void {
  try {
    writeSync(StandardError, `pooler: the log cannot be written (${error.message}); lines are being lost\n`)
  } catch {
    // Standard error is gone too: there is nobody left to tell.
  }
}
