import { encodeParse } from '../protocol/extended-query.ts'
import { HEADER_BYTES } from '../protocol/message-type.ts'

/** Names on servers start with this; a client's own name never reaches a server while it is registered. */
export const SERVER_NAME_PREFIX = 'pooler_'

/** One statement as servers know it. */
export class Statement {
  /** The name on every server. */
  readonly name: string
  readonly nameBytes: Buffer
  /** The whole Parse message under that name. */
  readonly parse: Buffer
  readonly key: string
  /** Length of the query text and its parameter types. */
  readonly textBytes: number
  /** Executing it may change session parameters without a tag that says so; null until somebody has looked. */
  setsParameters: boolean | null = null
  /** DEALLOCATE ALL or DISCARD: until it is answered it is not certain which names exist. */
  discards = false
  /** What it takes back to its value at the session's start: a parameter, in lower case, or 'all'; null = nothing. */
  resets: string | null = null
  /** It may create something, also where its tag is that of a SELECT. */
  creates = false
  /** Clients' names and servers' entries that refer to it. */
  references = 0
  /** Those of clients alone. */
  names = 0
  /**
   * Raised when a server said that its plan no longer fits the tables; entries of an older epoch are parsed
   * anew before their next use, on every server.
   */
  epoch = 0

  constructor(id: number, key: string, text: Buffer) {
    this.name = `${SERVER_NAME_PREFIX}${id.toString(36)}`
    this.nameBytes = Buffer.from(this.name, 'latin1')
    this.parse = encodeParse(this.name, text)
    this.key = key
    this.textBytes = text.length
  }

  /** The query text, for operators. */
  get query(): string {
    const start = HEADER_BYTES + this.nameBytes.length + 1
    return this.parse.toString('utf8', start, this.parse.indexOf(0, start))
  }
}
