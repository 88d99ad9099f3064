import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AccessPattern } from '../../../src/auth/access-pattern.ts'
import { parseHba } from '../../../src/auth/hba.ts'
import { parseIdent } from '../../../src/auth/ident.ts'
import { PoolerError } from '../../../src/errors.ts'
import { startPostgres, type TestPostgres } from '../../support/postgres.ts'

/** Our reading of pg_hba.conf, pg_ident.conf and regular expressions beside PostgreSQL's own. */

const NO_FILES = { read: () => undefined, list: () => undefined }

let postgres: TestPostgres

beforeAll(async () => {
  postgres = await startPostgres()
})

afterAll(() => postgres.stop())

/**
 * The lines that PostgreSQL refuses, by the view that reads its file anew. The server itself writes it, into its
 * own folder, and goes by the old one as nobody asks for a reload.
 */
async function refusedByPostgres(file: string, view: string, lines: readonly string[]): Promise<number[]> {
  const text = Buffer.from(`${lines.join('\n')}\n`).toString('base64')
  await postgres.query(`COPY (SELECT '${text}') TO PROGRAM 'base64 -d > ${file}'`)
  const rows = await postgres.query(`SELECT line_number FROM ${view} WHERE error IS NOT NULL ORDER BY 1`)
  return rows.map((row) => Number(row.line_number))
}

function refusedByUs(parse: (text: string) => unknown, lines: readonly string[]): number[] {
  try {
    parse(`${lines.join('\n')}\n`)
    return []
  } catch (error) {
    if (!(error instanceof PoolerError)) throw error
    return error.message.split('\n').map((line) => Number(line.split(':')[1]))
  }
}

const HBA_LINES = [
  'local all all md5',
  'local all all trust # comment',
  'local all all 10.0.0.0/8 md5',
  'host all all all md5',
  'hosts all all all md5',
  'host,local all all all md5',
  'host',
  'host all',
  'host all all',
  'host all all 10.0.0.0',
  'host all all 10.0.0.0/8',
  'host all all 10.0.0.0 255.0.0.0 md5',
  'host all all 10.0.0.0 255.0.255.0 md5',
  'host all all 10.0.0.0 ffff:: md5',
  'host all all 10.1.2.3/8 md5',
  'host all all 10.0.0.0/33 md5',
  'host all all 10.0.0.0/x md5',
  'host all all 10.0.0.0/ md5',
  'host all all 10.0.0.0/-1 md5',
  'host all all ::/129 md5',
  'host all all ::/0 md5',
  'host all all ::ffff:10.0.0.0/104 md5',
  'host all all 10.0.0.0/8,11.0.0.0/8 md5',
  'host all all samehost md5',
  'host all all samenet md5',
  'host "my db",b, c "a ""b""" all scram-sha-256',
  'host replication,sameuser all all reject',
  'host /^a{2}$ /^b all password',
  'host /^a{1,2}$ all all md5',
  'host "/^a{1,2}$" all all md5',
  'host /( all all md5',
  'host all all all md5,trust',
  'host all all all MD5',
  'host all all all "md5"',
  '"host" all all all md5',
  'host all all all cert',
  'host all all all md5 map=x',
  'host all all all md5 map',
  'host all all all md5 clientcert=verify-ca',
  'host all all all md5 fruit=apple',
  'host all all all md5 clientname=CN',
  'host all,\\',
  '  b all all md5',
  'include',
  'include a b',
]

const IDENT_LINES = [
  'm ann alice',
  'm ann',
  'm',
  'm ann,bob alice',
  'm "Ann Lee" "a l"',
  'm ann all',
  'm ann /^a',
  'm ann /(',
  'm /^(.*)@x$ \\1',
  'm /( a',
  'm ann alice # comment',
]

describe('a line is refused where PostgreSQL refuses it', () => {
  test('in pg_hba.conf', async () => {
    const ours = refusedByUs((text) => parseHba(text, 'pg_hba.conf', NO_FILES, () => []), HBA_LINES)
    expect(ours.length).toBeGreaterThan(10)
    expect(ours).toEqual(await refusedByPostgres('pg_hba.conf', 'pg_hba_file_rules', HBA_LINES))
  })

  test('in pg_ident.conf', async () => {
    const ours = refusedByUs((text) => parseIdent(text, 'pg_ident.conf', NO_FILES), IDENT_LINES)
    expect(ours).toEqual(await refusedByPostgres('pg_ident.conf', 'pg_ident_file_mappings', IDENT_LINES))
  })
})

const atom = fc.constantFrom(
  ...[
    'a',
    'b',
    '.',
    '[ab]',
    '[^a]',
    '[[:alpha:]]',
    '[a-c-]',
    '[]a]',
    '\\w',
    '\\d',
    '\\s',
    '\\y',
    '\\m',
    '\\M',
  ],
  ...[
    '^',
    '$',
    '(a|b)',
    '(?:ab|a)',
    '(',
    ')',
    '(|a)',
    '*',
    '+',
    '?',
    '*?',
    '{2}',
    '{1,2}',
    '{',
    '|',
    '-',
    'ä',
  ],
)
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '-', ' ', '1', 'ä'), maxLength: 8 })

test('a regular expression matches what it matches in PostgreSQL', async () => {
  const cases = fc.sample(fc.tuple(fc.array(atom, { maxLength: 6 }), text), { numRuns: 3000, seed: 1 })
  await postgres.query(`
    CREATE FUNCTION matches(subject text, pattern text) RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN (subject ~ pattern)::text; EXCEPTION WHEN others THEN RETURN 'refused'; END $$`)
  const rows = cases.map(([atoms, subject], id) => `(${id}, '${subject}', '${atoms.join('')}')`)
  const theirs = await postgres.query(
    `SELECT matches(subject, pattern) AS result FROM (VALUES ${rows.join(',')}) AS t (id, subject, pattern) ORDER BY id`,
  )
  for (const [index, [atoms, subject]] of cases.entries()) {
    const pattern = atoms.join('')
    expect(`${pattern} ${subject} ${result(pattern, subject)}`).toBe(
      `${pattern} ${subject} ${theirs[index]?.result}`,
    )
  }
})

function result(pattern: string, subject: string): string {
  try {
    return String(new AccessPattern(pattern).match(subject) !== undefined)
  } catch {
    return 'refused'
  }
}
