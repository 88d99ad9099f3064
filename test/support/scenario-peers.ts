import { strict as assert } from 'node:assert'
import { BodyReader } from '../../src/protocol/body-reader.ts'
import type { BackendMessage } from './backend-message.ts'
import { decodeBackendMessage, isMessage, summary } from './backend-message.ts'
import * as backend from './backend-messages.ts'
import type { FakeConnection, FakeEnd } from './fake-network.ts'
import * as frontend from './frontend-messages.ts'
import type { WireMessage } from './message-stream.ts'

/**
 * The two ends of a scenario, played by a test: ScenarioClient and ScenarioServer. `send` hands bytes in as one
 * chunk, `take` returns what has arrived since it was called last, one short text per message.
 */

const HEADER_BYTES = 5
const CANCEL_REQUEST = 80_877_102

/** Whole messages in `bytes`, and what is left behind them. */
function split(bytes: Buffer): { messages: WireMessage[]; rest: Buffer } {
  const messages: WireMessage[] = []
  let at = 0
  while (bytes.length - at >= HEADER_BYTES) {
    const total = 1 + bytes.readInt32BE(at + 1)
    assert(total >= HEADER_BYTES, `a message of ${total} bytes was sent`)
    if (bytes.length - at < total) break
    messages.push({
      type: String.fromCharCode(bytes[at] as number),
      body: bytes.subarray(at + HEADER_BYTES, at + total),
    })
    at += total
  }
  return { messages, rest: bytes.subarray(at) }
}

class ScenarioPeer implements FakeEnd {
  readonly connection: FakeConnection
  /** The pooler has sent FIN or dropped the connection. */
  gone = false
  #received = Buffer.alloc(0)
  #writes = 0

  constructor(connection: FakeConnection) {
    this.connection = connection
    connection.peer = this
  }

  /** Bytes of a message that has not arrived whole. */
  get incomplete(): number {
    return split(this.#received).rest.length
  }

  onWritten(bytes: Buffer): void {
    this.#writes += 1
    this.#received = Buffer.concat([this.#received, bytes])
  }

  onGone(): void {
    this.gone = true
  }

  /** One chunk. */
  send(...messages: readonly Buffer[]): void {
    this.connection.receive(Buffer.concat(messages))
  }

  /** Each byte a chunk of its own. */
  sendByteByByte(...messages: readonly Buffer[]): void {
    for (const byte of Buffer.concat(messages)) this.connection.receive(Buffer.from([byte]))
  }

  /** How many writes have arrived since it was asked last. */
  takeWrites(): number {
    const writes = this.#writes
    this.#writes = 0
    return writes
  }

  /** All bytes that have arrived. */
  takeBytes(): Buffer {
    const bytes = this.#received
    this.#received = Buffer.alloc(0)
    return bytes
  }

  protected takeMessages(): WireMessage[] {
    const { messages, rest } = split(this.#received)
    this.#received = Buffer.from(rest)
    return messages
  }
}

export class ScenarioClient extends ScenarioPeer {
  /** What the pooler's BackendKeyData said. */
  key: { processId: number; secret: Buffer } = { processId: 0, secret: Buffer.alloc(0) }
  /** What ParameterStatus messages said last. */
  readonly parameters = new Map<string, string>()

  /** Decoded messages that have arrived. */
  messages(): BackendMessage[] {
    const messages = this.takeMessages().map(decodeBackendMessage)
    for (const message of messages) {
      if (isMessage(message, 'K')) this.key = { processId: message.processId, secret: message.secret }
      if (isMessage(message, 'S')) this.parameters.set(message.name, message.value)
    }
    return messages
  }

  /** The messages that have arrived, in short: `T`, `C(SELECT 1)`, `E(26000 no such statement)`, `Z(I)`. */
  take(): string[] {
    return this.messages().map(summary)
  }

  /** The same as letters. */
  letters(): string {
    return this.messages()
      .map(({ type }) => type)
      .join('')
  }

  query(sql: string): void {
    this.send(frontend.query(sql))
  }

  /** Terminate and FIN. */
  leave(): void {
    this.send(frontend.terminate())
    this.connection.receiveEnd()
  }

  /** The connection is cut. */
  vanish(): void {
    this.connection.lose(null)
  }
}

/** What a ScenarioServer tells the scenario when its connection turns out to be for a cancel. */
export type OnCancel = (cancel: ScenarioCancel) => void

/** A CancelRequest that has arrived at the server. */
export interface ScenarioCancel {
  readonly processId: number
  readonly secret: Buffer
  /** PostgreSQL closes the connection once it has sent the signal. */
  close(): void
}

/** What servers report at login, in their order. */
export const SCENARIO_PARAMETERS: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  search_path: '"$user", public',
  is_superuser: 'on',
  application_name: '',
  DateStyle: 'ISO, MDY',
  standard_conforming_strings: 'on',
  client_encoding: 'UTF8',
  server_version: '18.4',
}

/** The pooler's names of statements, numbered in the order in which servers have seen them: `pooler_1`, ... */
export class StatementNames {
  readonly #seen: string[] = []

