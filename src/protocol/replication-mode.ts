import { PoolerError, SqlState } from '../errors.ts'

/**
 * ReplicationMode: what the startup parameter `replication` asks for. A physical replication connection belongs to no
 * database, a logical one to that of its StartupMessage.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol"; parse_bool of PostgreSQL.
 */
export type ReplicationMode = 'none' | 'physical' | 'logical'

/** A boolean as PostgreSQL reads it: its words may be cut as long as they stay distinct. */
const TRUE = /^(t|tr|tru|true|y|ye|yes|on|1)$/i
const FALSE = /^(f|fa|fal|fals|false|n|no|of|off|0)$/i

/** Throws PostgreSQL's own error 22023 for a value that is none. */
export function readReplicationMode(value: string | undefined): ReplicationMode {
  if (value === undefined || FALSE.test(value)) return 'none'
  if (value === 'database') return 'logical'
  if (TRUE.test(value)) return 'physical'
  throw new PoolerError(
    SqlState.InvalidParameterValue,
    `invalid value for parameter "replication": "${value}"`,
    { hint: 'Valid values are: "false", 0, "true", 1, "database".' },
  )
}
