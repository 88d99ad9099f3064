import { setTimeout as pause } from 'node:timers/promises'
import { ofType } from '../support/backend-message.ts'
import type { Ledger } from '../support/ledger.ts'
import type { Address } from '../support/raw-client.ts'
import { RawClient } from '../support/raw-client.ts'
import type { Random } from './random.ts'
import type { Tally } from './tally.ts'
import { WORK, type Work, type Worker, WrongAnswer } from './work.ts'

/**
 * SoakClient: an application that works until it is told to stop, and connects again whenever its connection is
 * lost. It judges how connections end.
 */

export interface SoakClientOptions {
  readonly name: string
  readonly address: Address
  readonly database: string
  readonly random: Random
  readonly ledger: Ledger
  readonly tally: Tally
}

/** What a lost server, a restart and a crowded PostgreSQL look like; anything else that is fatal is a mistake. */
const EXPECTED_LOSSES = new Set(['57P01', '57P02', '57P03', '08006', '53300'])
const TOTAL_WEIGHT = WORK.reduce((sum, { weight }) => sum + weight, 0)
/** Between attempts to log in that were refused. */
const REFUSED_PAUSE_MS = 100

export class SoakClient {
  readonly #options: SoakClientOptions
  #connection = 0

  constructor(options: SoakClientOptions) {
    this.#options = options
  }

  /** Works until `goesOn` says no, then leaves in good order. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const worker = await this.#connect()
      if (worker === undefined) await pause(REFUSED_PAUSE_MS)
      else await this.#workWith(worker, goesOn)
    }
  }

  async #connect(): Promise<Worker | undefined> {
    const { address, database, random, ledger, tally } = this.#options
    this.#connection += 1
    const name = `${this.#options.name}.${this.#connection}`
    try {
      const client = await RawClient.connect({ ...address, database, parameters: { application_name: name } })
      tally.connections += 1
      const zone = client.startParameters.get('TimeZone') ?? ''
      return { client, random, ledger, name, zone, prepared: new Map() }
    } catch (error) {
      const { message } = error as Error
      const code = /login refused: E\((\w{5})/.exec(message)?.[1]
      tally.count(tally.losses, `login refused, ${code ?? 'without a word'}`)
      if (code === undefined || !EXPECTED_LOSSES.has(code)) tally.problem(`${name} at login: ${message}`)
      return undefined
    }
  }

  async #workWith(worker: Worker, goesOn: () => boolean): Promise<void> {
    const { client } = worker
    const { tally, random } = this.#options
    for (;;) {
      const work = goesOn() ? this.#choose() : undefined
      if (work === undefined) {
        client.end()
        return
      }
      const sinceMs = performance.now()
      // Nobody asks a client of a soak what it has received in all.
      client.received.length = 0
      client.stream.history.length = 0
      try {
        await work.run(worker)
      } catch (error) {
        this.#judge(worker, work, error as Error)
        client.destroy()
        return
      }
      tally.waited(performance.now() - sinceMs)
      tally.count(tally.work, work.name)
      if (work.leaves) return
      if (random.chance(0.1)) await pause(random.between(0, 30))
    }
  }

  #choose(): Work {
    let at = this.#options.random.number() * TOTAL_WEIGHT
    for (const work of WORK) {
      at -= work.weight
      if (at < 0) return work
    }
    return WORK[0] as Work
  }

  /** The connection was lost in the middle of this work, or something is wrong. */
  #judge({ client, name }: Worker, work: Work, error: Error): void {
    const { tally } = this.#options
    const problem = (text: string) =>
      tally.problem(`${new Date().toISOString()} ${name}, ${work.name}: ${text}`)
    if (error instanceof WrongAnswer || !client.stream.ended) {
      problem(error.message)
      return
    }
    const fatal = ofType(client.received, 'E').filter(({ fields }) => fields.V !== 'ERROR')
    const codes = fatal.map(({ code }) => code)
    if (fatal.length > 1) problem(`told ${fatal.length} fatal errors: ${codes}`)
    for (const { code, text } of fatal) if (!EXPECTED_LOSSES.has(code)) problem(`${code} ${text}`)
    tally.count(tally.losses, codes[0] ?? 'without a word')
  }
}
