/**
 * The rows of the table of settings about who may log in from where, and about guessers of passwords. Only
 * settings.ts imports it.
 */
import type { Setting } from './setting.ts'

/** The longest delay of auth_failure_delay: more than this only annoys people who mistype. */
const LongestFailureDelayMs = 60_000

export const authSettings = {
  auth_type: {
    type: 'enum',
    reloadable: true,
    values: ['any', 'trust', 'plain', 'md5', 'scram-sha-256', 'cert', 'hba'],
    in: {
      pooler: {
        default: 'md5',
        doc: [
          'How clients prove who they are: "scram-sha-256"; "md5" (but SCRAM-SHA-256 for users whose stored',
          'secret is a SCRAM secret); "plain" (the password in clear text); "cert" (a client certificate with',
          'the name of the user as its common name); "hba" (auth_hba_file says it for each connection);',
          '"trust" (the name is enough; once users with passwords are known, it must be a known one); "any"',
          '(the name counts for nothing: each database needs a user of its own).',
        ],
      },
    },
  },
  auth_hba_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no file, auth_type holds for everybody',
        example: 'pg_hba.conf',
        doc: [
          "Who may connect to what, from where and how, in the format of PostgreSQL 16's pg_hba.conf. Needs",
          'auth_type = "hba". A line that is wrong, or that asks for what the pooler cannot do (host names,',
          '+groups, peer, ldap, ...), is an error with its number, where PgBouncer leaves it out.',
        ],
      },
    },
  },
  auth_ident_file: {
    type: 'path',
    reloadable: true,
    in: {
      pooler: {
        otherwise: 'no file, no maps',
        example: 'pg_ident.conf',
        doc: [
          'The maps that map= in auth_hba_file names, from common names of certificates to users, in the format',
          'of PostgreSQL 16\'s pg_ident.conf. Needs auth_type = "hba".',
        ],
      },
    },
  },
  auth_failure_delay: {
    type: 'time',
    reloadable: true,
    max: LongestFailureDelayMs,
    in: {
      pooler: {
        default: '500ms',
        doc: [
          'How long the answer to a wrong password waits. A client that waits for it does not count for',
          'max_client_conn, but does for max_pending_logins_per_address. 0 answers at once, as PgBouncer does.',
        ],
      },
    },
  },
  max_failed_logins_per_address: {
    type: 'integer',
    reloadable: true,
    unit: 'logins',
    min: 1,
    zero: 'no limit',
    in: {
      pooler: {
        default: 100,
        doc: [
          'How many wrong passwords may come from one IP address (one /64 network with IPv6) within',
          'auth_failure_delay, whether or not their clients wait for the answer. While there are more, no password',
          'from there is checked, so that with the defaults 200 can be tried in a second. Behind one address there',
          'may be a whole site: honest clients there are refused (53300) only while such a flood lasts.',
        ],
      },
    },
  },
  max_pending_logins_per_address: {
    type: 'integer',
    reloadable: true,
    unit: 'connections',
    min: 1,
    zero: 'no limit',
    in: {
      pooler: {
        default: 0,
        doc: [
          'How many connections of one IP address (of one /64 network with IPv6) may be logging in at the same',
          'time; more are refused, whatever they want. 0 means no limit: behind one address there may be a whole',
          'site whose connections all come at once after a restart. Set it above their number where strangers can',
          'reach the port. Who guesses passwords is bounded by max_failed_logins_per_address already.',
        ],
      },
    },
  },
} as const satisfies Record<string, Setting>
