import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ConfigInput } from '../../src/config/config.ts'
import type { PoolerStats } from '../../src/metrics/pooler-stats.ts'

/**
 * MeasuredPooler: a pooler as a child process of a test, where its memory and its sockets are its own and can be
 * measured. Owns the child.
 */

export type Question =
  | { ask: 'start'; configuration: ConfigInput }
  | { ask: 'measure' }
  | { ask: 'reload' }
  | { ask: 'stop' }

export type Answer =
  | { answer: 'started'; host: string; port: number }
  | ({ answer: 'measured' } & Measurement)
  | { answer: 'reloaded' }
  | { answer: 'stopped' }

/** What the child says of itself, after a garbage collection. */
export interface Measurement {
  heapBytes: number
  sockets: number
  stats: PoolerStats
}

/** Resident memory of a process in bytes: now, and the most that it ever was. */
export interface ResidentMemory {
  bytes: number
  peakBytes: number
}

const PROGRAM = fileURLToPath(new URL('./measured-pooler-main.ts', import.meta.url))

export class MeasuredPooler {
  readonly host: string
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, host: string, port: number) {
    this.#child = child
    this.host = host
    this.port = port
  }

  /** `onOutput` gets its log and whatever it says when it crashes. */
  static async start(
    configuration: ConfigInput,
    onOutput: (text: string) => void = (text) => process.stderr.write(text),
  ): Promise<MeasuredPooler> {
    const child = fork(PROGRAM, {
      execArgv: ['--expose-gc', '--import', 'tsx'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8')
      stream?.on('data', onOutput)
    }
    const { host, port } = await ask(child, { ask: 'start', configuration }, 'started')
    return new MeasuredPooler(child, host, port)
  }

  get pid(): number {
    return this.#child.pid as number
  }

  /** Whether it has ended, by itself or not. */
  get ended(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  async measure(): Promise<Measurement> {
    return ask(this.#child, { ask: 'measure' }, 'measured')
  }

  /** The configuration is read again, as with SIGHUP. */
  async reload(): Promise<void> {
    await ask(this.#child, { ask: 'reload' }, 'reloaded')
  }

  /** Undefined where the system has no /proc (see proc(5)). */
  memory(): ResidentMemory | undefined {
    let status: string
    try {
      status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
    } catch {
      return undefined
    }
    const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1])
    return { bytes: kibibytes('VmRSS') * 1024, peakBytes: kibibytes('VmHWM') * 1024 }
  }

  /** The peak is counted anew from what there is now, where the system can do that. */
  forgetPeak(): void {
    try {
      writeFileSync(`/proc/${this.pid}/clear_refs`, '5')
    } catch {
      // Then the peak of before stands, which is the stricter measure.
    }
  }

  async stop(): Promise<void> {
    if (this.ended) return
    const exit = once(this.#child, 'exit')
    await ask(this.#child, { ask: 'stop' }, 'stopped')
    await exit
  }
}

/** Sends a question and waits for its answer; fails when the child ends instead. */
function ask<Kind extends Answer['answer']>(
  child: ChildProcess,
  question: Question,
  kind: Kind,
): Promise<Extract<Answer, { answer: Kind }>> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: Answer) => {
      if (message.answer !== kind) return
      child.off('exit', onExit)
      child.off('message', onMessage)
      resolve(message as Extract<Answer, { answer: Kind }>)
    }
    const onExit = (code: number | null, signal: string | null) => {
      child.off('message', onMessage)
      reject(new Error(`the pooler's process ended with ${code ?? signal}`))
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
    child.send(question)
  })
}
