import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AccessPattern } from '../../../src/auth/access-pattern.ts'

function matches(pattern: string, text: string): boolean {
  return new AccessPattern(pattern).match(text) !== undefined
}

describe('a regular expression', () => {
  test.each([
    ['', '', true],
    ['', 'x', true],
    ['b', 'abc', true],
    ['^b', 'abc', false],
    ['c$', 'abc', true],
    ['^$', '', true],
    ['^a.c$', 'a\nc', true],
    ['^(a|bc)+$', 'abcbca', true],
    ['^(a|bc)+$', 'abcb', false],
    ['^(?:a|b){2,3}$', 'abab', false],
    ['^a{2}$', 'aa', true],
    ['^a{2,}$', 'aaaa', true],
    ['^a{,2}$', 'a{,2}', true],
    ['^a{0}$', '', true],
    ['^[a-c_]+$', 'ab_c', true],
    ['^[^a-c]+$', 'xyb', false],
    ['^[]x]$', ']', true],
    ['^[a-]$', '-', true],
    ['^[[:alpha:]_][[:digit:]]$', 'ü7', true],
    ['^[\\d-]+$', '1-2', true],
    ['^\\w+\\s\\D$', 'käse x', true],
    ['^a\\.b$', 'a.b', true],
    ['^a\\.b$', 'axb', false],
    ['^\\u0041\\t$', 'A\t', true],
    ['\\mapp\\M', 'my app', true],
    ['\\mapp\\M', 'myapp', false],
    ['\\Aapp\\Z', 'app', true],
    ['app\\y', 'apps', false],
    ['app\\Y', 'apps', true],
    ['(a*)*$', 'aaab', true],
    ['^(|a)*b$', 'aab', true],
    ['^\u{1f600}.$', '\u{1f600}\u{1f601}', true],
    ['a|', 'x', true],
    ['^x]}$', 'x]}', true],
  ])('%j against %j: %s', (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected)
  })

  test.each([
    ['(', /\( without \)/],
    ['a)', /\) without \(/],
    ['[a', /ends too early/],
    ['*a', /repetition of nothing/],
    ['^*', /repetition of nothing/],
    ['{2}', /repetition of nothing/],
    ['a**', /repetition of a repetition/],
    ['a{2', /malformed \{\}/],
    ['a{256}', /out of range/],
    ['a{3,2}', /out of range/],
    ['[b-a]', /ends before it begins/],
    ['[a-\\d]', /no end of a range/],
    ['(a)\\1', /\\1 is not supported/],
    ['\\q', /\\q is not supported/],
    ['\\', /\\ at the end/],
    ['\\u12', /four hexadecimal digits/],
    ['(?=a)', /look-around/],
    ['(?i)a', /embedded options/],
    ['***=a', /embedded options/],
    ['[[.a.]]', /collating elements/],
    ['[[:constructor:]]', /character class/],
    ['(a{255}){255}', /too large/],
    ['('.repeat(60), /nested/],
  ])('%j is refused', (pattern, message) => {
    expect(() => new AccessPattern(pattern)).toThrow(message)
  })

  test('has its first group, of the leftmost and greediest match', () => {
    const group = (pattern: string, text: string) => new AccessPattern(pattern).match(text)
    expect(group('^(.*)@(.*)$', 'alice@a@b')).toEqual({ group: 'alice@a' })
    expect(group('^(.*?)@', 'alice@a@b')).toEqual({ group: 'alice' })
    expect(group('^(?:x)(y)', 'xy')).toEqual({ group: 'y' })
    expect(group('^(a)?b', 'b')).toEqual({ group: undefined })
    expect(group('^(a|b)*c', 'abc')).toEqual({ group: 'b' })
    expect(group('^()x', 'x')).toEqual({ group: '' })
  })

  test('that makes other engines try for hours is answered at once', () => {
    const started = performance.now()
    expect(matches('^(a+)+(a|a)*(a?){30}$', `${'a'.repeat(63)}!`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  test('matches no text longer than any name', () => {
    expect(matches('a', 'a'.repeat(256))).toBe(true)
    expect(matches('a', 'a'.repeat(257))).toBe(false)
  })
})

const simple = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\w', '^', '$')
const { pattern } = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
  atom: fc.oneof(
    { maxDepth: 3 },
    simple.filter((atom) => atom !== '^' && atom !== '$'),
    tie('pattern').map((inner) => `(${inner})`),
    tie('pattern').map((inner) => `(?:${inner})`),
  ),
  pattern: fc.oneof(
    { maxDepth: 4 },
    simple,
    fc
      .tuple(tie('atom'), fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '*?'))
      .map((parts) => parts.join('')),
    fc.tuple(tie('pattern'), tie('pattern')).map((parts) => parts.join('')),
    fc.tuple(tie('pattern'), tie('pattern')).map((parts) => parts.join('|')),
  ),
}))

test('it matches the texts that the engine of JavaScript matches', () => {
  fc.assert(
    fc.property(
      pattern,
      fc.string({ unit: fc.constantFrom('a', 'b', '-'), maxLength: 8 }),
      (source, text) => {
        expect(matches(source, text)).toBe(new RegExp(source, 's').test(text))
      },
    ),
    { numRuns: 2000 },
  )
})
