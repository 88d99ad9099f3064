import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIdent } from '../../../src/auth/ident.ts'
import { PoolerError } from '../../../src/errors.ts'
import { anyText } from '../../support/any-text.ts'
import { filesOf } from './access-files-of.ts'

const FILES = filesOf({ '/etc/more.conf': 'other eve mallory' })

function maps(text: string): (map: string, systemUser: string, databaseUser: string) => boolean {
  const parsed = parseIdent(text, '/etc/pg_ident.conf', FILES)
  return (...names) => parsed.mapUser(...names)
}

describe('a map lets', () => {
  test.each([
    ['m ann alice', 'ann', 'alice', true],
    ['m ann alice', 'ann', 'ann', false],
    ['m ann alice', 'Ann', 'alice', false],
    ['n ann alice', 'ann', 'alice', false],
    ['m ann bob\nm ann alice', 'ann', 'alice', true],
    ['m "Ann Lee" "a l"', 'Ann Lee', 'a l', true],
    ['m ann all', 'ann', 'anybody', true],
    ['m ann "all"', 'ann', 'anybody', false],
    ['m all alice', 'ann', 'alice', false],
    ['m ann /^app_', 'ann', 'app_x', true],
    ['m ann /^app_', 'ann', 'x', false],
    ['m /^(.*)@example\\.com$ \\1', 'alice@example.com', 'alice', true],
    ['m /^(.*)@example\\.com$ \\1', 'alice@example_com', 'alice', false],
    ['m /^(.*)@example\\.com$ \\1', 'alice@example.com', 'bob', false],
    ['m /^(.*)@example\\.com$ app_\\1_ro', 'x@example.com', 'app_x_ro', true],
    ['m /^(.*)$ \\1', 'all', 'anybody', false],
    ['m /^(.*)$ \\1', '+ops', '+ops', true],
    ['m /^(.*)$ \\1', '$&', '$&', true],
    ['m /^(a)?b$ \\1', 'b', '', false],
    ['m /^(.*)@(?:x|y)\\.org$ \\1', 'ann@y.org', 'ann', true],
    ['m /^(ann|bob)$ alice', 'bob', 'alice', true],
    ['m /example\\.com$ guest', 'ann@example.com', 'guest', true],
    ['m ann alice', 'ann\0', 'alice', false],
    [`m ann ${'x'.repeat(70)}`, 'ann', 'x'.repeat(80), true],
  ])('%j: %j be %j: %s', (text, systemUser, databaseUser, expected) => {
    expect(maps(text)('m', systemUser, databaseUser)).toBe(expected)
  })

  test('more from an included file', () => {
    expect(maps('include more.conf')('other', 'eve', 'mallory')).toBe(true)
  })
})

test('which maps there are is known', () => {
  const parsed = parseIdent('m ann alice', 'pg_ident.conf', FILES)
  expect([parsed.has('m'), parsed.has('n')]).toEqual([true, false])
})

test.each([
  ['m ann', /expected three fields/],
  ['m ann alice x', /expected three fields/],
  ['m ann,bob alice', /one value/],
  ['m ann +ops', /"\+group" is not supported/],
  ['m /a \\1', /has no parentheses for the \\1/],
  ['m /( a', /invalid regular expression/],
  // PostgreSQL takes the longest alternative, so that app_ro_x would be app_ro there and app here.
  ['m /^(app|app_ro)(_.*)?$ \\1', /alternatives .* write one line for each/],
  ['m /^(?:a|ab)(.*)$ \\1', /alternatives .* write one line for each/],
  ['m ann /(', /invalid regular expression/],
  ['m "ann alice', /quote is not closed/],
])('%j is an error with file and line', (line, message) => {
  const parse = () => parseIdent(`# maps\n${line}`, '/etc/pg_ident.conf', FILES)
  expect(parse).toThrow(message)
  expect(parse).toThrow(/^\/etc\/pg_ident\.conf:2: /)
})

test('no text makes the parser throw anything but a PoolerError', () => {
  const word = fc.constantFrom(
    'm',
    '/(.*)',
    '/(',
    '\\1',
    'all',
    '+x',
    '"',
    ',',
    '\n',
    '@more.conf',
    'include',
    '#',
  )
  const text = fc.oneof(
    anyText,
    fc.array(word).map((words) => words.join(' ')),
  )
  fc.assert(
    fc.property(text, (content) => {
      try {
        parseIdent(content, '/etc/pg_ident.conf', FILES).mapUser('m', 'ann', 'alice')
      } catch (error) {
        expect(error).toBeInstanceOf(PoolerError)
      }
    }),
    { numRuns: 500 },
  )
})