  /** What the pooler calls the statement that tests call `pooler_<number>`. */
  real(number: number): string {
    const name = this.#seen[number - 1]
    assert(name !== undefined, `no server has seen statement ${number}`)
    return name
  }

  replaceIn(text: string): string {
    return text.replace(/pooler_(?!deallocated|no_such)[0-9a-z]+/g, (name) => {
      if (!this.#seen.includes(name)) this.#seen.push(name)
      return `pooler_${this.#seen.indexOf(name) + 1}`
    })
  }
}

export class ScenarioServer extends ScenarioPeer {
  processId = 0
  secret: Buffer = Buffer.alloc(0)
  /** Decides instead of the test what is answered, if set. */
  answer: ((messages: readonly WireMessage[]) => Buffer) | null = null
  readonly #names: StatementNames
  readonly #onCancel: OnCancel
  readonly #onStartup: (server: ScenarioServer) => void
  #started = false

  constructor(
    connection: FakeConnection,
    names: StatementNames,
    onStartup: (server: ScenarioServer) => void,
    onCancel: OnCancel,
  ) {
    super(connection)
    this.#names = names
    this.#onStartup = onStartup
    this.#onCancel = onCancel
  }

  override onWritten(bytes: Buffer): void {
    super.onWritten(bytes)
    if (this.#started) {
      if (this.answer === null) return
      const reply = this.answer(this.takeMessages())
      if (reply.length > 0) this.send(reply)
      return
    }
    this.#started = true
    const packet = this.takeBytes()
    if (packet.readInt32BE(4) !== CANCEL_REQUEST) {
      this.#onStartup(this)
      return
    }
    this.#onCancel({
      processId: packet.readInt32BE(8),
      secret: packet.subarray(12),
      close: () => this.connection.receiveEnd(),
    })
  }

  /** AuthenticationOk to ReadyForQuery. */
  login(processId: number): void {
    this.processId = processId
    this.secret = Buffer.from([1, 2, 3, processId & 0xff])
    this.send(
      backend.authenticationOk(),
      ...Object.entries(SCENARIO_PARAMETERS).map(([name, value]) => backend.parameterStatus(name, value)),
      backend.backendKeyData(processId, this.secret),
      backend.readyForQuery(),
    )
  }

  /** Messages in short: `Q(SELECT 1)`, `P(pooler_1 SELECT 1)`, `B(pooler_1)`, `E`, `S`. */
  take(): string[] {
    return this.takeMessages().map((message) => this.#names.replaceIn(frontendSummary(message)))
  }

  /** The reply to a simple query with one row. */
  sendRow(value: string): void {
    this.send(backend.oneRow(value))
  }

  /** CommandComplete and ReadyForQuery. */
  done(tag: string, status: 'I' | 'T' | 'E' = 'I'): void {
    this.send(backend.commandComplete(tag), backend.readyForQuery(status))
  }

  /** As PostgreSQL does when its client has gone. */
  override onGone(): void {
    super.onGone()
    this.connection.receiveEnd()
  }

  /** The server ends the connection. */
  die(): void {
    this.connection.receiveEnd()
  }
}

/** One message of a client in short. */
export function frontendSummary({ type, body }: WireMessage): string {
  const reader = new BodyReader(body, 0, body.length, type)
  const name = (): string => reader.cstring() || '""'
  switch (type) {
    case 'Q':
      return `Q(${reader.cstring()})`
    case 'P':
      return `P(${name()} ${reader.cstring()})`
    case 'B': {
      const portal = reader.cstring()
      return portal === '' ? `B(${name()})` : `B(${portal} ${name()})`
    }
    case 'D':
    case 'C': {
      const target = String.fromCharCode(reader.byte())
      return `${type}(${target} ${name()})`
    }
    case 'd':
    case 'f':
      return `${type}(${body.toString('latin1', 0, type === 'f' ? body.length - 1 : body.length)})`
    default:
      return type
  }
}
