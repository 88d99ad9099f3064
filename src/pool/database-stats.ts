/**
 * DatabaseStats: counters of everything that the clients of one database have done, in all its pools, since the
 * pooler started. Plain fields that the hot path adds to; they only grow. Meanings as in PgBouncer's SHOW STATS; times in
 * microseconds.
 */
export class DatabaseStats {
  serverAssignments = 0
  /** Of which each counts when its last batch is answered; a pipeline counts as one query. */
  transactions = 0
  queries = 0
  /** Bytes from and to clients; those of living sessions are added when asked for, and the Parses of living servers. */
  received = 0
  sent = 0
  transactionMicros = 0
  queryMicros = 0
  waitMicros = 0
  clientParses = 0
  serverParses = 0
  binds = 0
  clientLogins = 0
}
