import { strict as assert } from 'node:assert'
import type { ClientStatement } from '../prepared/client-statements.ts'
import type { ServerStatement } from '../prepared/server-statements.ts'
import type { Statement } from '../prepared/statement.ts'
import type { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import type { ParameterSet } from './parameter-set.ts'

/**
 * RequestTracker: the replies that one server still owes, oldest first. Every message that owes a reply
 * pushes an entry; every reply takes the oldest. Owned by the ServerConnection, filled by
 * `multiplexer/from-client.ts`, emptied by `multiplexer/from-server.ts`.
 *
 *      head                                   tail
 *       | parse  bind  describe  execute  sync | parse*  bind ...        * synthesise: the server was not asked
 *       '------------- batch 7 ---------------' '-- batch 8 --
 *
 * A batch ends with the message that ReadyForQuery answers: Sync, Query or FunctionCall.
 */

export const Reply = {
  None: 0,
  /** Q: any number of results, then ReadyForQuery. */
  Query: 1,
  /** S: ReadyForQuery. */
  Sync: 2,
  /** F: FunctionCallResponse, ReadyForQuery. */
  FunctionCall: 3,
  /** P: ParseComplete. */
  Parse: 4,
  /** B: BindComplete. */
  Bind: 5,
  /** D: RowDescription or NoData (behind a ParameterDescription for statements). */
  Describe: 6,
  /** E: CommandComplete, EmptyQueryResponse or PortalSuspended. */
  Execute: 7,
  /** C: CloseComplete. */
  Close: 8,
  /** CopyDone or CopyFail: no reply of its own, marks how far a COPY reads. */
  CopyEnd: 9,
} as const
export type Reply = (typeof Reply)[keyof typeof Reply]

export const ReplyAction = {
  /** The reply goes to the client. */
  Forward: 0,
  /** The pooler asked; the client must not see the reply. */
  Skip: 1,
  /** The server was not asked; the pooler answers at this place. */
  Synthesise: 2,
} as const
export type ReplyAction = (typeof ReplyAction)[keyof typeof ReplyAction]

/** What becomes true when the reply arrives, and is undone when the server never gets to the message. */
export const Effect = {
  None: 0,
  /** Parse: `onServer` is on the server; `name`, if any, is the client's. */
  Prepare: 1,
  /** Close of a client's `name`. */
  Unname: 2,
  /** Close of the evicted server entry `onServer`. */
  Evict: 3,
  /** Bind or Describe of `statement`. */
  Use: 4,
  /** Parse under a name that is in use: its error names the client's `name`. */
  Duplicate: 5,
  /** Query or Execute of DEALLOCATE for `name`. */
  Deallocate: 6,
  /** The Query that applies session parameters. */
  ApplyParameters: 7,
  /** Query or Execute of a DEALLOCATE or DISCARD: until its reply it is not certain which names exist. */
  Discard: 8,
  /** SET LOCAL: leaves nothing behind. */
  SetLocal: 9,
  /** RESET or SET ... TO DEFAULT of `resets`. */
  Reset: 10,
  /** An unnamed Parse of a repeated batch, whose ParseComplete the client has. */
  ParseAgain: 15,
  /** Sync of a batch that will be repeated. */
  Repeat: 11,
  /** ROLLBACK or server_reset_query on behalf of a client that has left. */
  CleanUp: 12,
  /** The BEGIN that the client was answered before it had a server. */
  Begin: 13,
  /** The same for a transaction that has failed since: its error is wanted. */
  BeginFailed: 14,
} as const
export type Effect = (typeof Effect)[keyof typeof Effect]

/** One reply owed; entries are reused, never allocated per message. */
export class OwedReply {
  reply: Reply = Reply.None
  action: ReplyAction = ReplyAction.Forward
  effect: Effect = Effect.None
  statement: Statement | null = null
  name: ClientStatement | null = null
  /** Prepare and Evict: the server's entry. */
  onServer: ServerStatement | null = null
  /** The message replaces or destroys the unnamed statement: which one was the client's before, if any. */
  changesUnnamed = false
  unnamedBefore: UnnamedStatement | null = null
  /** The server had that. */
  unnamedWasThere = false
  /** A parameter, or 'all'. */
  resets = ''
  /** For ApplyParameters: what the server had before, in case the query fails or is skipped. */
  parameters: ParameterSet | null = null
  residue = 0
  /** Number of the batch it belongs to. */
  batch = 0

  /** The pooler asked: the client must not see the reply. */
  get isInjected(): boolean {
    return this.action === ReplyAction.Skip
  }
}

const INITIAL_CAPACITY = 16

export class RequestTracker {
  /** A ring; its length is a power of two. */
  #ring: OwedReply[] = []
  #head = 0
  #length = 0
  /** Number of the batch that the next message belongs to. */
  batch = 1
  /** Parse messages that the server was sent, ever. */
  parses = 0
  /** Extended-protocol messages were sent and no Sync behind them yet. */
  batchOpen = false
  /** The server is reading COPY data: it answers nothing until the COPY ends. */
  copyIn = false

  /** Replies owed. */
  get length(): number {
    return this.#length
  }

  /** The oldest entry. */
  get head(): OwedReply | null {
    return this.#length === 0 ? null : (this.#ring[this.#head] as OwedReply)
  }

  get nextIsSynthesised(): boolean {
    return this.#length > 0 && (this.#ring[this.#head] as OwedReply).action === ReplyAction.Synthesise
  }

  /** The oldest reply that the server is to give; null where the pooler gives all that are owed. */
  get firstOfServer(): OwedReply | null {
    for (let i = 0; i < this.#length; i++) {
      const entry = this.at(i)
      if (entry.action !== ReplyAction.Synthesise) return entry
    }
    return null
  }

  /** The entry at `index`, counted from the oldest. */
  at(index: number): OwedReply {
    assert(index < this.#length)
    return this.#ring[(this.#head + index) & (this.#ring.length - 1)] as OwedReply
  }

  push(reply: Reply, action: ReplyAction): OwedReply {
    if (this.#length === this.#ring.length) this.#grow()
    const entry = this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] as OwedReply
    this.#length += 1
    entry.reply = reply
    entry.action = action
    entry.effect = Effect.None
    entry.statement = null
    entry.name = null
    entry.onServer = null
    entry.resets = ''
    entry.changesUnnamed = false
    entry.batch = this.batch
    if (reply === Reply.Parse && action !== ReplyAction.Synthesise) this.parses += 1
    if (endsBatch(reply)) {
      this.batch += 1
      this.batchOpen = false
    } else if (reply !== Reply.CopyEnd || (this.copyIn && this.head?.reply === Reply.Execute)) {
      // Behind the end of a COPY a Sync must come: those before it were read as part of the data.
      this.batchOpen = true
    }
    return entry
  }

  /**
   * Takes the oldest entry away; it stays readable until the next push. Marks of a COPY's end that come to
   * the front without a COPY go with it: the server ignores such messages, too.
   */
  shift(): OwedReply {
    assert(this.#length > 0)
    const entry = this.#ring[this.#head] as OwedReply
    this.#drop(1)
    while (this.#length > 0 && (this.#ring[this.#head] as OwedReply).reply === Reply.CopyEnd) this.#drop(1)
    return entry
  }

  /**
   * After an error in the extended protocol the server skips everything up to the next Sync: so do we, newest
   * first, so that what is undone returns to what was before. Returns false if that Sync was not sent yet.
   */
  discardToSync(undo: (entry: OwedReply) => void): boolean {
    let count = 0
    while (count < this.#length && this.at(count).reply !== Reply.Sync) count += 1
    for (let i = count - 1; i >= 0; i--) undo(this.at(i))
    this.#drop(count)
    return this.#length > 0
  }

  /**
   * A COPY from the client has ended, well or badly. What was sent between the COPY and its end was read
   * as part of it: Syncs (ignored) and the mark of the end itself. Where it failed in front of other messages, the Syncs
   * before these are taken to have been read, as they are where they come in front of the data. Returns what was found
   * behind the head.
   */
  endCopy(): { syncs: number; others: number; ended: boolean } {
    this.copyIn = false
    let syncs = 0
    let others = 0
    let count = 1
    let read = 0
    let ended = false
    while (count < this.#length && !ended) {
      const { reply } = this.at(count)
      if (reply === Reply.CopyEnd) ended = true
      else if (reply === Reply.Sync) syncs += 1
      else others += 1
      count += 1
      if (others === 0) read += 1
    }
    this.#dropBehindHead(read)
    if (syncs > 0 && !this.#endsLater()) this.batchOpen = true
    return { syncs, others, ended }
  }

  /** A batch of the client's before the one being sent has not been answered: it may still fail. */
  get hasEarlierBatch(): boolean {
    for (let i = 0; i < this.#length; i++) {
      const entry = this.at(i)
      if (entry.batch === this.batch) return false
      if (!entry.isInjected) return true
    }
    return false
  }

  /** The second reply owed is that to the BEGIN of lazy_begin. */
  get beginsTransaction(): boolean {
    if (this.#length < 2) return false
    const { effect } = this.at(1)
    return effect === Effect.Begin || effect === Effect.BeginFailed
  }

  /** The first message behind batch `batch` that changes the unnamed statement. */
  nextChange(batch: number): OwedReply | null {
    for (let i = 0; i < this.#length; i++) {
      const entry = this.at(i)
      if (entry.batch > batch && entry.changesUnnamed) return entry
    }
    return null
  }

  /** A message that ends a batch was sent behind the oldest. */
  #endsLater(): boolean {
    for (let i = 1; i < this.#length; i++) if (endsBatch(this.at(i).reply)) return true
    return false
  }

  /** In a COPY: something has been sent that is neither data nor its end, and no Sync, which is ignored there. */
  get sentInsteadOfCopyData(): boolean {
    for (let i = 1; i < this.#length; i++) {
      const { reply } = this.at(i)
      if (reply !== Reply.Sync && reply !== Reply.CopyEnd) return true
    }
    return false
  }

  /** The end of a COPY's data has been sent already. */
  get copyEndSent(): boolean {
    for (let i = 1; i < this.#length; i++) if (this.at(i).reply === Reply.CopyEnd) return true
    return false
  }

  /** Forgets everything that is owed, newest first. */
  clear(undo: (entry: OwedReply) => void): void {
    for (let i = this.#length - 1; i >= 0; i--) undo(this.at(i))
    this.#drop(this.#length)
    this.copyIn = false
  }

  #drop(count: number): void {
    this.#head = (this.#head + count) & (this.#ring.length - 1)
    this.#length -= count
  }

  /** Removes `count` entries behind the oldest by moving the oldest over them. */
  #dropBehindHead(count: number): void {
    if (count === 0) return
    const mask = this.#ring.length - 1
    const target = (this.#head + count) & mask
    const head = this.#ring[this.#head] as OwedReply
    this.#ring[this.#head] = this.#ring[target] as OwedReply
    this.#ring[target] = head
    this.#drop(count)
  }

  #grow(): void {
    const capacity = Math.max(INITIAL_CAPACITY, 2 * this.#ring.length)
    const ring: OwedReply[] = []
    for (let i = 0; i < this.#length; i++) ring.push(this.at(i))
    while (ring.length < capacity) ring.push(new OwedReply())
    this.#ring = ring
    this.#head = 0
  }
}

/** ReadyForQuery answers these. */
export function endsBatch(reply: Reply): boolean {
  return reply === Reply.Query || reply === Reply.Sync || reply === Reply.FunctionCall
}
