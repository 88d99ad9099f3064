import { PoolerError, SqlState } from '../errors.ts'
import { readErrorFields } from '../protocol/error-response.ts'
import { encodeQuery } from '../protocol/extended-query.ts'
import { Verdict } from '../protocol/framer.ts'
import { BackendType, HEADER_BYTES } from '../protocol/message-type.ts'
import { TransactionStatus } from '../protocol/transaction-status.ts'
import type { ServerConnection, ServerHandler } from './server-connection.ts'

/** Told how a check went. */
export interface CheckOwner {
  /** The server has answered and is ready for a client. */
  onChecked(server: ServerConnection): void
  /** It is gone, by whatever cause; called once. */
  onServerClosed(server: ServerConnection, error: PoolerError): void
}

/**
 * ServerCheck: the handler of a server that is asked server_check_query after server_check_delay. An answer with
 * an error, or one that leaves a transaction open, closes the connection. How long it may take is its owner's
 * business.
 */
export class ServerCheck implements ServerHandler {
  readonly sinceMs = Date.now()
  readonly #owner: CheckOwner

  constructor(server: ServerConnection, query: string, owner: CheckOwner) {
    this.#owner = owner
    server.handler = this
    server.unnamed = null
    server.send(encodeQuery(query))
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
      case BackendType.ErrorResponse: {
        const { sqlState, message } = readErrorFields(buffer, start + HEADER_BYTES, end)
        server.close(
          new PoolerError(sqlState ?? SqlState.ConnectionFailure, `server check failed: ${message}`),
        )
        break
      }
      case BackendType.ParameterStatus:
        server.noteParameter(buffer, start, end)
        break
      case BackendType.ReadyForQuery:
        if (buffer[start + HEADER_BYTES] !== TransactionStatus.Idle) {
          server.close(
            new PoolerError(SqlState.ConnectionFailure, 'server_check_query has left a transaction open'),
          )
        } else this.#owner.onChecked(server)
        break
    }
    return Verdict.Drop
  }

  /** Rows of the answer. */
  onServerRun(server: ServerConnection, buffer: Buffer, start: number, end: number): void {
    server.framer.dropRun(buffer, start, end)
  }

  onServerChunkEnd(): void {}

  onServerCongestion(): void {}

  onServerClosed(server: ServerConnection, error: PoolerError): void {
    this.#owner.onServerClosed(server, error)
  }
}
