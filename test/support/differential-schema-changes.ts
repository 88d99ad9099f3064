import fc from 'fast-check'
import { NOTHING, optionally, type Phrase, say, sentence } from './differential-phrase.ts'
import { MAX_CLIENTS, RESET, VALUES } from './differential-vocabulary.ts'

/**
 * What random conversations say about a schema that changes under them: a few texts, always unnamed, and in between
 * statements after which the same text has other columns, other parameter types, other rows or none at all. `{c}` is
 * the number of the client, which has objects of its own.
 */

const NUMBERS = Array.from({ length: MAX_CLIENTS }, (_, client) => client)

/** Brings tables, views and functions back to what they were; the random conversations drop and make them anew. */
export const RESET_SHAPES = [
  RESET,
  `DO $$
    DECLARE made record;
    BEGIN
      FOR made IN SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, c.oid::regclass AS name
          FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
          WHERE relkind IN ('r', 'v') AND relname ~ '^(shape|view|spare)_' AND nspname !~ '^pg_' LOOP
        EXECUTE format('DROP %s %s', made.kind, made.name);
      END LOOP;
      FOR made IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE proname ~ '^twice_' LOOP
        EXECUTE format('DROP FUNCTION %s', made.name);
      END LOOP;
    END $$`,
  ...NUMBERS.map(
    (c) => `CREATE TABLE public.shape_${c} AS SELECT 1 AS a, 'one' AS b;
      CREATE TABLE one.shape_${c} AS SELECT 'in one' AS b, 1::bigint AS a, true AS c;
      CREATE VIEW public.view_${c} AS SELECT 1 AS v;
      CREATE FUNCTION public.twice_${c}(int) RETURNS int LANGUAGE sql AS 'SELECT 2 * $1';
      GRANT SELECT ON public.shape_${c} TO pg_monitor`,
  ),
].join(';')

/** Statements whose meaning a schema decides, each with the number of its parameters. */
const TEXTS: readonly (readonly [string, number])[] = [
  ['SELECT * FROM shape_{c}', 0],
  ['SELECT a FROM shape_{c}', 0],
  ['SELECT a, current_user FROM shape_{c}', 0],
  ['SELECT * FROM shape_{c} WHERE a = $1', 1],
  ['INSERT INTO shape_{c} (a) VALUES ($1)', 1],
  ['INSERT INTO shape_{c} (a) VALUES ($1) RETURNING *', 1],
  ["UPDATE shape_{c} SET b = b || '+' RETURNING *", 0],
  ['SELECT * FROM view_{c}', 0],
  ['SELECT v FROM view_{c}', 0],
  ['SELECT twice_{c}(2)', 0],
  ['SELECT twice_{c}($1)', 1],
  ['SELECT * FROM here', 0],
]

/** Statements that change what the texts mean, or what they may do. */
const CHANGES = [
  'ALTER TABLE shape_{c} ADD COLUMN c int DEFAULT 7',
  'ALTER TABLE shape_{c} ADD COLUMN IF NOT EXISTS d text',
  'ALTER TABLE shape_{c} DROP COLUMN IF EXISTS c',
  'ALTER TABLE shape_{c} ALTER a TYPE text',
  'ALTER TABLE shape_{c} ALTER a TYPE bigint USING a::bigint',
  'ALTER TABLE shape_{c} ALTER a TYPE int USING a::int',
  'ALTER TABLE shape_{c} RENAME a TO z',
  'ALTER TABLE shape_{c} RENAME z TO a',
  'ALTER TABLE shape_{c} RENAME TO spare_{c}',
  'ALTER TABLE spare_{c} RENAME TO shape_{c}',
  'ALTER TABLE shape_{c} SET SCHEMA two',
  'ALTER TABLE shape_{c} ENABLE ROW LEVEL SECURITY',
  'DROP TABLE shape_{c}',
  'DROP TABLE IF EXISTS shape_{c}',
  'CREATE TABLE shape_{c} (b int, a text)',
  'CREATE TABLE IF NOT EXISTS shape_{c} AS SELECT 5::bigint AS a, 6 AS b',
  'CREATE TABLE two.shape_{c} (a date)',
  "SELECT 'into' AS b, 2 AS a INTO shape_{c}",
  "CREATE TEMP TABLE shape_{c} ON COMMIT DROP AS SELECT 'temporary' AS a",
  'CREATE OR REPLACE VIEW view_{c} AS SELECT 1 AS v, 2 AS w',
  "CREATE OR REPLACE VIEW view_{c} AS SELECT 3 AS v, 'w' AS w",
  'DROP VIEW view_{c}',
  "CREATE VIEW view_{c} AS SELECT 'text' AS v",
  "CREATE OR REPLACE FUNCTION twice_{c}(int) RETURNS int LANGUAGE sql AS 'SELECT 3 * $1'",
  "CREATE FUNCTION twice_{c}(text) RETURNS text LANGUAGE sql AS 'SELECT $1 || $1'",
  'DROP FUNCTION twice_{c}(int)',
  "CREATE FUNCTION two.twice_{c}(int) RETURNS int LANGUAGE sql AS 'SELECT 4 * $1'",
  'REVOKE SELECT ON shape_{c} FROM pg_monitor',
  'DO $$ BEGIN ALTER TABLE shape_{c} ALTER a TYPE text; END $$',
]

