import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { BackendMessage } from './backend-message.ts'
import { isMessage } from './backend-message.ts'
import type { Conversation, Segment, Turn } from './differential-conversation.ts'
import { say } from './differential-phrase.ts'
import type { RawClientOptions } from './raw-client.ts'
import { RawClient } from './raw-client.ts'
import { transcript } from './transcript.ts'

/**
 * Player: one client that plays a conversation. Against PostgreSQL it records what comes back, and how much of
 * it had come at each wait; against the pooler it waits for as much and compares message by message.
 */

/** What PostgreSQL answered. */
export interface Record {
  /** Every message but ParameterStatus, as a line. */
  readonly lines: readonly string[]
  /** What the client knew of parameters at its start and at each ReadyForQuery. */
  readonly parameters: readonly string[]
  /** How many lines had come at each wait. */
  readonly waits: readonly number[]
  /** PostgreSQL closed the connection before it had read everything; its last words may be lost. */
  readonly cutShort: boolean
}

/** Where the pooler's answer is not PostgreSQL's. */
export interface Divergence {
  readonly what: string
  readonly at: number
  /** A difference that a pooler cannot avoid: the rest of the conversation proves nothing. */
  readonly accepted: boolean
}

/** PostgreSQL has nothing more to say if it was quiet for so long; a mistake only makes a wait shorter. */
const QUIET_AFTER_END_MS = 6
const QUIET_MS = 15

export class Player {
  readonly client: RawClient
  readonly lines: string[] = []
  readonly parameters: string[] = []
  readonly #reference: Record | null
  readonly #deadlineMs: number
  readonly #waits: number[] = []
  divergence: Divergence | null = null
  ended = false
  #wake: () => void = () => {}
  #last = ''
  #left = false
  #reading: Promise<void>

  private constructor(client: RawClient, reference: Record | null, deadlineMs: number) {
    this.client = client
    this.#reference = reference
    this.#deadlineMs = deadlineMs
    this.#noteParameters()
    this.#reading = this.#read()
  }

  /** Logs in; with a reference the answers are compared with it. */
  static async connect(
    options: RawClientOptions,
    deadlineMs: number,
    reference: Record | null = null,
  ): Promise<Player> {
    return new Player(await RawClient.connect(options), reference, deadlineMs)
  }

  /** True when there is no sense in going on. */
  get over(): boolean {
    return this.ended || this.divergence !== null
  }

  get record(): Record {
    const { lines, parameters } = this
    const reset = this.client.stream.history.some((event) => /<(ECONNRESET|EPIPE)>/.test(event))
    return { lines, parameters, waits: this.#waits, cutShort: (this.ended && !this.#left) || reset }
  }

  async playTurn(turn: Turn, number: number): Promise<void> {
    for (const segment of turn.segments) if (!this.over) await this.#play(segment)
    if (!this.over) await this.#close(turn, number)
  }

  /** What is left to say is answered; then the client goes in good order. */
  async playLast(turn: Turn, hurry: boolean): Promise<void> {
    for (const segment of turn.segments) if (!this.over) await this.#play(segment)
    if (!this.over) {
      this.client.send(say.copyFail.bytes, say.sync.bytes)
      if (!hurry) await this.#wait()
    }
    if (!this.over) {
      this.#left = true
      this.client.send(say.terminate.bytes)
    }
    if (this.divergence === null) await this.#until(() => this.ended, 'the end of the connection')
    this.#compareEnd()
    await this.leave()
  }

  async leave(): Promise<void> {
    this.client.destroy()
    await this.#reading
  }

  async #play(segment: Segment): Promise<void> {
    const bytes = Buffer.concat(segment.messages.map((message) => message.bytes))
    const cuts = segment.cuts.map((at) => Math.round(at * bytes.length)).sort((a, b) => a - b)
    let from = 0
    for (const to of [...cuts, bytes.length]) {
      if (to > from) {
        this.client.stream.socket.write(bytes.subarray(from, to))
        if (to < bytes.length) await nextTurn()
      }
      from = to
    }
    if (segment.wait) await this.#wait()
  }

