import { describe, expect, test } from 'vitest'
import { isPlannable } from '../../../src/prepared/plannable-text.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'

/** A Parse message's body behind the name, without parameter types. */
const body = (text: string): Buffer => Buffer.from(`${text}\0\0\0`, 'latin1')

const START_MS = 1000

function setUp() {
  const registry = new StatementRegistry()
  const { promoted } = registry
  const find = (text: string, meaning = '') => {
    const bytes = body(text)
    return promoted.find(bytes, 0, bytes.length, meaning, START_MS)
  }
  return { registry, promoted, find }
}

describe('a text', () => {
  test('is promoted at its second sight', () => {
    const { find, promoted } = setUp()
    expect(find('SELECT 1')).toBeNull()
    expect(find('SELECT 1')?.statement.query).toBe('SELECT 1')
    expect(promoted.promotions).toBe(1)
  })

  test('under other session parameters is another', () => {
    const { find } = setUp()
    find('SELECT 1', 'one')
    expect(find('SELECT 1', 'two')).toBeNull()
    expect(find('SELECT 1', 'one')?.statement).not.toBe(find('SELECT 1', 'two')?.statement)
  })

  test('is not shared with statements that clients have named', () => {
    const { find, registry } = setUp()
    find('SELECT 1')
    const named = registry.acquire(body('SELECT 1'), '')
    expect(find('SELECT 1')?.statement).not.toBe(named)
  })

  test('of more than 8 KiB is never promoted', () => {
    const { find } = setUp()
    const long = `SELECT '${'x'.repeat(8192)}'`
    find(long)
    expect(find(long)).toBeNull()
  })
})

test('values written into texts push out no text that is promoted', () => {
  const { find, promoted } = setUp()
  find('SELECT 1')
  find('SELECT 1')
  for (let i = 2; i < 3000; i++) find(`SELECT ${i}`)
  expect(promoted).toMatchObject({ size: 1, evictions: 0 })
})

test('the 2001st text pushes out the one unused for longest, which is not used any more', () => {
  const { find, promoted, registry } = setUp()
  find('SELECT 0')
  const first = find('SELECT 0')
  for (let i = 1; i <= 2000; i++) {
    find(`SELECT ${i}`)
    find(`SELECT ${i}`)
  }
  expect(promoted).toMatchObject({ size: 2000, evictions: 1 })
  expect(first !== null && promoted.isUsable(first, START_MS)).toBe(false)
  expect(registry.size).toBe(2000)
  promoted.clear()
  expect(registry.size).toBe(0)
})

test('a change of the schema raises the epoch of a statement, once', () => {
  const { find, promoted } = setUp()
  find('SELECT 1')
  const one = find('SELECT 1')
  if (one === null) throw new Error('it was not promoted')
  promoted.generation += 1
  for (let i = 0; i < 2; i++) expect(promoted.isUsable(one, START_MS)).toBe(true)
  expect(one.statement.epoch).toBe(1)
})

test('one that is older than two seconds is parsed anew, once', () => {
  const { find, promoted } = setUp()
  find('SELECT 1')
  const one = find('SELECT 1')
  if (one === null) throw new Error('it was not promoted')
  const epochs = [1999, 2001, 4001, 4002].map((ms) => {
    expect(promoted.isUsable(one, START_MS + ms)).toBe(true)
    return one.statement.epoch
  })
  expect(epochs).toEqual([0, 1, 1, 2])
})

test.each([
  'SELECT 1',
  ' \n select 1',
  '-- why\nSELECT 1',
  '/* who */ UPDATE t SET a = 1',
  'INSERT INTO t VALUES (1)',
  'MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE',
  'VALUES (1)',
  'WITH a AS (SELECT 1) SELECT * FROM a',
  'DELETE FROM t',
  'SELECT now(), NOW () FROM know_now',
])('%j is planned', (text) => {
  expect(isPlannable(text)).toBe(true)
})

test.each([
  '',
  ';',
  'SHOW x',
  'BEGIN',
  'CREATE TABLE t AS SELECT 1',
  'EXPLAIN SELECT 1',
  'SELECT 1 INTO t',
  'WITH a AS (SELECT 1) SELECT * INTO t FROM a',
  "SELECT SET_CONFIG('a', 'b', true)",
  '/* /* nested */ */ SELECT 1',
  'selection',
  'DECLARE c CURSOR FOR SELECT 1',
  'TABLE t',
  "SELECT 'now'::timestamptz",
  "INSERT INTO t VALUES ($1, 'NOW')",
  "DELETE FROM t WHERE day < date 'Yesterday'",
])('%j is not prepared', (text) => {
  expect(isPlannable(text)).toBe(false)
})