/** The same text means something else behind these, too, though no object has changed. */
const OTHER_NAMES = [
  'SET search_path TO one',
  'SET search_path TO one, public',
  'SET search_path TO two, public',
  'SET LOCAL search_path TO one, public',
  'RESET search_path',
  'SET LOCAL ROLE pg_monitor',
]

const TRANSACTIONS = ['BEGIN', 'COMMIT', 'ROLLBACK', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s']

const MORE_VALUES = [...VALUES, '007', '5000000000']

/**
 * The phrases of client number `client`. Unless it is `alone`, its unnamed statement is not used in a later batch: the
 * server may be another by then, where it is parsed under the search_path of that moment.
 */
export function schemaChanges(client: number, alone: boolean): Phrase {
  const own = (text: string) => text.replaceAll('{c}', String(client))
  const of = (...lists: readonly (readonly string[])[]) => fc.constantFrom(...lists.flat().map(own))
  const portal = fc.oneof({ arbitrary: fc.constant(''), weight: 4 }, fc.constant('p'))
  const ending: Phrase = fc.oneof(
    { arbitrary: sentence(say.sync), weight: 8 },
    { arbitrary: sentence(say.flush), weight: 1 },
    { arbitrary: NOTHING, weight: 2 },
  )

  /** The name of a DDL statement is none: it takes the place of the text before it, which no later Bind can mean. */
  const told = (sql: fc.Arbitrary<string>): Phrase =>
    fc.oneof(
      { arbitrary: sentence(sql.map(say.query)), weight: 1 },
      {
        arbitrary: sql
          .chain((text) =>
            fc.tuple(
              sentence(say.parse('', text)),
              sentence(say.bind('')),
              sentence(say.execute('')),
              ending,
            ),
          )
          .map((parts) => parts.flat()),
        weight: 1,
      },
    )

  const asked = ([text, parameters]: readonly [string, number]): Phrase =>
    fc
      .record({ portal, values: fc.tuple(...Array(parameters).fill(fc.constantFrom(...MORE_VALUES))) })
      .chain((it) =>
        fc.tuple(
          sentence(say.parse('', own(text))),
          optionally(sentence(say.describe('S', ''))),
          sentence(say.bind('', { portal: it.portal, values: it.values as (string | null)[] })),
          optionally(sentence(say.describe('P', it.portal))),
          sentence(say.execute(it.portal)),
          ending,
        ),
      )
      .map((parts) => parts.flat())

  const ask = fc.constantFrom(...TEXTS).chain(asked)
  const change = told(
    fc.oneof({ arbitrary: of(CHANGES), weight: 5 }, { arbitrary: of(OTHER_NAMES), weight: 2 }),
  )

  /** The same text before a change and behind it, perhaps in a transaction that is rolled back. */
  const before = fc
    .record({ text: fc.constantFrom(...TEXTS), undone: fc.boolean() })
    .chain(({ text, undone }) =>
      fc.tuple(
        asked(text),
        undone ? told(fc.constant('BEGIN')) : NOTHING,
        change,
        optionally(asked(text)),
        undone ? told(fc.constantFrom('ROLLBACK', 'ROLLBACK', 'COMMIT')) : NOTHING,
        asked(text),
      ),
    )
    .map((parts) => parts.flat())

  /** The unnamed statement of some earlier phrase, perhaps. */
  const again = fc
    .record({ portal, values: fc.oneof(fc.constant([]), fc.tuple(fc.constantFrom(...MORE_VALUES))) })
    .chain((it) =>
      fc.tuple(
        optionally(sentence(say.describe('S', ''))),
        sentence(say.bind('', { portal: it.portal, values: it.values })),
        sentence(say.execute(it.portal)),
        ending,
      ),
    )
    .map((parts) => parts.flat())

  return fc.oneof(
    { arbitrary: before, weight: 4 },
    { arbitrary: ask, weight: 4 },
    { arbitrary: change, weight: 3 },
    { arbitrary: told(of(TRANSACTIONS)), weight: 2 },
    ...(alone ? [{ arbitrary: again, weight: 1 }] : []),
    { arbitrary: sentence(say.sync), weight: 1 },
  )
}
