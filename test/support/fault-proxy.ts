import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'
import { createServer, Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Address } from './raw-client.ts'

/**
 * FaultProxy: a network between the pooler and PostgreSQL that breaks on command: refuses, swallows, delays,
 * trickles, stalls, cuts. Every fault is for the connections of now and for those to come until `heal()`. Owns
 * the listening socket and both ends of every connection through it.
 */

/** Which way bytes go: to PostgreSQL or back to whoever connected. */
export type Direction = 'toServer' | 'toClient'

/** How a connection ends: with FIN in both directions, or with RST. */
type Ending = 'close' | 'reset'

/** What happens to the bytes of one direction, on all connections. */
class Conditions {
  delayMs = 0
  trickling = false
  stalled = false
  /** After so many more bytes the connection that carries the last of them is cut. */
  cut: { bytesLeft: number; ending: Ending } | null = null
  /** Bytes passed on since the start, on all connections. */
  bytes = 0
  readonly #stalled: (() => void)[] = []

  /** Resolves when the direction is not stalled. */
  async open(): Promise<void> {
    while (this.stalled) await new Promise<void>((resolve) => this.#stalled.push(resolve))
  }

  heal(): void {
    this.delayMs = 0
    this.trickling = false
    this.stalled = false
    this.cut = null
    for (const resolve of this.#stalled.splice(0)) resolve()
  }
}

/** One connection: the socket that was accepted, and the one to PostgreSQL behind it. */
class Link {
  readonly #near: Socket
  readonly #far: Socket
  readonly #target: Address
  readonly #conditions: Readonly<Record<Direction, Conditions>>

  constructor(
    near: Socket,
    far: Socket,
    target: Address,
    conditions: Readonly<Record<Direction, Conditions>>,
  ) {
    this.#near = near
    this.#far = far
    this.#target = target
    this.#conditions = conditions
    // What went wrong is passed on to the other side by the flow that reads the socket.
    for (const socket of [near, far]) socket.on('error', () => {})
    near.setNoDelay(true)
    far.setNoDelay(true)
  }

  /** Connects to PostgreSQL and passes bytes on, both ways; until then nothing is read. */
  async forward(): Promise<void> {
    this.#far.connect(this.#target)
    try {
      await once(this.#far, 'connect')
    } catch {
      reset(this.#near)
      return
    }
    await Promise.all([this.#flow('toServer'), this.#flow('toClient')])
  }

  cut(ending: Ending): void {
    for (const socket of [this.#near, this.#far]) {
      if (ending === 'reset') reset(socket)
      else socket.destroy()
    }
  }

  async #flow(direction: Direction): Promise<void> {
    const [source, sink] = direction === 'toServer' ? [this.#near, this.#far] : [this.#far, this.#near]
    const conditions = this.#conditions[direction]
    try {
      // Reads only what is asked for, so whoever does not take bytes stops whoever sends them.
      for await (const chunk of source.iterator({ destroyOnReturn: false })) {
        await conditions.open()
        if (conditions.delayMs > 0) await pause(conditions.delayMs)
        await this.#pass(chunk as Buffer, sink, conditions)
      }
      sink.end()
    } catch {
      reset(sink)
    }
  }

  async #pass(chunk: Buffer, sink: Socket, conditions: Conditions): Promise<void> {
    const { cut } = conditions
    const cutHere = cut !== null && chunk.length >= cut.bytesLeft
    const bytes = cutHere ? chunk.subarray(0, cut.bytesLeft) : chunk
    if (cut !== null) cut.bytesLeft -= bytes.length
    if (cutHere) conditions.cut = null
    const every = conditions.trickling ? 1 : bytes.length
    for (let at = 0; at < bytes.length; at += every) {
      await write(sink, bytes.subarray(at, at + every))
      conditions.bytes += Math.min(every, bytes.length - at)
      // Without a turn between them the other side would read them in one go.
      if (conditions.trickling) await nextTurn()
    }
    if (cutHere) {
      // An RST that comes together with bytes is read as FIN: let a reader in this process have the bytes first.
      await nextTurn()
      await nextTurn()
      this.cut(cut.ending)
    }
  }
}

export class FaultProxy {
  readonly host = '127.0.0.1'
  readonly port: number
  /** Connections accepted since the start. */
  accepted = 0
  readonly #target: Address
  readonly #conditions = { toServer: new Conditions(), toClient: new Conditions() }
  readonly #sockets = new Map<Socket, Link>()
  readonly #swallowed: Link[] = []
  #server: Server | null
  #swallowing = false

  private constructor(server: Server, target: Address) {
    this.#server = server
    this.#target = { host: target.host, port: target.port }
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket) => this.#accept(socket))
  }

  static async start(target: Address): Promise<FaultProxy> {
    return new FaultProxy(await listen(0), target)
  }

  /** Connections that are open now; one that was swallowed counts until the faults are healed. */
  get open(): number {
    return this.#sockets.size
  }

  /** Bytes passed on since the start, on all connections. */
  bytes(direction: Direction): number {
    return this.#conditions[direction].bytes
  }

  /** Connections are refused, as where no PostgreSQL runs. Open ones stay. */
  refuse(): void {
    this.#server?.close()
    this.#server = null
  }

  /** Connections are accepted and never answered. Open ones stay. */
  swallow(): void {
    this.#swallowing = true
  }

  /** Each chunk takes so much longer. */
  delay(direction: Direction, delayMs: number): void {
    this.#conditions[direction].delayMs = delayMs
  }

  /** Every byte comes alone. */
  trickle(direction: Direction): void {
    this.#conditions[direction].trickling = true
  }

  /** Nothing is read any more: what is sent piles up at the sender. */
  stall(direction: Direction): void {
    this.#conditions[direction].stalled = true
  }

  /** After so many more bytes the connection that carries the last of them is cut there. */
  cutAfter(direction: Direction, bytes: number, ending: Ending): void {
    this.#conditions[direction].cut = { bytesLeft: bytes, ending }
  }

  /** All open connections end now. */
  cut(ending: Ending): void {
    for (const link of this.#sockets.values()) link.cut(ending)
  }

  /** Ends every fault: what was held back goes on, connections that were swallowed are made. */
  async heal(): Promise<void> {
    this.#swallowing = false
    for (const conditions of Object.values(this.#conditions)) conditions.heal()
    for (const link of this.#swallowed.splice(0)) void link.forward()
    if (this.#server === null) {
      const server = await listen(this.port)
      server.on('connection', (socket) => this.#accept(socket))
      this.#server = server
    }
  }

  async stop(): Promise<void> {
    this.refuse()
    const closed = [...this.#sockets.keys()].map((socket) => once(socket, 'close'))
    this.cut('close')
    for (const conditions of Object.values(this.#conditions)) conditions.heal()
    await Promise.all(closed)
  }

  #accept(near: Socket): void {
    this.accepted += 1
    const link = new Link(near, new Socket({ allowHalfOpen: true }), this.#target, this.#conditions)
    this.#sockets.set(near, link)
    near.once('close', () => this.#sockets.delete(near))
    if (this.#swallowing) this.#swallowed.push(link)
    else void link.forward()
  }
}

function listen(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}

/** Resolves when the kernel has taken the bytes, so that a reader who does not read is felt here. */
function write(sink: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

/** resetAndDestroy() without the FIN that Node sends before the RST, and that the other side may see alone. */
function reset(socket: Socket): void {
  Object.assign(socket, { resetAndClosing: true }).destroy()
}
