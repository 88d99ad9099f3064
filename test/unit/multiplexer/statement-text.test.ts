import { describe, expect, test } from 'vitest'
import {
  createsSomething,
  deallocatedName,
  head,
  resetBy,
  StatementKind,
  statementKind,
} from '../../../src/multiplexer/statement-text.ts'

/** The kind of a text that stands in a message with something in front of it and behind it. */
function kind(sql: string): StatementKind {
  const bytes = Buffer.from(`##${sql}\0LOCAL DEFAULT ALL##`, 'utf8')
  const kind = statementKind(bytes, 2, bytes.length - 2)
  // Of a long message only the beginning may be at hand.
  const beginning = statementKind(bytes, 2, 2 + 250)
  if (sql.length >= 256) expect(beginning).toBe(kind)
  return kind
}

const { Other, SetLocal, Reset, DeallocateName, Discard } = StatementKind

test.each<[string, StatementKind]>([
  ['', Other],
  [';', Other],
  ['SELECT 1', Other],
  ['select set_config()', Other],
  ['SET work_mem = 1', Other],
  ["SET x = 'default'", Other],
  ['SET LOCAL work_mem = 1', SetLocal],
  ['  \n\tset\nlocal\twork_mem = 1', SetLocal],
  ['SET LOCALE = 1', Other],
  ['SET work_mem TO DEFAULT', Reset],
  ['set TimeZone = default ;', Reset],
  ['SET TIME ZONE DEFAULT', Reset],
  ['RESET work_mem', Reset],
  ['\nreset all;', Reset],
  ['RESET TIME ZONE', Reset],
  ['RESET a; SET b = 1', Other],
  ['RESETTLE', Other],
  [`RESET a${' '.repeat(300)}; SET b = 1`, Other],
  [`SET LOCAL a =${' '.repeat(300)}1; SET b = 1`, Other],
  [`SET a TO DEFAULT${' '.repeat(300)}; SET b = 1`, Other],
  ['SET x TO default; SELECT 1', Other],
  ['SET x TO defaults', Other],
  ['SET a = 1 -- no longer set to default', Other],
  ['SET a = 1 -- = default', Other],
  ["SET local .foo = 'x'", Other],
  ['DISCARD ALL', Discard],
  ['discard plans', Discard],
  ['DISCARDED', Other],
  ['DEALLOCATE ALL', Discard],
  ['deallocate prepare all;', Discard],
  ['DEALLOCATE ALLES', DeallocateName],
  ['DEALLOCATE a', DeallocateName],
  ['  Deallocate Prepare "A b" ; ', DeallocateName],
  ['DEALLOCATE', Other],
  ['DEALLOCATE a; SELECT 1', Other],
  [`DEALLOCATE a${' '.repeat(243)}`, DeallocateName],
  [`DEALLOCATE a${' '.repeat(244)}`, Other],
  [`DEALLOCATE a${' '.repeat(300)}; SELECT 1`, Other],
  ['DEALLOCATE a b', Other],
  ['DELETE FROM t', Other],
  ['DECLARE c CURSOR FOR SELECT 1', Other],
])('%j is of kind %i', (sql, expected) => {
  expect(kind(sql)).toBe(expected)
})

test.each<[string, string | null]>([
  ['RESET work_mem', 'work_mem'],
  [' reset Search_Path ;', 'search_path'],
  ['RESET ALL', 'all'],
  ['RESET TIME ZONE', 'timezone'],
  ['RESET SESSION AUTHORIZATION', 'session_authorization'],
  ['RESET "DateStyle"', 'datestyle'],
  ['SET TimeZone TO DEFAULT', 'timezone'],
  ['SET SESSION TimeZone=DEFAULT;', 'timezone'],
  ['SET app.some$value = default', 'app.some$value'],
  ['SET TIME ZONE DEFAULT', 'timezone'],
  ['SET TIME ZONE LOCAL', 'timezone'],
  ['SET NAMES DEFAULT', 'client_encoding'],
  ['DISCARD ALL', 'all'],
  ['DISCARD PLANS', null],
  ['DEALLOCATE ALL', null],
  ["SET x = 'default'", null],
])('%j resets %j', (sql, expected) => {
  const bytes = Buffer.from(`${sql}\0`)
  expect(resetBy(kind(sql), bytes, 0, bytes.length)).toBe(expected)
})

test('white space in front of a text is not looked at', () => {
  const bytes = Buffer.from(`${' '.repeat(240)}RESET application_name\0`)
  const found = statementKind(bytes, 0, bytes.length)
  expect([found, resetBy(found, bytes, 0, bytes.length)]).toEqual([Reset, 'application_name'])
  expect(head(bytes, 0, bytes.length)).toBe('RESET application_name')
})

test('a text that ends with the bytes at hand is looked at as far as it goes', () => {
  const bytes = Buffer.from('DISCARD ALL')
  expect(statementKind(bytes, 0, bytes.length)).toBe(Discard)
  expect(statementKind(bytes, 0, 3)).toBe(Other)
})

describe('the name in DEALLOCATE', () => {
  test.each<[string, string | undefined]>([
    ['DEALLOCATE a', 'a'],
    ['DEALLOCATE PREPARE Ab_1$', 'ab_1$'],
    ['deallocate "Ab"', 'Ab'],
    ['deallocate "say ""hi"""', 'say "hi"'],
    ['deallocate "with space" ;', 'with space'],
    ['deallocate 1a', undefined],
    ['deallocate ""', undefined],
    ['deallocate "a', undefined],
    ['deallocated a', undefined],
    ['SELECT 1', undefined],
  ])('of %j is %j', (text, name) => {
    expect(deallocatedName(text)).toBe(name)
  })
})

test('no more than 256 bytes of a text are looked at', () => {
  const bytes = Buffer.from('x'.repeat(1000))
  expect(head(bytes, 0, 1000)).toHaveLength(256)
  expect(head(Buffer.from('abc\0def'), 1, 7)).toBe('bc')
})

test.each([
  ['CREATE TABLE t AS SELECT 1', true],
  ['/* a */ create unlogged table t as select 1', true],
  ['CREATE MATERIALIZED VIEW v AS SELECT 1', true],
  ['SELECT 1; CREATE TEMP TABLE t AS SELECT 1', true],
  ['EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1', true],
  ['SELECT 1 INTO t', true],
  ["SELECT 'it''s' AS a INTO t", true],
  ["SELECT E'it\\'s' AS a INTO t", true],
  ["SELECT $$it's$$ AS a INTO t", true],
  ["-- isn't\nSELECT 1 INTO t", true],
  ['INSERT INTO t VALUES (1); SELECT 1 INTO u', true],
  ['INSERT INTO t VALUES (1)', false],
  ['merge into t using s on true when matched then delete', false],
  ["INSERT INTO t VALUES ('put into it')", false],
  ["SELECT * FROM log WHERE action = 'create' AND what = 'table'", false],
  ['SELECT "into", "create" FROM tables', false],
  ['SELECT creates, intone FROM t', false],
])('whether %j may create something is %j', (sql, creates) => {
  const bytes = Buffer.from(`##${sql}\0 INTO ##`, 'utf8')
  expect(createsSomething(bytes, 2, bytes.length)).toBe(creates)
})
