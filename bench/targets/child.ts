import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { OwnConnection } from '../load/own-connection.ts'
import type { LoadAddress } from '../load/workload.ts'

/** Child: a pooler as a child process, with its output in a file. */

const START_MS = 20_000
const STOP_MS = 10_000
const RETRY_MS = 50

export interface ChildOptions {
  readonly command: string
  readonly parameters: readonly string[]
  readonly logFile: string
  readonly cwd: string
  /** Another account than ours. */
  readonly account?: { readonly uid: number; readonly gid: number } | null
}

export class Child {
  readonly #process: ChildProcess
  readonly #options: ChildOptions

  private constructor(process: ChildProcess, options: ChildOptions) {
    this.#process = process
    this.#options = options
  }

  /** Starts the program and waits until it answers a query at `address`. */
  static async start(options: ChildOptions, address: LoadAddress): Promise<Child> {
    const log: FileHandle = await open(options.logFile, 'a')
    try {
      const { command, parameters, cwd, account } = options
      const process = spawn(command, parameters, {
        cwd,
        stdio: ['ignore', log.fd, log.fd],
        ...(account ? { uid: account.uid, gid: account.gid } : {}),
      })
      await once(process, 'spawn')
      const child = new Child(process, options)
      await child.#answers(address)
      return child
    } finally {
      await log.close()
    }
  }

  get pid(): number {
    return this.#process.pid as number
  }

  /** An orderly stop; a program that does not listen is killed. */
  async stop(): Promise<void> {
    if (this.#ended) return
    const exit = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS)
    await exit
    clearTimeout(timer)
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  async #answers(address: LoadAddress): Promise<void> {
    const untilMs = Date.now() + START_MS
    for (;;) {
      try {
        const connection = await OwnConnection.open(address)
        await connection.end()
        return
      } catch (error) {
        if (this.#ended) throw new Error(`${this.#options.command} ended: ${await this.#lastWords()}`)
        if (Date.now() > untilMs) {
          await this.stop()
          throw new Error(`${this.#options.command} does not answer: ${(error as Error).message}`)
        }
        await pause(RETRY_MS)
      }
    }
  }

  async #lastWords(): Promise<string> {
    const log = await readFile(this.#options.logFile, 'utf8')
    return log.trim().split('\n').slice(-3).join(' | ')
  }
}
