import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ParameterSet } from '../../../src/server/parameter-set.ts'
import { parameterChange, quoteLiteral } from '../../../src/server/parameter-status.ts'
import { parameterStatus } from '../../support/backend-messages.ts'

const set = (values: Readonly<Record<string, string>>): ParameterSet =>
  ParameterSet.empty.withAll(new Map(Object.entries(values)))

describe('a set of parameters', () => {
  test('is equal to another with the same values, in whatever order they came', () => {
    expect(set({ a: '1', b: '2' }).equals(set({ b: '2', a: '1' }))).toBe(true)
    expect(set({ a: '1' }).equals(set({ a: '2' }))).toBe(false)
    expect(set({ a: '1' }).equals(set({ a: '1', b: '' }))).toBe(false)
    // Names and values that look alike when they are joined.
    expect(set({ a: 'b,c' }).equals(set({ a: 'b', c: '' }))).toBe(false)
    expect(ParameterSet.empty.equals(set({}))).toBe(true)
  })

  test('never changes: with and without give another, or itself where nothing differs', () => {
    const one = set({ a: '1' })
    const two = one.with('b', '2')
    expect([one.get('b'), two.get('b'), two.get('a')]).toEqual([undefined, '2', '1'])
    expect(two.without('b').equals(one)).toBe(true)
    expect(one.with('a', '1')).toBe(one)
    expect(one.without('x')).toBe(one)
    expect(one.withAll(new Map())).toBe(one)
    expect(one.withAll(new Map([['a', '9']])).get('a')).toBe('9')
  })
})

describe('what has to change so that a server serves a client', () => {
  const REPORTED = new Map([
    ['timezone', 'TimeZone'],
    ['application_name', 'application_name'],
    ['server_version', 'server_version'],
    ['is_superuser', 'is_superuser'],
  ])

  test('nothing for equal sets', () => {
    const change = parameterChange(set({ timezone: 'UTC' }), set({ timezone: 'UTC' }), REPORTED)
    expect(change.sql).toBe('')
    expect(change.notices).toHaveLength(0)
  })

  test('reported values that differ are set in one SELECT, and the server has them when it says so', () => {
    const client = set({ timezone: 'Asia/Tokyo', application_name: 'app' })
    const change = parameterChange(client, set({ timezone: 'UTC', application_name: '' }), REPORTED)
    expect(change.sql).toBe(
      "SELECT pg_catalog.set_config(E'timezone', E'Asia/Tokyo', false), pg_catalog.set_config(E'application_name', E'app', false)",
    )
    expect(change.notices).toHaveLength(0)
    expect(change.server.get('timezone')).toBe('UTC')
    expect(change.client).toBe(client)
  })

  test('a value that no SET can change is told to the client instead', () => {
    const change = parameterChange(set({ server_version: '17' }), set({ server_version: '18' }), REPORTED)
    expect(change.sql).toBe('')
    expect(change.notices).toEqual(parameterStatus('server_version', '18'))
    expect(change.client.get('server_version')).toBe('18')
  })

  test('a reported value that the client never had is told to it, under its own spelling', () => {
    const change = parameterChange(set({}), set({ timezone: 'UTC' }), REPORTED)
    expect(change.sql).toBe('')
    expect(change.notices).toEqual(parameterStatus('TimeZone', 'UTC'))
    expect(change.client.get('timezone')).toBe('UTC')
  })

  test('an unreported value of another client is reset, with its name quoted', () => {
    const change = parameterChange(set({}), set({ work_mem: '1MB', 'my.e"xt': 'x' }), REPORTED)
    expect(change.sql).toBe('RESET "work_mem";RESET "my"."e""xt"')
    expect(change.server.equals(set({}))).toBe(true)
  })

  test('an unreported value that both have and that differs is set, not reset, and taken for granted', () => {
    const change = parameterChange(set({ work_mem: '2MB' }), set({ work_mem: '1MB' }), REPORTED)
    expect(change.sql).toBe("SELECT pg_catalog.set_config(E'work_mem', E'2MB', false)")
    expect(change.server.get('work_mem')).toBe('2MB')
  })

  test('a read-only value that a client sent is never set', () => {
    const change = parameterChange(set({ is_superuser: 'on' }), set({ is_superuser: 'off' }), REPORTED)
    expect(change.sql).toBe('')
    expect(change.client.get('is_superuser')).toBe('off')
  })

  test('once it has changed, nothing is left to change', () => {
    const value = fc.constantFrom('', 'a', 'b')
    const values = fc.dictionary(
      fc.constantFrom('timezone', 'application_name', 'server_version', 'work_mem', 'x'),
      value,
    )
    fc.assert(
      fc.property(values, values, (client, server) => {
        const reportedOnly = Object.fromEntries(
          [...REPORTED.keys()].map((name) => [name, server[name] ?? 'default']),
        )
        const before = set({ ...reportedOnly, ...server })
        const change = parameterChange(set(client), before, REPORTED)
        // The server now reports what was set.
        const reported = new Map([...change.client.values].filter(([name]) => REPORTED.has(name)))
        const again = parameterChange(change.client, change.server.withAll(reported), REPORTED)
        expect(again.sql).toBe('')
        expect(again.notices).toHaveLength(0)
      }),
      { numRuns: 200 },
    )
  })
})

describe('a literal', () => {
  test.each([
    ['', "E''"],
    ["it's", "E'it\\'s'"],
    ['a\\b', "E'a\\\\b'"],
    ['é', "E'\\u00e9'"],
    ['😀', "E'\\U0001f600'"],
    ["'; DROP TABLE t; --", "E'\\'; DROP TABLE t; --'"],
    ['"$user", public', `E'"$user", public'`],
    ['new\nline', "E'new\nline'"],
  ])('of %j is %s', (text, literal) => {
    expect(quoteLiteral(text)).toBe(literal)
  })

  test('is plain ASCII and reads as the text again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const literal = quoteLiteral(text)
        expect(/^E'(?:[^'\\]|\\.)*'$/s.test(literal)).toBe(true)
        expect([...literal].every((character) => character < '\x80')).toBe(true)
        const read = literal
          .slice(2, -1)
          .replaceAll(/\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gs, (_all, short, long, plain) =>
            plain === undefined ? String.fromCodePoint(Number.parseInt(short ?? long, 16)) : plain,
          )
        expect(read).toBe(text)
      }),
      { numRuns: 100 },
    )
  })
})
