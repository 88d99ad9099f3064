import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually } from './eventually.ts'

/** PoolerProcess: the command `pooler` as a process of its own, from its sources, with what it says. */

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')

export interface PoolerProcessOptions {
  readonly folder: string
  /** Parameters of the command. */
  readonly parameters: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** The limit of open files, soft and hard. */
  readonly maxOpenFiles?: number
}

export class PoolerProcess {
  output = ''
  errors = ''
  readonly #process: ChildProcess
  readonly #ended: Promise<number | null>
  #hasEnded = false

  constructor({ folder, parameters, environment = {}, maxOpenFiles }: PoolerProcessOptions) {
    const limit = maxOpenFiles === undefined ? '' : `ulimit -n ${maxOpenFiles}; `
    const command = [process.execPath, '--import', TSX, CLI, ...parameters]
    this.#process = spawn('/bin/sh', ['-c', `${limit}exec "$@"`, 'sh', ...command], {
      cwd: folder,
      env: { ...process.env, ...environment },
    })
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      this.output += chunk
    })
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.errors += chunk
    })
    this.#ended = once(this.#process, 'close').then(([exitCode]) => {
      this.#hasEnded = true
      return exitCode as number | null
    })
  }

  get pid(): number {
    return this.#process.pid as number
  }

  /** The lines of its log so far, in JSON or in PgBouncer's format; of the latter only the text, as `msg`. */
  get log(): Record<string, unknown>[] {
    const json = this.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
    const texts = this.errors.matchAll(/^[-\d]+ [:.\d]+ \S+ \[\d+\] [A-Z]+ (.*(?:\n\t.*)*)\n/gm)
    return [...json.map((line) => JSON.parse(line)), ...[...texts].map(([, msg]) => ({ msg }))]
  }

  /** Waits until a line of the log has this text; fails with everything that was said if it ends before. */
  async logs(text: string): Promise<Record<string, unknown>> {
    const find = () => this.log.find(({ msg }) => String(msg).includes(text))
    await eventually(`"${text}" in the log`, find, (line) => line !== undefined || this.#hasEnded)
    const line = find()
    if (line === undefined)
      throw new Error(`it ended without logging "${text}": ${this.output}${this.errors}`)
    return line
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  async exitCode(): Promise<number | null> {
    return await this.#ended
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal)
    return await this.#ended
  }
}
