import type { AddressInfo, Server } from 'node:net'
import { createServer } from 'node:net'
import * as backend from './backend-messages.ts'
import type { WireMessage } from './message-stream.ts'
import { DEADLINE_MS, MessageStream } from './message-stream.ts'

/**
 * ScriptedServer: a PostgreSQL whose every message a test decides, for orders of events that a real one produces
 * too seldom. It logs connections in by itself; the test then takes each session with `session()` and plays it.
 * Owns the listening socket and all connections accepted by it.
 */

const SSL_REQUEST = 80_877_103
const GSSENC_REQUEST = 80_877_104
const CANCEL_REQUEST = 80_877_102

/** What PostgreSQL 18 reports at login, in its order. */
const SCRIPTED_PARAMETERS: Readonly<Record<string, string>> = {
  in_hot_standby: 'off',
  integer_datetimes: 'on',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  search_path: '"$user", public',
  is_superuser: 'on',
  application_name: '',
  default_transaction_read_only: 'off',
  scram_iterations: '4096',
  DateStyle: 'ISO, MDY',
  standard_conforming_strings: 'on',
  session_authorization: 'postgres',
  client_encoding: 'UTF8',
  server_version: '18.4',
  server_encoding: 'UTF8',
}

/** One connection of the pooler to the scripted server, after its login. */
export class ServerSession {
  readonly stream: MessageStream
  /** The StartupMessage's parameters. */
  readonly startup: ReadonlyMap<string, string>
  readonly processId: number

  constructor(stream: MessageStream, startup: ReadonlyMap<string, string>, processId: number) {
    this.stream = stream
    this.startup = startup
    this.processId = processId
  }

  send(...messages: readonly Buffer[]): void {
    this.stream.send(...messages)
  }

  /** Exactly these messages of the other side, one per letter: `expect('PBDES')`. */
  async expect(sequence: string): Promise<WireMessage[]> {
    const messages: WireMessage[] = []
    for (const type of sequence) {
      const message = await this.stream.readMessage(`'${type}' of '${sequence}' at the scripted server`)
      this.stream.history.push(message?.type ?? '<closed>')
      if (message?.type !== type) {
        const got = message === undefined ? 'the connection was closed' : `received '${message.type}'`
        throw new Error(
          `scripted server expected '${sequence}': ${got}; so far ${this.stream.history.join('')}`,
        )
      }
      messages.push(message)
    }
    return messages
  }

  /** The text of the next message, which must be a simple query. */
  async expectQuery(): Promise<string> {
    const [message] = await this.expect('Q')
    return message?.body.toString('utf8', 0, message.body.length - 1) ?? ''
  }

  async closed(): Promise<void> {
    await this.stream.closed()
  }
}

/** Answers each simple query with one row that holds its text, until the connection is closed. */
export async function echoQueries(session: ServerSession): Promise<void> {
  for (;;) {
    const message = await session.stream.readMessage('a query')
    if (message === undefined || message.type === 'X') return
    if (message.type === 'Q')
      session.send(backend.oneRow(message.body.toString('utf8', 0, message.body.length - 1)))
  }
}

export interface CancelConnection {
  processId: number
  secret: Buffer
  /** Closes it, as PostgreSQL does after it has signalled the backend. */
  close(): void
}

/** Returns the messages that answer a StartupMessage; the default logs in. */
export type LoginScript = (processId: number, startup: ReadonlyMap<string, string>) => Buffer[]

export function acceptLogin(processId: number): Buffer[] {
  return [
    backend.authenticationOk(),
    ...Object.entries(SCRIPTED_PARAMETERS).map(([name, value]) => backend.parameterStatus(name, value)),
    backend.backendKeyData(processId, secretOf(processId)),
    backend.readyForQuery(),
  ]
}

function secretOf(processId: number): Buffer {
  const secret = Buffer.alloc(4)
  secret.writeInt32BE(0x5ec2_0000 + processId)
  return secret
}

/** Items that arrive and are taken in order, whichever side comes first. */
class Arrivals<Item> {
  readonly #items: Item[] = []
  readonly #takers: ((item: Item) => void)[] = []

  add(item: Item): void {
    const taker = this.#takers.shift()
    if (taker === undefined) this.#items.push(item)
    else taker(item)
  }

  async take(what: string): Promise<Item> {
    const ready = this.#items.shift()
    if (ready !== undefined) return ready
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`waited ${DEADLINE_MS} ms for ${what} at the scripted server`)),
        DEADLINE_MS,
      )
      this.#takers.push((item) => {
        clearTimeout(timer)
        resolve(item)
      })
    })
  }
}

export class ScriptedServer {
  /** How the next connections are logged in. */
  login: LoginScript = acceptLogin
  /** Plays every session from now on by itself; while it is not set, sessions wait for `session()`. */
  onSession: ((session: ServerSession) => Promise<void>) | undefined
  /** Connections that reached their StartupMessage, also refused ones. */
  logins = 0
  readonly #server: Server
  readonly #streams = new Set<MessageStream>()
  readonly #sessions = new Arrivals<ServerSession>()
  readonly #cancels = new Arrivals<CancelConnection>()

  constructor(server: Server) {
    this.#server = server
    server.on('connection', (socket) => {
      const stream = new MessageStream(socket)
      this.#streams.add(stream)
      socket.on('close', () => this.#streams.delete(stream))
      this.#greet(stream).catch((error: unknown) => socket.destroy(error as Error))
    })
  }

  static async listen(login: LoginScript = acceptLogin): Promise<ScriptedServer> {
    const server = createServer()
    const scripted = new ScriptedServer(server)
    scripted.login = login
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return scripted
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port }
  }

  /** Connections open now. */
  get open(): number {
    return this.#streams.size
  }

  /** The next connection that has logged in, in the order of their logins. */
  async session(): Promise<ServerSession> {
    return this.#sessions.take('a connection')
  }

  /** The next CancelRequest; its connection stays open until the test closes it. */
  async cancelRequest(): Promise<CancelConnection> {
    return this.#cancels.take('a CancelRequest')
  }

  async stop(): Promise<void> {
    for (const stream of this.#streams) stream.destroy()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #offer(session: ServerSession): Promise<void> {
    if (this.onSession === undefined) this.#sessions.add(session)
    else await this.onSession(session)
  }

  async #greet(stream: MessageStream): Promise<void> {
    for (;;) {
      const first = await stream.readUntyped('a StartupMessage')
      if (first === undefined) return
      const code = first.body.readInt32BE(0)
      if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
        stream.send(Buffer.from('N'))
        continue
      }
      if (code === CANCEL_REQUEST) {
        const processId = first.body.readInt32BE(4)
        this.#cancels.add({ processId, secret: first.body.subarray(8), close: () => stream.destroy() })
        return
      }
      this.logins += 1
      const words = first.body.toString('utf8', 4).split('\0')
      const startup = new Map<string, string>()
      for (let at = 0; at + 1 < words.length && words[at] !== ''; at += 2) {
        startup.set(words[at] as string, words[at + 1] as string)
      }
      const processId = 1000 + this.logins
      const messages = this.login(processId, startup)
      stream.send(...messages)
      const refused = messages.some((message) => message[0] === 'E'.charCodeAt(0))
      if (refused) stream.end()
      else await this.#offer(new ServerSession(stream, startup, processId))
      return
    }
  }
}
