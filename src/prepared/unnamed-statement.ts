import type { ClientStatement } from './client-statements.ts'
import type { PromotedStatement } from './promoted-statements.ts'

/** Longer texts are not kept: such a statement serves the batch that it was sent in, and that server. */
const MAX_KEPT_BYTES = 1024 * 1024

/**
 * UnnamedStatement: one unnamed Parse of a client, kept because a Bind or Describe in a later batch may meet
 * another server. What it means is immutable: the client's session points to the current one, and owed
 * replies to the one before, in case the server skips what was to replace it.
 */
export class UnnamedStatement {
  /** The whole Parse message; null if it is too long to be kept. */
  readonly parse: Buffer | null
  /** DEALLOCATE of this name. */
  readonly deallocatedName: string | null
  /** The client's statement of that name when it was sent: what the server deallocates stands in for it. */
  readonly deallocates: ClientStatement | null
  /** DEALLOCATE or DISCARD of anything. */
  readonly discards: boolean
  /** What it takes back to its value at the session's start: a parameter, in lower case, or 'all'; null = nothing. */
  resets: string | null = null
  /** prepare_unnamed: what stands for it on servers, and the client's parameters when that was looked up. */
  promoted: PromotedStatement | null = null
  meaning: string | null = null
  /** It was seen a second time and is not to be prepared. */
  refused = false

  constructor(
    parse: Buffer,
    discards: boolean,
    deallocatedName: string | null = null,
    deallocates: ClientStatement | null = null,
  ) {
    this.parse = parse.length > MAX_KEPT_BYTES ? null : Buffer.from(parse)
    this.discards = discards
    this.deallocatedName = deallocatedName
    this.deallocates = deallocates
  }

  /** True for the Parse message at `buffer[start, end)`, sent under the same parameters and looked up before. */
  isSame(buffer: Buffer, start: number, end: number, meaning: string): boolean {
    const { parse } = this
    return (
      this.meaning === meaning &&
      parse !== null &&
      parse.length === end - start &&
      parse.compare(buffer, start, end) === 0
    )
  }
}