  /** Ends the transaction, if there is one, whatever state it is in, and waits until that is done. */
  async #close({ closing }: Turn, number: number): Promise<void> {
    const marker = `turn ${number}`
    const select = `SELECT '${marker}'`
    const run = (name: string, sql: string) => [
      say.close('S', name),
      say.parse(name, sql),
      say.bind(name),
      say.execute(''),
      say.sync,
    ]
    const messages = closing.extended
      ? [...run('end', closing.command), ...run('marker', select)]
      : [say.query(closing.command), say.query(select)]
    this.client.send(...[say.copyFail, say.sync, ...messages].map(({ bytes }) => bytes))
    const row = `D ${marker}`
    await this.#until(() => this.lines.includes(row) && this.lines.at(-1) === 'Z I', `'${row}'`)
  }

  async #wait(): Promise<void> {
    const reference = this.#reference
    if (reference === null) {
      await this.#quiet()
      this.#waits.push(this.lines.length)
      return
    }
    const count = reference.waits[this.#waits.length] ?? 0
    this.#waits.push(count)
    await this.#until(() => this.lines.length >= count, `message ${count} of PostgreSQL's answer`)
  }

  async #quiet(): Promise<void> {
    let count = -1
    while (count !== this.lines.length && !this.ended) {
      count = this.lines.length
      await delay('ZGW'.includes(this.#last) && count > 0 ? QUIET_AFTER_END_MS : QUIET_MS)
    }
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    const deadline = Date.now() + this.#deadlineMs
    while (!condition() && !this.over) {
      const left = deadline - Date.now()
      if (left <= 0) {
        this.#diverge(`nothing came for ${this.#deadlineMs} ms while waiting for ${what}`)
        return
      }
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        timer = setTimeout(resolve, left)
      })
      clearTimeout(timer)
    }
  }

  async #read(): Promise<void> {
    for (;;) {
      try {
        this.#note(await this.client.receive())
      } catch (error) {
        const { stream } = this.client
        if (stream.ended || stream.socket.destroyed) break
        // It waited for its own deadline while another client had its turn.
        if (!String(error).includes('waited')) throw error
      }
      this.#wake()
    }
    this.ended = true
    this.#wake()
  }

  #note(message: BackendMessage): void {
    if (isMessage(message, 'S')) return
    const [line = ''] = transcript([message])
    this.#last = message.type
    this.lines.push(line)
    this.#compareLine(line)
    if (message.type === 'Z') this.#noteParameters()
  }

  #noteParameters(): void {
    const known = [...this.client.parameters]
      .sort()
      .map(([name, value]) => `${name}=${value}`)
      .join('\n')
    this.parameters.push(known)
    const expected = this.#reference?.parameters[this.parameters.length - 1]
    if (this.#reference === null || expected === undefined || expected === known) return
    this.#diverge(
      `expected parameters ${differing(expected, known)}\n      received ${differing(known, expected)}`,
    )
  }

  #compareLine(line: string): void {
    if (this.#reference === null) return
    const { lines, cutShort } = this.#reference
    const expected = lines[this.lines.length - 1]
    if (expected === line) return
    if (expected === undefined) {
      if (!cutShort) this.#diverge(`came behind the end: ${line}`)
      return
    }
    const accepted = isAccepted(expected, line, lines[this.lines.length])
    this.#diverge(`expected ${expected}\n      received ${line}`, accepted)
  }

  #compareEnd(): void {
    if (this.#reference === null) return
    const missing = this.#reference.lines[this.lines.length]
    if (missing !== undefined) this.#diverge(`the connection ended without ${missing}`)
  }

  #diverge(what: string, accepted = false): void {
    this.divergence ??= { what, at: this.lines.length, accepted }
    this.#wake()
  }
}

/** The lines of `some` that `others` has not. */
function differing(some: string, others: string): string {
  const known = others.split('\n')
  return some
    .split('\n')
    .filter((one) => !known.includes(one))
    .join(', ')
}

/** The differences that a pooler cannot avoid, or that are for the better. `next`: what PostgreSQL said behind `expected`. */
function isAccepted(expected: string, received: string, next: string | undefined): boolean {
  const failed = received.startsWith('E ') && received.includes(' C:25P02 ')
  return (
    // A Parse that is skipped does not know that the transaction has failed.
    (received === '1' && expected.startsWith('E ') && expected.includes(' C:25P02 ')) ||
    // One that is repeated fails because the transaction has, before its Bind or Describe could for other reasons.
    (failed && (expected.startsWith('E ') || expected.startsWith('t '))) ||
    // A name in use is not told to be so if the statement had to be repeated where its text does not hold any more.
    (received.startsWith('E ') && expected.includes(' C:42P05 ')) ||
    // Nor are its parameters told first.
    (expected.startsWith('t ') && received === next && /^E .* C:42/.test(received)) ||
    // Nor that it has too few values.
    (/^E .* C:42/.test(received) && expected.includes('M:bind message supplies')) ||
    // The server that had the client's last unnamed statement but one is not there, and a Parse after it failed.
    (received.includes('M:unnamed prepared statement does not exist') && '2t'.includes(expected[0] ?? '')) ||
    // The message that breaks a COPY may be one that the pooler has put in front of the client's.
    (received.includes(' during COPY from stdin') && expected.includes(' during COPY from stdin'))
  )
}

/** Plays a whole conversation, turn after turn. */
export async function playAll(player: Player, conversation: Conversation): Promise<void> {
  const { turns, hurry } = conversation
  for (const [index, turn] of turns.entries()) {
    if (index === turns.length - 1) await player.playLast(turn, hurry)
    else await player.playTurn(turn, index)
  }
}
