import type { Client } from 'pg'
import { eventually } from './eventually.ts'
import { query } from './frontend-messages.ts'
import type { Address, RawClientOptions } from './raw-client.ts'
import { RawClient } from './raw-client.ts'

/**
 * Stage: where one story is played. It connects clients to its target, PostgreSQL or the pooler, and gives the
 * story a second way to the database that does not pass the pooler. Owns the clients of one run.
 */

export interface StageSetting {
  database: string
  /** A connection straight to the database of the story. */
  admin: Client
  password: string
}

export class Stage {
  readonly target: 'PostgreSQL' | 'the pooler'
  readonly address: Address
  readonly database: string
  /** In the order in which they connected. */
  readonly clients: RawClient[] = []
  readonly #admin: Client
  readonly password: string

  constructor(target: Stage['target'], address: Address, setting: StageSetting) {
    this.target = target
    this.address = { host: address.host, port: address.port }
    this.database = setting.database
    this.#admin = setting.admin
    this.password = setting.password
  }

  async connect(options: Partial<RawClientOptions> = {}): Promise<RawClient> {
    const client = await this.open()
    await client.login({ database: this.database, password: this.password, ...options })
    return client
  }

  /** A connection on which nothing was sent yet. */
  async open(): Promise<RawClient> {
    const client = await RawClient.open(this.address)
    this.clients.push(client)
    return client
  }

  /** Runs SQL past the pooler and returns the last statement's rows. */
  async sql<Row = Record<string, unknown>>(text: string): Promise<Row[]> {
    const result: unknown = await this.#admin.query(text)
    const last = Array.isArray(result) ? result.at(-1) : result
    return (last as { rows: Row[] }).rows
  }

  /** Server connections that this story has open now. */
  async serverCount(): Promise<number> {
    const [row] = await this.sql<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    )
    return row?.count ?? 0
  }

  /** Waits until some backend of this story waits for an advisory lock, and returns its process id. */
  async someoneIsBlocked(): Promise<number> {
    const ask = () =>
      this.sql<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      )
    const [row] = await eventually('a backend to wait for a lock', ask, (found) => found.length > 0)
    return row?.pid ?? 0
  }

  /** Makes `client` run a query that does not return before it is cancelled or `release` is called. */
  async block(client: RawClient): Promise<{ pid: number; release: () => Promise<void> }> {
    await this.sql('SELECT pg_advisory_lock(1)')
    client.send(query('SELECT pg_advisory_xact_lock(1)'))
    const pid = await this.someoneIsBlocked()
    return { pid, release: async () => void (await this.sql('SELECT pg_advisory_unlock(1)')) }
  }

  async play(tell: (stage: Stage) => Promise<void>): Promise<void> {
    try {
      await tell(this)
    } catch (error) {
      this.dismiss()
      if (error instanceof Error) error.message = `against ${this.target}: ${error.message}`
      throw error
    }
  }

  /** Closes every client, in good order where that is still possible. */
  dismiss(): void {
    for (const client of this.clients) {
      if (client.stream.ended || client.stream.socket.destroyed) client.destroy()
      else client.end()
    }
  }
}
