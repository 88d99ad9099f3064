import type { ClientStatement } from './client-statements.ts'

/** Longer texts are not kept: such a statement serves the batch that it was sent in, and that server. */
const MAX_KEPT_BYTES = 1024 * 1024

/**
 * UnnamedStatement: one unnamed Parse of a client, kept because a Bind or Describe in a later batch may meet
 * another server. Immutable: the client's session points to the current one, and owed replies to the one
 * before, in case the server skips what was to replace it.
 */
export class UnnamedStatement {
  /** The whole Parse message; null if it is too long to be kept. */
  readonly parse: Buffer | null
  /** DEALLOCATE of this name: carried out when the statement has been executed. */
  readonly deallocates: ClientStatement | null
  /** DEALLOCATE or DISCARD of anything. */
  readonly discards: boolean

  constructor(parse: Buffer, discards: boolean, deallocates: ClientStatement | null = null) {
    this.parse = parse.length > MAX_KEPT_BYTES ? null : Buffer.from(parse)
    this.discards = discards
    this.deallocates = deallocates
  }
}
