import type { Statement } from '../prepared/statement.ts'
import type { ParameterSet } from '../server/parameter-set.ts'
import type { ServerConnection } from '../server/server-connection.ts'

/**
 * PoolGeneration: what is known about the servers that a pool opens now, and which servers are from before. RECONNECT
 * and changed settings begin another generation: nothing that was known counts any more.
 */
export class PoolGeneration {
  /** The parameters of the newest login, for the welcome of clients; null before the first. */
  welcome: { readonly parameters: ParameterSet; readonly reported: ReadonlyMap<string, string> } | null = null
  /** Statements that a server has accepted: a Parse of one needs no server. */
  knownStatements = new WeakSet<Statement>()
  #number = 0
  #reason = ''

  /** To be kept from before a server is opened until opened() is told. */
  get number(): number {
    return this.#number
  }

  /** A server has logged in whose opening began in generation `number`; `isShared`: with no client's own parameters. */
  opened(server: ServerConnection, number: number, isShared: boolean): void {
    server.generation = number
    if (isShared && number === this.#number)
      this.welcome = { parameters: server.defaults, reported: server.reported }
  }

  next(reason: string): void {
    this.#number += 1
    this.#reason = reason
    this.welcome = null
    this.knownStatements = new WeakSet()
  }

  /** Some of these servers are of an earlier generation. */
  isMixed(servers: Iterable<ServerConnection>): boolean {
    return [...servers].some((server) => this.retireReason(server) !== null)
  }

  /** Why a server of an earlier generation is not used any more; null for one of this generation. */
  retireReason({ generation }: ServerConnection): string | null {
    return generation === this.#number ? null : this.#reason
  }
}
