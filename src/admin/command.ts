import type { Column, Value } from '../protocol/result-set.ts'
import type { AdminContext } from './admin-context.ts'

/** Who may use a command: those of admin_users, or those of stats_users as well. */
export type Access = 'admin' | 'stats'

export interface Table {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly Value[])[]
}

/** What a command answers. */
export interface Outcome {
  /** The tag of its CommandComplete. */
  readonly tag: string
  readonly table?: Table
  /** Sent in front of it: NoticeResponses. */
  readonly notice?: Buffer
}

/** SHOW something: a table, made when it is asked for. */
export interface ShowCommand {
  /** Behind SHOW, upper case. */
  readonly name: string
  readonly access: Access
  /** What it shows, known before it is run: extended protocol describes first. */
  readonly columns: readonly Column[]
  rows(context: AdminContext): readonly (readonly Value[])[]
}

/** Does something, perhaps taking its time. Throws a PoolerError that the console answers. */
export interface ActionCommand {
  readonly name: string
  /** What SHOW HELP says behind the name. */
  readonly usage: string
  /** Resolves with the tag. */
  run(context: AdminContext, argument: string | undefined): Promise<void> | void
  /**
   * Takes it back when the client cancels or leaves before it is done. A command without this is carried to its end,
   * whatever becomes of the client.
   */
  interrupt?(context: AdminContext, argument: string | undefined): void
}
