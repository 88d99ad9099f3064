import { connect as connectSocket } from 'node:net'
import type { BackendMessage } from './backend-message.ts'
import { decodeBackendMessage, isMessage, letters, summary } from './backend-message.ts'
import { authenticate } from './client-authentication.ts'
import * as frontend from './frontend-messages.ts'
import { MessageStream } from './message-stream.ts'

/**
 * RawClient: an application that speaks the wire protocol message by message, so that a test decides what is sent
 * in which segment and sees every byte that comes back. Owns one connection, what the server told about it
 * (parameters, key) and everything received after the login.
 */

export interface Address {
  /** A name or address, or the folder of a unix socket. */
  host: string
  port: number
}

export interface RawClientOptions extends Address {
  user?: string
  database?: string
  password?: string
  /** Further startup parameters, in order. */
  parameters?: Readonly<Record<string, string>>
  /** Protocol version word; 3.0 unless given. */
  protocol?: number
}

export class RawClient {
  readonly stream: MessageStream
  readonly address: Address
  /** What ParameterStatus said last, by name. */
  readonly parameters = new Map<string, string>()
  /** The parameters as they were at the end of the login. */
  startParameters: ReadonlyMap<string, string> = new Map()
  /** What the login brought, before the first ReadyForQuery. */
  greeting: BackendMessage[] = []
  /** Every message received after the login. */
  received: BackendMessage[] = []
  key: { processId: number; secret: Buffer } | undefined
  /** The status byte of the last ReadyForQuery; '' before the first one. */
  status = ''

  constructor(stream: MessageStream, address: Address) {
    this.stream = stream
    this.address = address
  }

