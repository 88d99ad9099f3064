import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseStartupOptions } from '../../../src/protocol/startup-options.ts'

const parsed = (options: string): Record<string, string> => Object.fromEntries(parseStartupOptions(options))

describe('case 64: options are split as PostgreSQL splits them', () => {
  test.each<[string, Record<string, string>]>([
    ['', {}],
    ['   \t\n ', {}],
    ['-c a=b', { a: 'b' }],
    ['-ca=b', { a: 'b' }],
    ['--a=b', { a: 'b' }],
    ['-c a=b -c c=d\\ e', { a: 'b', c: 'd e' }],
    ['  -c\n a=b\t--c=d  ', { a: 'b', c: 'd' }],
    ['-c a=', { a: '' }],
    ['-c a=b=c', { a: 'b=c' }],
    ['-c a=b+c', { a: 'b+c' }],
    ['-c a=back\\\\slash', { a: 'back\\slash' }],
    ['-c a=\\"x\\"', { a: '"x"' }],
    ['-c search_path=\\"$user\\",\\ public', { search_path: '"$user", public' }],
    ['--statement-timeout=5s', { statement_timeout: '5s' }],
    ['-c my-ext.some-thing=1', { 'my_ext.some_thing': '1' }],
    ['-c TimeZone=UTC', { timezone: 'UTC' }],
    ['-c a=1 -c a=2', { a: '2' }],
    ['-c a=1 -c A=2', { a: '2' }],
    ['-c a=b\\', { a: 'b' }],
    ['-\\c a=b', { a: 'b' }],
    ['-c a=Zürich', { a: 'Zürich' }],
  ])('%j', (options, expected) => {
    expect(parsed(options)).toEqual(expected)
  })
})

test('a dash in a value stays a dash', () => {
  expect(parsed('-c application-name=my-app')).toEqual({ application_name: 'my-app' })
})

test.each(['-c', '-c a', '--a', '-c =b', '--=b', '--'])('%j is 42601: a value is missing', (options) => {
  expect(() => parseStartupOptions(options)).toThrow(expect.objectContaining({ sqlState: '42601' }))
})

test.each(['-d 5', 'a=b', '-', '-W10', '-c a=b stray'])('%j is refused with 0A000', (options) => {
  expect(() => parseStartupOptions(options)).toThrow(expect.objectContaining({ sqlState: '0A000' }))
})

test('any value can be written with backslashes', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), (value) => {
      const escaped = value.replaceAll(/[\s\\]/g, (character) => `\\${character}`)
      expect(parsed(`-c a=${escaped}`)).toEqual({ a: value })
    }),
    { numRuns: 200 },
  )
})
