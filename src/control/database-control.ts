import { type Config, findDatabase } from '../config/config.ts'
import { PoolerError, SqlState } from '../errors.ts'
import type { Multiplexer } from '../multiplexer/multiplexer.ts'
import type { PoolDirectory } from '../pool/pool-directory.ts'

/** DatabaseControl: the part of PoolerControl that is about databases and their pools. It owns no state. */
export class DatabaseControl {
  readonly #config: () => Config
  readonly #pools: PoolDirectory
  readonly #multiplexer: Multiplexer

  constructor(config: () => Config, pools: PoolDirectory, multiplexer: Multiplexer) {
    this.#config = config
    this.#pools = pools
    this.#multiplexer = multiplexer
  }

  async pause(database?: string): Promise<void> {
    this.#check(database)
    const pools = this.#pools
    if (database === undefined ? pools.allPaused : pools.isPaused(database))
      throw refused('already suspended/paused')
    pools.pause(database)
    this.#endReplication(database)
    await Promise.all(
      pools
        .of(database)
        .map((pool) => pool.until(() => !pool.paused || pool.activeCount + pool.tested === 0)),
    )
  }

  resume(database?: string): void {
    this.#check(database)
    const pools = this.#pools
    if (database === undefined && !pools.somePaused) throw refused('pooler is not paused/suspended')
    if (database !== undefined && !pools.isPaused(database))
      throw refused(`database ${database} is not paused`)
    pools.resume(database)
  }

  reconnect(database?: string): void {
    this.#check(database)
    for (const pool of this.#pools.of(database)) pool.renew('reconnect')
  }

  kill(database?: string): void {
    this.#check(database)
    const error = new PoolerError(SqlState.AdminShutdown, 'database removed', {
      detail: 'An operator has closed all connections of this database (KILL).',
    })
    this.#pools.pause(database)
    this.#multiplexer.disconnect(error, ({ pool }) => database === undefined || pool.database === database)
    for (const pool of this.#pools.of(database)) pool.kill(error)
  }

  setDisabled(database: string, disabled: boolean): void {
    this.#check(database)
    this.#pools.setDisabled(database, disabled)
  }

  async waitClose(database?: string): Promise<void> {
    this.#check(database)
    await Promise.all(
      this.#pools.of(database).map((pool) => pool.until(() => !pool.generation.isMixed(pool.supply.servers))),
    )
  }

  /** Connections for replication do not come back at the end of a transaction: they are not waited for. */
  #endReplication(database: string | undefined): void {
    const error = new PoolerError(SqlState.AdminShutdown, 'the database is paused', {
      detail: 'An operator has paused it (PAUSE).',
    })
    for (const session of [...this.#multiplexer.replications]) {
      const isMeant = database === undefined || session.pool.database === database
      if (isMeant && session.server !== null) session.fail(error)
    }
  }

  #check(database: string | undefined): void {
    if (database !== undefined && findDatabase(this.#config(), database) === undefined)
      throw refused(`no such database: ${database}`, SqlState.InvalidCatalogName)
  }
}

function refused(message: string, sqlState: SqlState = SqlState.ObjectNotInState): PoolerError {
  return new PoolerError(sqlState, message, { severity: 'ERROR' })
}
