/**
 * The rows of the table of settings about auth_query: secrets of users who are in no file are asked from
 * PostgreSQL itself. Only settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** For times that are only ever compared with a clock. */
const TenYearsMs = 10 * 365 * 24 * 3600 * 1000

export const authQuerySettings = {
  auth_user: {
    type: 'string',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'only the users of [users] and auth_file are known',
        example: 'pooler_auth',
        doc: [
          'Log in to PostgreSQL as this user and run auth_query there for every client whose name is in neither',
          '[users] nor auth_file. The secret of this user itself must be in one of them.',
        ],
      },
      database: {
        otherwise: 'auth_user of [pooler]',
        example: 'pooler_auth',
        doc: ['The auth_user for clients of this database.'],
      },
    },
  },
  auth_query: {
    type: 'string',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'the query above',
        example: 'SELECT name, secret FROM pooler.lookup($1)',
        doc: [
          'The query for the secret of one user: one parameter of type text, the name; one row of two columns,',
          'name and secret as in pg_authid, no row for an unknown user. A NULL secret lets nobody in. It runs on',
          'a connection of its own with search_path = pg_catalog, pg_temp: write other schemas out. A query of',
          "your own must look at rolvaliduntil itself, as PgBouncer's, the default, does:",
          '  SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END',
          '  FROM pg_authid WHERE rolname=$1 AND rolcanlogin',
        ],
      },
      database: {
        otherwise: 'auth_query of [pooler]',
        example: 'SELECT name, secret FROM pooler.lookup($1)',
        doc: ['The auth_query for clients of this database.'],
      },
    },
  },
  auth_dbname: {
    type: 'string',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'the database that the client asked for',
        example: 'auth',
        doc: ['Run auth_query in this database: a name of [databases.NAME], or one that "*" stands in for.'],
      },
      database: {
        otherwise: 'auth_dbname of [pooler]',
        example: 'auth',
        doc: ['The auth_dbname for clients of this database.'],
      },
    },
  },
  auth_query_ttl: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '60s',
        doc: [
          'How long an answer of auth_query is used again where PostgreSQL gives no new one: it cannot be asked, or',
          'takes longer than half a second. 0 keeps no answer. PgBouncer keeps none.',
        ],
      },
    },
  },
  auth_query_recheck: {
    type: 'time',
    reloadable: true,
    max: TenYearsMs,
    in: {
      pooler: {
        default: '1s',
        doc: [
          'An answer of auth_query that is older is asked for anew before a login uses it: a changed password',
          'works at its first attempt, a removed or expired user can get in for this long. However many clients of',
          'a user log in, there is one query for them in this time. 0 asks at every login; as long as',
          'auth_query_ttl, only a failed login asks earlier, and a changed password works at the second attempt.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
