import type { ClientConnection, ClientHandler } from '../client/client-connection.ts'
import type { PoolMode } from '../config/config.ts'
import type { SessionLimits } from '../config/session-limits.ts'
import type { PoolerError } from '../errors.ts'
import type { Logger } from '../log.ts'
import type { ConnectionCounts } from '../net/connection-counts.ts'
import type { ServerPool } from '../pool/server-pool.ts'
import { type ClientStatement, ClientStatements } from '../prepared/client-statements.ts'
import type { NameRewriter } from '../prepared/rewrite.ts'
import type { Statement } from '../prepared/statement.ts'
import type { StatementRegistry } from '../prepared/statement-registry.ts'
import type { UnnamedStatement } from '../prepared/unnamed-statement.ts'
import type { Framer } from '../protocol/framer.ts'
import type { Lessee } from '../server/lessee.ts'
import type { ServerConnection, ServerHandler } from '../server/server-connection.ts'
import { BatchRecorder } from './batch-recorder.ts'
import type { FineClock } from './fine-clock.ts'
import type { KnownParameters } from './known-parameters.ts'
import type { LazyBeginCounts } from './lazy-begin-counts.ts'
import { Resets } from './resets.ts'

export const SessionPhase = {
  /** Authenticated, not yet welcomed. */
  Welcome: 0,
  Active: 1,
  /** The client is gone; its server is being cleaned for the next. */
  Leaving: 2,
  Ended: 3,
} as const
export type SessionPhase = (typeof SessionPhase)[keyof typeof SessionPhase]

/** The transaction block of a session without a server (lazy_begin). */
export const Begun = {
  No: 0,
  /** BEGIN was answered; the server gets it with the next statement. */
  Yes: 1,
  /** The same, and a statement of it was canceled while it waited for a server. */
  Failed: 2,
} as const
export type Begun = (typeof Begun)[keyof typeof Begun]

/** What all sessions share. */
export interface SessionContext {
  readonly registry: StatementRegistry
  readonly knownParameters: KnownParameters
  readonly rewriter: NameRewriter
  readonly clock: FineClock
  readonly lazyBegins: LazyBeginCounts
  readonly log: Logger
  /** Null where nobody reads them. */
  readonly counts: ConnectionCounts | null
  /** server_reset_query, for session pooling; empty = none. */
  readonly resetQuery: string
  /** Why clients are disconnected once they are in no transaction; null = they are served. */
  readonly draining: PoolerError | null
  /** Invents the key data with which this session's queries can be canceled. */
  addCancelKey(session: Session): { readonly processId: number; readonly secret: Buffer }
  /** Sends a CancelRequest for what `server` is executing for `session`; never rejects. */
  cancelServer(session: Session, server: ServerConnection): Promise<void>
  /** The session is over and owns nothing any more. */
  ended(session: Session, reason: string): void
}

/** Receives everything that happens to a session; session-handler.ts. */
export type SessionEvents = Lessee & ServerHandler & ClientHandler

/**
 * Session: one logged-in client and, for the length of a transaction, the server leased to it. It is the
 * state that the files of this folder work on; when the client goes first, it stays until its server is
 * clean.
 */
export class Session {
  readonly client: ClientConnection
  readonly pool: ServerPool
  readonly mode: PoolMode
  /** Timeouts of the client; a reload replaces them. */
  limits: SessionLimits
  readonly context: SessionContext
  /** The client's names; null where statements are not tracked. */
  readonly statements: ClientStatements | null
  /** The client's unnamed statement, and the batch that changed it last. */
  unnamed: UnnamedStatement | null = null
  unnamedBatch = 0
  /** The client has asked for the columns of its unnamed statement. */
  unnamedDescribed = false
  /** The promoted statement that this lease has used last, and in which batch. */
  promotedUsed: Statement | null = null
  promotedBatch = 0
  /** The last batch with an Execute. */
  executedBatch = 0
  /** In a batch that is repeated: so many ParseComplete of unnamed statements the client has already. */
  parsesAnswered = 0
  /** Something in the open transaction has changed the schema, or may have. */
  schemaChanged = false
  readonly recorder = new BatchRecorder()
  /** The name that the last Bind used; null for the unnamed statement, and where names are not tracked. */
  boundName: ClientStatement | null = null
  /** The last Bind used the unnamed statement. */
  boundUnnamed = false
  /** Where the client's messages come from: its own framer, or that of a batch being repeated. */
  source: Framer
  /** The handler of both connections; set by session-handler.ts. */
  events!: SessionEvents
  phase: SessionPhase = SessionPhase.Welcome
  server: ServerConnection | null = null
  begun: Begun = Begun.No
  /** In the queue of the pool. */
  waiting = false
  /** After an error in the extended protocol: what the client sends is discarded up to its Sync. */
  skipToSync = false
  /** Messages are held back until the server has answered earlier ones. */
  heldForReply = false
  /** How many DEALLOCATE or DISCARD are on their way: names are not certain before their replies. */
  discards = 0
  /** A batch is about to be repeated: nothing may come before it. */
  repeating = false
  /** The client asked to cancel while it waited: its next message is answered with 57014. */
  canceled = false
  /** RESET or DISCARD ALL was executed: startup values may have to be applied again. */
  readonly resets = new Resets()
  /** A FATAL ErrorResponse of the server has been forwarded. */
  fatalSeen = false
  /** The client is not read because too many replies are owed. */
  owedPaused = false
  /** A cancel came while the server was still being prepared for the client's query. */
  cancelWanted = false
  /** The client broke the protocol: told when what it asked for before has been answered. */
  pendingError: PoolerError | undefined = undefined
  /** Terminate has been received: whatever follows is ignored. */
  terminated = false
  /** When what the server is to answer now was asked for, the wait for a server included; 0 = nothing is asked. */
  requestSinceMs = 0
  /** When the server was leased that it has now. */
  leasedAtMs = 0
  /** When the transaction began; 0 = there is none. */
  transactionSinceMs = 0
  /** When the last answer was complete: since then the client does nothing, unless it has asked for more. */
  answeredAtMs = Date.now()
  /** The client has been told that it is in the queue. */
  notified = false
  /** When the client sent FIN or was closed; 0 = not yet. */
  leavingSinceMs = 0
  /** Bytes that the server had sent by then. */
  bytesAtLeaving = 0
  cancelSent = false
  resetSent = false
  closeReason = ''

  constructor(
    client: ClientConnection,
    pool: ServerPool,
    limits: SessionLimits,
    tracksStatements: boolean,
    context: SessionContext,
  ) {
    this.client = client
    this.pool = pool
    this.limits = limits
    this.mode = pool.policy.mode
    this.context = context
    this.source = client.framer
    pool.clients.join()
    this.statements = tracksStatements ? new ClientStatements(context.registry) : null
  }
}
