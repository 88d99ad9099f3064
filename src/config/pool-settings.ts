/**
 * The rows of the table of settings about pools: when a server connection is shared, how many there are, how
 * long a client waits for one. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** The longest delay that a timer of Node takes: 2^31 - 1 ms, about 24 days. */
const LongestTimerMs = 2_147_483_647

export const poolSettings = {
  pool_mode: {
    type: 'enum',
    reloadable: true,
    values: ['transaction', 'session', 'statement'],
    in: {
      pooler: {
        default: 'transaction',
        doc: [
          'When a server connection goes back to its pool: "transaction" after each transaction, "session"',
          'when the client leaves, "statement" after each query (transactions of several statements are',
          'refused). PgBouncer starts with "session".',
        ],
      },
      database: {
        otherwise: 'pool_mode of [pooler]',
        example: 'session',
        doc: ['The pool mode of this database: "transaction", "session" or "statement".'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: 'session',
        doc: ['The pool mode of this user, in every database.'],
      },
    },
  },
  default_pool_size: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 1,
    zero: 'unlimited',
    in: {
      pooler: {
        default: 20,
        doc: [
          'How many server connections one pool may have; there is one pool per database and user.',
          '0 means unlimited.',
        ],
      },
    },
  },
  pool_size: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 1,
    zero: 'unlimited',
    in: {
      database: {
        otherwise: 'default_pool_size of [pooler]',
        example: 20,
        doc: ['How many server connections each pool of this database may have. 0 means unlimited.'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: 5,
        doc: ['How many server connections each pool of this user may have. 0 means unlimited.'],
      },
    },
  },
  query_wait_timeout: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '120s',
        doc: ['How long a client may wait for a server connection until it is refused. 0 means for ever.'],
      },
      database: {
        otherwise: 'query_wait_timeout of [pooler]',
        example: '30s',
        doc: ['The query_wait_timeout of the clients of this database.'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: '30s',
        doc: ['The query_wait_timeout of this user, in every database.'],
      },
    },
  },
  max_prepared_statements: {
    type: 'integer',
    reloadable: true,
    unit: 'statements',
    min: 1,
    zero: 'no support for them',
    in: {
      pooler: {
        default: 200,
        doc: [
          'How many prepared statements each server connection keeps; the one unused for longest makes room.',
          'Clients may have any number. 0 turns the support off: names then reach the server as they are.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
