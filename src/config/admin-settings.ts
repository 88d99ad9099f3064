/**
 * The rows of the table of settings about the admin console and statistics. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

const USER_NAMES = { pattern: /^[^\s,]+$/, expected: 'names of users' }

export const adminSettings = {
  admin_users: {
    type: 'list',
    reloadable: true,
    emptyAllowed: true,
    ...USER_NAMES,
    in: {
      pooler: {
        default: '',
        doc: [
          'Who may do everything in the admin console, the virtual database "pgbouncer" or "pooler". They log in to',
          'it like any other user.',
        ],
      },
    },
  },
  stats_users: {
    type: 'list',
    reloadable: true,
    emptyAllowed: true,
    ...USER_NAMES,
    in: {
      pooler: {
        default: '',
        doc: ['Who may look at statistics there (SHOW), and change nothing.'],
      },
    },
  },
  stats_period: {
    type: 'time',
    reloadable: true,
    max: 365 * 24 * 3600 * 1000,
    in: {
      pooler: {
        default: '60s',
        doc: ['The time that averages are made over, and how often statistics are logged.'],
      },
    },
  },
  log_stats: {
    type: 'boolean',
    reloadable: true,
    in: { pooler: { default: true, doc: ['Log one line of statistics for each stats_period.'] } },
  },
} as const satisfies Record<string, Setting>
