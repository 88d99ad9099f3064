/**
 * The rows of the table of settings about pools: when a server connection is shared, how many there are, how
 * they are opened. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** For times that are only ever compared with a clock. */
const TenYearsMs = 10 * 365 * 24 * 3600 * 1000

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
    word: 'auto',
    in: {
      database: {
        otherwise: 'default_pool_size of [pooler]',
        example: 20,
        doc: [
          'How many server connections each pool of this database may have. 0 means unlimited. "auto" means',
          'default_pool_size, of which only as many are used at once as finish most transactions: found by',
          'measuring, while clients wait. Not for session pooling.',
        ],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: 5,
        doc: [
          'How many server connections each pool of this user may have. 0 means unlimited; "auto" as for a database.',
        ],
      },
    },
  },
  min_pool_size: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 0,
    in: {
      pooler: {
        default: 0,
        doc: [
          'How many server connections each pool keeps open although nobody needs them. A pool begins to do so',
          'with its first client; that of a database with a forced "user" when the pooler starts. Clients of other',
          'pools that a limit in common keeps waiting come first.',
        ],
      },
      database: {
        otherwise: 'min_pool_size of [pooler]',
        example: 5,
        doc: ['The min_pool_size of each pool of this database.'],
      },
    },
  },
  reserve_pool_size: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 0,
    in: {
      pooler: {
        default: 0,
        doc: [
          'How many server connections more than its size a pool may have while a client has been waiting for',
          'longer than reserve_pool_timeout.',
        ],
      },
      database: {
        otherwise: 'reserve_pool_size of [pooler]',
        example: 5,
        doc: ['The reserve_pool_size of each pool of this database.'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: 2,
        doc: ['The reserve_pool_size of each pool of this user.'],
      },
    },
  },
  reserve_pool_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '5s',
        doc: ['How long a client waits until its pool may use its reserve. 0 means for ever.'],
      },
    },
  },
  max_db_connections: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 1,
    zero: 'unlimited',
    in: {
      pooler: {
        default: 0,
        doc: [
          'How many server connections all pools of one database may have together. Where this is the',
          "bottleneck, a pool's idle connection is closed for another pool's waiting client, and the longest",
          'waiting client of all comes first. 0 means unlimited.',
        ],
      },
      database: {
        otherwise: 'max_db_connections of [pooler]',
        example: 50,
        doc: ['The max_db_connections of this database. 0 means unlimited.'],
      },
    },
  },
  max_user_connections: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 1,
    zero: 'unlimited',
    in: {
      pooler: {
        default: 0,
        doc: [
          'How many server connections one user may have in all databases together: the user that the pooler',
          'logs in as at the server. 0 means unlimited.',
        ],
      },
      user: {
        otherwise: 'max_user_connections of [pooler]',
        example: 50,
        doc: ['The max_user_connections of this user. 0 means unlimited.'],
      },
    },
  },
  max_db_client_connections: {
    type: 'integer',
    reloadable: true,
    unit: 'clients',
    min: 1,
    zero: 'unlimited',
    in: {
      pooler: {
        default: 0,
        doc: ['How many clients may be logged in to one database at the same time. 0 means unlimited.'],
      },
      database: {
        otherwise: 'max_db_client_connections of [pooler]',
        example: 500,
        doc: ['The max_db_client_connections of this database. 0 means unlimited.'],
      },
    },
  },
  max_user_client_connections: {
    type: 'integer',
    reloadable: true,
    unit: 'clients',
    min: 1,
    zero: 'unlimited',
    in: {
      pooler: {
        default: 0,
        doc: ['How many clients may be logged in as one user at the same time. 0 means unlimited.'],
      },
      user: {
        otherwise: 'max_user_client_connections of [pooler]',
        example: 500,
        doc: ['The max_user_client_connections of this user. 0 means unlimited.'],
      },
    },
  },
  max_connecting: {
    type: 'integer',
    reloadable: true,
    unit: 'server connections',
    min: 1,
    in: {
      pooler: {
        default: 5,
        doc: [
          'How many server connections each pool may be opening at the same time. More fill an empty pool',
          'sooner and burden the server more while they log in. PgBouncer opens one at a time.',
        ],
      },
    },
  },
  server_round_robin: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: {
        default: false,
        doc: [
          'true uses the server connection that was idle for longest first, so that all are used evenly; false',
          'the one used last, so that the others may go after server_idle_timeout.',
        ],
      },
    },
  },
  prepare_unnamed: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: {
        default: true,
        doc: [
          'true prepares unnamed statements (what most drivers send) whose text was seen before, once per server',
          'connection instead of parsing and planning them each time, outside of transaction blocks. Needs',
          'max_prepared_statements. As with any prepared statement PostgreSQL may choose a generic plan.',
        ],
      },
      database: {
        otherwise: 'prepare_unnamed of [pooler]',
        example: false,
        doc: ['prepare_unnamed for this database.'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: false,
        doc: ['prepare_unnamed for this user, in every database.'],
      },
    },
  },
  lazy_begin: {
    type: 'boolean',
    reloadable: true,
    in: {
      pooler: {
        default: false,
        doc: [
          'true answers a plain BEGIN or START TRANSACTION without a server and sends it with the next statement, which',
          'saves a round trip; a transaction without a statement never reaches a server. Transaction pooling only.',
          'now() is then the time of the first statement, not that of BEGIN.',
        ],
      },
      database: {
        otherwise: 'lazy_begin of [pooler]',
        example: true,
        doc: ['lazy_begin for this database.'],
      },
      user: {
        otherwise: 'that of the database, then of [pooler]',
        example: true,
        doc: ['lazy_begin for this user, in every database.'],
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
