import { PoolerError, SqlState } from '../errors.ts'
import type { Logger } from '../log.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, backendTypeName, HEADER_BYTES } from '../protocol/message-type.ts'
import type { ServerConnection, ServerHandler } from '../server/server-connection.ts'
import { ServerState } from '../server/server-state.ts'

/**
 * IdleServerHandler: the handler of the servers that nobody uses. What PostgreSQL may say unasked is noted or
 * dropped; anything else means that the connection is not what it should be, and it is closed.
 */
export class IdleServerHandler implements ServerHandler {
  readonly #pool: string
  readonly #log: Logger
  readonly #owner: Pick<ServerHandler, 'onServerClosed'>

  /** `owner` is told when one of them is gone. */
  constructor(pool: string, log: Logger, owner: Pick<ServerHandler, 'onServerClosed'>) {
    this.#pool = pool
    this.#log = log
    this.#owner = owner
  }

  /** A server has logged in, for everybody or for one client. Rejects, after its session is gone, if it cannot be used. */
  async admit(server: ServerConnection, isShared: boolean): Promise<void> {
    try {
      if (isShared) this.#adopt(server)
      else this.#keepForOne(server)
    } catch (error) {
      await server.untilGone()
      throw error
    }
  }

  /** Nobody uses this server any more. */
  take(server: ServerConnection): void {
    server.handler = this
    server.idleSinceMs = Date.now()
    if (server.state !== ServerState.Closed) server.state = ServerState.Idle
  }

  onServerMessage(
    server: ServerConnection,
    type: number,
    _total: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): Verdict {
    switch (type) {
      case BackendType.ParameterStatus:
        server.noteParameter(buffer, start, end)
        break
      case BackendType.NoticeResponse:
      case BackendType.NotificationResponse:
        this.#log.debug(
          { pool: this.#pool, message: backendTypeName(type) },
          'message of an idle server dropped',
        )
        break
      case BackendType.ErrorResponse: {
        const { sqlState, message } = readErrorFields(buffer, start + HEADER_BYTES, end)
        server.close(new PoolerError(sqlState ?? SqlState.ConnectionFailure, message ?? 'error while idle'))
        break
      }
      default:
        throw new PoolerError(SqlState.ProtocolViolation, `unexpected ${backendTypeName(type)} while idle`)
    }
    return Verdict.Drop
  }

  onServerRun(): void {
    throw new PoolerError(SqlState.ProtocolViolation, 'unexpected data while idle')
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(server: ServerConnection, error: PoolerError): void {
    this.#owner.onServerClosed(server, error)
  }

  /**
   * What a server for everybody sent behind its login is handled now. Throws PoolerError if that is nonsense,
   * or its end.
   */
  #adopt(server: ServerConnection): void {
    this.take(server)
    try {
      server.framer.resume()
    } catch (error) {
      if (error instanceof PoolerError) server.close(error)
      throw error
    }
    checkOpen(server)
  }

  /**
   * A server has logged in that is for one client alone, who becomes its handler next. What it sent behind its login
   * is kept. Throws PoolerError if it is closed already.
   */
  #keepForOne(server: ServerConnection): void {
    this.take(server)
    checkOpen(server)
    server.state = ServerState.Active
    // Nobody else could use another one in its place.
    server.replaced = true
  }
}

function checkOpen({ state }: ServerConnection): void {
  if (state === ServerState.Closed)
    throw new PoolerError(
      SqlState.ConnectionFailure,
      'the server closed the connection right after its login',
    )
}
