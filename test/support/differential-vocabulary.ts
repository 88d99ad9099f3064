/**
 * What random conversations talk about: the tables, and the statements that are deterministic and leave nothing
 * behind that transaction pooling cannot keep. `{c}` in a text is the number of the client, which has tables of
 * its own: clients never wait for each other's locks.
 */

export const MAX_CLIENTS = 3

const NUMBERS = Array.from({ length: MAX_CLIENTS }, (_, client) => client)

/** The tables of a new database. */
export const SCHEMA = [
  'CREATE SCHEMA one',
  "CREATE TABLE one.here AS SELECT 'in one' AS v",
  'CREATE SCHEMA two',
  "CREATE TABLE two.here AS SELECT 'in two' AS v",
  ...NUMBERS.map((c) => `CREATE TABLE items_${c} (id int PRIMARY KEY, note text)`),
  ...NUMBERS.map((c) => `CREATE TABLE late_${c} (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`),
].join(';')

/** Brings the tables back to what they were. */
export const RESET = NUMBERS.map(
  (c) => `TRUNCATE items_${c}, late_${c}; INSERT INTO items_${c} VALUES (1, 'one'), (2, NULL)`,
).join(';')

/** Read-only statements without parameters, for both protocols. */
export const READS = [
  'SELECT 1',
  "SELECT 2 AS two, NULL::text AS nothing, '' AS empty",
  'SELECT generate_series(1, 5)',
  'SELECT * FROM public.items_{c} ORDER BY id',
  'SELECT id FROM items_{c} WHERE id > 1',
  'SELECT v FROM here',
  "SELECT repeat('long ', 3000)",
  "SELECT '2020-01-02 03:04:05+00'::timestamptz, '1 day 2 hours'::interval",
  "SELECT 'back\\slash', chr(233), length('é')",
  "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$",
  'VALUES (1), (2), (3)',
  'FETCH 2 FROM nowhere',
  '',
  ';',
  '-- nothing',
]

export const FAILURES = [
  'SELEC',
  'SELECT 1/0',
  'SELECT nope',
  'SELECT * FROM nowhere',
  'SELECT $1',
  "SELECT '",
]

export const WRITES = [
  "INSERT INTO public.items_{c} VALUES (3, 'three')",
  "INSERT INTO public.items_{c} SELECT max(id) + 1, 'next' FROM public.items_{c} RETURNING id",
  "UPDATE public.items_{c} SET note = coalesce(note, '') || '+' RETURNING *",
  'DELETE FROM public.items_{c} WHERE id > 2',
  'INSERT INTO public.late_{c} VALUES (1)',
]

export const TRANSACTIONS = [
  'BEGIN',
  'START TRANSACTION READ ONLY',
  'COMMIT',
  'ROLLBACK',
  'COMMIT AND CHAIN',
  'SAVEPOINT s',
  'ROLLBACK TO s',
  'RELEASE s',
]

const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  application_name: ["'first'", "'it''s'", "''"],
  TimeZone: ["'Asia/Tokyo'", "'UTC'", "'nowhere'"],
  DateStyle: ["'German'", "'ISO, DMY'"],
  IntervalStyle: ['iso_8601', 'nonsense'],
  search_path: ['one', 'two, public', "''"],
  client_encoding: ["'LATIN1'", "'UTF8'"],
  standard_conforming_strings: ['on', 'off'],
  default_transaction_read_only: ['on', 'off'],
}

const NAMES = Object.keys(SETTINGS)

/** Changes of parameters that the server reports. */
export const SETS = [
  ...Object.entries(SETTINGS).flatMap(([name, values]) =>
    values.flatMap((value) => [`SET ${name} TO ${value}`, `SET LOCAL ${name} = ${value}`]),
  ),
  ...NAMES.map((name) => `RESET ${name}`),
  'SET TimeZone TO DEFAULT',
  'RESET ALL',
]

export const SHOWS = [...NAMES.map((name) => `SHOW ${name}`), "SELECT current_setting('search_path')"]

/** What ends prepared statements and portals. */
export const DISCARDS = [
  'DEALLOCATE a',
  'DEALLOCATE PREPARE b',
  'DEALLOCATE ALL',
  'DISCARD ALL',
  'DISCARD PLANS',
  'CLOSE ALL',
]

/** Several statements in one simple query. */
export const SEVERAL = [
  'SELECT 1; SELECT 2',
  'SELECT 1; SELECT 1/0; SELECT 3',
  'BEGIN; SELECT 1',
  "BEGIN; SET TimeZone TO 'Asia/Tokyo'; COMMIT; SELECT 2",
  "SET TimeZone TO 'Europe/Rome'; SELECT 1/0",
  'COMMIT; BEGIN',
  ';;SELECT 4;;',
  "INSERT INTO public.items_{c} VALUES (9, 'nine'); SELECT count(*) FROM public.items_{c}",
  'SELECT 5; DISCARD ALL',
  'RESET ALL; SHOW TimeZone',
]

export const COPY_IN = 'COPY public.items_{c} FROM STDIN'
export const COPY_OUT = [
  'COPY (SELECT generate_series(1, 3)) TO STDOUT',
  'COPY (SELECT id FROM public.items_{c} ORDER BY id) TO STDOUT',
  'COPY (SELECT 1 / (2 - g) FROM generate_series(1, 3) g) TO STDOUT',
]

/** Lines of COPY data, whole ones, parts of one, and some that PostgreSQL refuses. */
export const COPY_LINES = [
  '11\televen\n',
  '12\t',
  'twelve\n',
  '13\t\\N\n14\tx\n',
  'not a number\n',
  '1\n',
  '\\.\n',
  '',
]

/** Statements with one parameter. */
export const WITH_VALUE = [
  'SELECT $1::int + 1',
  'SELECT $1',
  'SELECT $1::text',
  "SELECT set_config('TimeZone', $1, false)",
  "SELECT set_config('application_name', $1, true)",
  'INSERT INTO public.items_{c} VALUES ($1, $1::text)',
  'SELECT id, note FROM public.items_{c} WHERE id >= $1 ORDER BY id',
  'SELECT g FROM generate_series(1, $1::int) g',
]

export const VALUES = ['1', '4', 'Asia/Tokyo', '', null]

/** OIDs of parameter types: none given, int4, text, one that does not exist. */
export const TYPES: readonly (readonly number[])[] = [[], [23], [25], [0], [99_999]]

/** Functions for FunctionCall: int4pl, int4div (by zero fails), one that does not exist. */
export const FUNCTIONS = [177, 154, 3]

/** Startup parameters that clients bring. */
export const STARTUP: readonly Readonly<Record<string, string>>[] = [
  {},
  { application_name: 'started' },
  { TimeZone: 'Asia/Tokyo', client_encoding: 'LATIN1' },
  { search_path: 'one', DateStyle: 'German' },
  { DateStyle: 'ISO, MDY', TimeZone: 'utc' },
  { options: '-c search_path=two -c extra_float_digits=0' },
]
