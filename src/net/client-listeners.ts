import type { PoolerSettings } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { encodePoolerError } from '../protocol/error-response.ts'
import { DescriptorGuard } from './descriptor-guard.ts'
import { groupId } from './group-id.ts'
import { isElsewhere, listenAddresses } from './listen-addresses.ts'
import type { BoundListener, Connection, ListenOptions, Transport } from './transport.ts'

/** PgBouncer's: who may be there at all is the business of the folder's permissions. */
const EverybodyMode = 0o777

const OUT_OF_DESCRIPTORS = encodePoolerError(
  new PoolerError(
    SqlState.TooManyConnections,
    'no more connections allowed (the limit of open files of the pooler)',
  ),
)

/**
 * ClientListeners: everywhere that clients are accepted, on the addresses of listen_addr and on the unix socket
 * of unix_socket_dir. Made by the composition root; owns the listeners.
 */
export class ClientListeners {
  readonly #transport: Transport
  readonly #guard: DescriptorGuard
  readonly #log: Logger
  readonly #listeners: BoundListener[] = []

  constructor(transport: Transport, log: Logger) {
    this.#transport = transport
    this.#guard = new DescriptorGuard({ refusal: OUT_OF_DESCRIPTORS, log })
    this.#log = log
  }

  /** The first one; a unix socket's is its folder and port, as clients write them. */
  get first(): BoundListener | undefined {
    return this.#listeners[0]
  }

  /** How many clients were refused for want of file descriptors. */
  get refused(): number {
    return this.#guard.refused
  }

  /** Listens on all or, where one fails, on none: then rejects with PoolerError F0000. */
  async open(settings: PoolerSettings, onAccept: (connection: Connection) => void): Promise<void> {
    const accept = (connection: Connection): void => {
      if (this.#guard.admits(connection)) onAccept(connection)
    }
    const { listen_addr, listen_port, listen_backlog: backlog, unix_socket_dir: folder } = settings
    try {
      const taken = new Set<string>()
      for (const item of listen_addr) {
        try {
          const addresses = await listenAddresses(item)
          // "localhost, 127.0.0.1" is no conflict.
          const others = addresses.filter((address) => !taken.has(address))
          await this.#listenAtSome(others, { port: listen_port, backlog }, accept)
          for (const address of others) taken.add(address)
        } catch (error) {
          throw cannotListen(item, listen_port, error)
        }
      }
      if (folder === undefined) return
      const { unix_socket_mode: mode = EverybodyMode, unix_socket_group: group } = settings
      const port = listen_port === 0 ? (this.first?.port ?? 0) : listen_port
      const owner = group === undefined ? {} : { groupId: await groupId(group) }
      await this.#listen({ folder, port, backlog, mode, ...owner }, accept)
    } catch (error) {
      await this.close()
      throw error
    }
  }

  /** Accepts nobody any more; open connections stay. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()))
  }

  /**
   * On the addresses of one name. Rejects with the system's error where one fails for a reason of its own, or all do.
   */
  async #listenAtSome(
    addresses: readonly string[],
    { port, backlog }: { port: number; backlog: number },
    accept: (connection: Connection) => void,
  ): Promise<void> {
    const before = this.#listeners.length
    let failure: unknown
    for (const host of addresses) {
      try {
        // Any free port is the same one for all of them.
        await this.#listen({ host, port: port === 0 ? (this.first?.port ?? 0) : port, backlog }, accept)
      } catch (error) {
        if (!isElsewhere(error)) throw error
        failure = error
      }
    }
    if (failure !== undefined && this.#listeners.length === before) throw failure
  }

  async #listen(options: ListenOptions, accept: (connection: Connection) => void): Promise<void> {
    const listener = await this.#transport.listen(options, accept, (error) => this.#guard.failed(error))
    this.#listeners.push(listener)
    this.#log.info({ host: listener.host, port: listener.port }, 'listening')
  }
}

function cannotListen(host: string, port: number, error: unknown): PoolerError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const message =
    code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use by another program: choose another listen_port, or stop that program`
      : `cannot listen on ${host}, port ${port}: ${error instanceof Error ? error.message : String(error)}`
  return new PoolerError(SqlState.ConfigurationError, message, { cause: error })
}
