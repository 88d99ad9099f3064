import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'

/** TlsRecordRelay: stands before a server that speaks TLS and notes what it sends, record by record. */
export class TlsRecordRelay {
  readonly #server: Server
  #sent = Buffer.alloc(0)

  private constructor(server: Server) {
    this.#server = server
  }

  /** Listens on a free port and passes everything on to `port`. */
  static async open(port: number): Promise<TlsRecordRelay> {
    const server = createServer((client) => {
      const behind = connect(port, '127.0.0.1')
      behind.on('data', (bytes: Buffer) => {
        relay.#sent = Buffer.concat([relay.#sent, bytes])
      })
      client.pipe(behind).pipe(client)
      for (const socket of [client, behind]) {
        socket.on('error', () => {
          client.destroy()
          behind.destroy()
        })
      }
    })
    const relay = new TlsRecordRelay(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return relay
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The length that each record of the server says that it has. */
  recordLengths(): number[] {
    const lengths: number[] = []
    for (let at = 0; at + 5 <= this.#sent.length; ) {
      const length = this.#sent.readUInt16BE(at + 3)
      lengths.push(length)
      at += 5 + length
    }
    return lengths
  }

  async close(): Promise<void> {
    this.#server.close()
    await once(this.#server, 'close')
  }
}
