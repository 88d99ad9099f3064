/**
 * The rows of the table of settings about how long something may take or stay as it is; those about clients are
 * kept by the janitor's tick to a third of a second. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** For times that are only ever compared with a clock. */
const TenYearsMs = 10 * 365 * 24 * 3600 * 1000
/** The longest delay that a timer of Node takes: 2^31 - 1 ms, about 24 days. */
const LongestTimerMs = 2_147_483_647

export const timeoutSettings = {
  query_wait_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
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
  query_wait_notify: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '5s',
        doc: [
          'A client that has waited so long for a server connection is sent a NOTICE that it is in a queue, also',
          'one that is not welcomed yet.',
          '0 turns this off.',
        ],
      },
    },
  },
  query_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: 0,
        doc: [
          'A query that takes longer, the wait for a server connection included, is canceled and its client',
          "disconnected. To be set somewhat above the server's statement_timeout, for when the network fails.",
          '0 turns this off.',
        ],
      },
      user: {
        otherwise: 'query_timeout of [pooler]',
        example: '60s',
        doc: ['The query_timeout of this user.'],
      },
    },
  },
  idle_transaction_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: 0,
        doc: [
          'A client that does nothing for so long in an open transaction is disconnected; its transaction is',
          'rolled back. 0 turns this off.',
        ],
      },
      user: {
        otherwise: 'idle_transaction_timeout of [pooler]',
        example: '60s',
        doc: ['The idle_transaction_timeout of this user.'],
      },
    },
  },
  transaction_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: 0,
        doc: [
          'A client whose transaction is open for longer is disconnected; the transaction is rolled back.',
          '0 turns this off.',
        ],
      },
      user: {
        otherwise: 'transaction_timeout of [pooler]',
        example: '5min',
        doc: ['The transaction_timeout of this user.'],
      },
    },
  },
  client_idle_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: 0,
        doc: [
          'A client that does nothing for so long outside of a transaction is disconnected. It should be longer',
          'than the applications keep their connections. 0 turns this off.',
        ],
      },
      user: {
        otherwise: 'client_idle_timeout of [pooler]',
        example: '1h',
        doc: ['The client_idle_timeout of this user.'],
      },
    },
  },
  cancel_wait_timeout: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '10s',
        doc: ['How long it may take to deliver a cancel request to a server. 0 means without limit.'],
      },
    },
  },
  suspend_timeout: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '10s',
        doc: [
          'How long SUSPEND waits for what is under way to reach clients and servers; a connection that has',
          'not taken it by then is closed. 0 means for ever.',
        ],
      },
    },
  },
  shutdown_timeout: {
    type: 'time',
    reloadable: true,
    max: LongestTimerMs,
    in: {
      pooler: {
        default: '25s',
        doc: [
          'The longest that an orderly shutdown takes. SIGINT: clients are disconnected as soon as they are in',
          'no transaction. SIGTERM: for the first half clients are served as before until they leave, then as',
          'with SIGINT. Whoever is left at the end is cut off. Kubernetes grants 30 seconds unless told',
          'otherwise. 0 means without limit, as with PgBouncer.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