  /** Opens a connection and sends nothing. */
  static async open(address: Address): Promise<RawClient> {
    const { host, port } = address
    const socket = connectSocket({
      ...(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port }),
      allowHalfOpen: true,
    })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve())
      socket.once('error', reject)
    })
    return new RawClient(new MessageStream(socket), address)
  }

  /** Opens a connection and logs in; throws with the server's ErrorResponse when it is refused. */
  static async connect(options: RawClientOptions): Promise<RawClient> {
    const client = await RawClient.open(options)
    await client.login(options)
    return client
  }

  /** Sends the StartupMessage and goes through authentication to the first ReadyForQuery. */
  async login(options: Omit<RawClientOptions, 'host' | 'port'>): Promise<void> {
    const { user = 'postgres', database, parameters = {}, protocol } = options
    const known = database === undefined ? { user } : { user, database }
    this.send(frontend.startup({ ...known, ...parameters }, protocol))
    const refusal = await this.finishLogin(user, options.password)
    if (refusal !== undefined) {
      this.destroy()
      throw new Error(`login refused: ${summary(refusal)}`)
    }
  }

  /** Answers authentication requests up to ReadyForQuery; returns the ErrorResponse if there is one instead. */
  async finishLogin(user: string, password?: string): Promise<BackendMessage<'E'> | undefined> {
    await authenticate(this, user, password)
    const last = this.received.at(-1)
    if (isMessage(last, 'E')) return last
    while (this.status === '') {
      const message = await this.receive()
      if (isMessage(message, 'E')) return message
    }
    this.greeting = this.received
    this.startParameters = new Map(this.parameters)
    this.received = []
    return undefined
  }

  send(...messages: readonly Buffer[]): void {
    this.stream.send(...messages)
  }

  async sendBytes(bytes: Buffer, options: { every?: number } = {}): Promise<void> {
    await this.stream.sendBytes(bytes, options)
  }

  /** One raw byte: the answer to SSLRequest and GSSENCRequest. Undefined when the peer closed instead. */
  async receiveByte(): Promise<string | undefined> {
    return (await this.stream.readBytes(1, 'a one-byte answer'))?.toString('latin1')
  }

  /** The next message, which must be of `type` if one is given. */
  async receive<Type extends string = string>(type?: Type): Promise<BackendMessage<Type>> {
    const message = await this.#next(type === undefined ? 'a message' : `'${type}'`)
    if (message === undefined) {
      const expected = type === undefined ? 'a message' : `'${type}'`
      throw new Error(`expected ${expected}, but the connection was closed after: ${this.#soFar()}`)
    }
    if (type !== undefined && message.type !== type) {
      throw new Error(`expected '${type}', received ${summary(message)} after: ${this.#soFar()}`)
    }
    return message as BackendMessage<Type>
  }

  /** Messages up to and including the first of `type`; fails if the connection is closed before. */
  async receiveUntil(type: string): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (;;) {
      const message = await this.receive()
      messages.push(message)
      if (message.type === type) return messages
    }
  }

  /** Messages up to and including the `count`th ReadyForQuery. */
  async receiveReplies(count: number): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (let index = 0; index < count; index += 1) messages.push(...(await this.receiveUntil('Z')))
    return messages
  }

  /** Exactly these messages, one per letter: `expect('12DCZ')`. */
  async expect(sequence: string): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (const type of sequence) {
      const message = await this.#next(`'${type}' of '${sequence}'`)
      if (message !== undefined) messages.push(message)
      if (message?.type !== type) {
        const got = message === undefined ? 'the connection was closed' : `received ${summary(message)}`
        const before = letters(messages.slice(0, message === undefined ? undefined : -1))
        throw new Error(`expected '${sequence}': after '${before}' ${got}; received in all: ${this.#soFar()}`)
      }
    }
    return messages
  }

  /** Messages up to the end of the connection, which must come. */
  async receiveRest(): Promise<BackendMessage[]> {
    const messages: BackendMessage[] = []
    for (;;) {
      const message = await this.#next('the end of the connection')
      if (message === undefined) return messages
      messages.push(message)
    }
  }

  /** Sends, and receives up to the next ReadyForQuery. */
  async roundTrip(...messages: readonly Buffer[]): Promise<BackendMessage[]> {
    this.send(...messages)
    return this.receiveUntil('Z')
  }

  async query(sql: string): Promise<BackendMessage[]> {
    return this.roundTrip(frontend.query(sql))
  }

  /** The first column of the first row of a simple query; throws with the server's error if it fails. */
  async value(sql: string): Promise<string | null> {
    const reply = await this.query(sql)
    const row = reply.find((message) => isMessage(message, 'D'))
    if (row === undefined) throw new Error(`${sql} returned no row: ${reply.map(summary).join(' ')}`)
    return row.values[0]?.toString() ?? null
  }

  /** Sends a CancelRequest with this client's key over its own connection and waits until that one is closed. */
  async cancel(key = this.key): Promise<void> {
    if (key === undefined)
      throw new Error('no BackendKeyData was received, so there is nothing to cancel with')
    const canceller = await RawClient.open(this.address)
    canceller.send(frontend.cancelRequest(key))
    const answer = await canceller.receiveRest()
    canceller.destroy()
    if (answer.length > 0) throw new Error(`a CancelRequest was answered: ${answer.map(summary).join(' ')}`)
  }

  async closed(): Promise<void> {
    await this.stream.closed()
  }

  /** Sends Terminate and FIN, as an application that leaves in good order. */
  end(): void {
    this.send(frontend.terminate())
    this.stream.end()
  }

  destroy(): void {
    this.stream.destroy()
  }

  reset(): void {
    this.stream.reset()
  }

  async #next(what: string): Promise<BackendMessage | undefined> {
    const wire = await this.stream.readMessage(what)
    if (wire === undefined) {
      this.stream.history.push('<closed>')
      return undefined
    }
    const message = decodeBackendMessage(wire)
    this.received.push(message)
    this.stream.history.push(summary(message))
    if (isMessage(message, 'Z')) this.status = message.status
    else if (isMessage(message, 'S')) this.parameters.set(message.name, message.value)
    else if (isMessage(message, 'K')) this.key = { processId: message.processId, secret: message.secret }
    return message
  }

  #soFar(): string {
    return this.stream.history.slice(-30).join(' ') || 'nothing'
  }
}
