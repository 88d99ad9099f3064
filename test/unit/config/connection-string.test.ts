import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseConnectionString } from '../../../src/config/connection-string.ts'
import { utf8Text } from '../../support/utf8-text.ts'

describe('the value of an entry of [databases]', () => {
  test.each([
    ['', []],
    ['  ', []],
    ['host=x', [['host', 'x']]],
    [
      '  host=x \t port = 5432  ',
      [
        ['host', 'x'],
        ['port', '5432'],
      ],
    ],
    ["password='a b'", [['password', 'a b']]],
    [
      "password='it''s' user=u",
      [
        ['password', "it's"],
        ['user', 'u'],
      ],
    ],
    ["password=''''", [['password', "'"]]],
    ["password=it's", [['password', "it's"]]],
    ['password=a=b', [['password', 'a=b']]],
    [
      'password="a" user=x',
      [
        ['password', '"a"'],
        ['user', 'x'],
      ],
    ],
    ["connect_query='SELECT 1; -- x=y'", [['connect_query', 'SELECT 1; -- x=y']]],
  ])('%j', (text, pairs) => {
    expect(parseConnectionString(text)).toEqual(pairs)
  })

  test.each([
    ['host', 'expected key=value pairs with blanks between them'],
    ['=x', 'expected key=value pairs with blanks between them'],
    ['password=hunter2 hunter3', 'expected key=value behind the value of password'],
    ["password='hunter2", 'the quoted value of password does not end; a quote in it is doubled'],
    ["password='hunter2''", 'the quoted value of password does not end; a quote in it is doubled'],
    ["user=a password=''", 'the value of password is empty; leave the key out where there is none'],
    ['user=a password=', 'the value of password is empty; leave the key out where there is none'],
  ])('%j is refused without repeating a value', (text, problem) => {
    expect(parseConnectionString(text)).toEqual({ problem })
  })

  test('any value comes back from its quoted form', () => {
    const line = utf8Text.filter((text) => !text.includes('\n'))
    fc.assert(
      fc.property(fc.array(line), (values) => {
        const pairs = values.map((value, index) => [`key${index}`, value] as const)
        const text = pairs.map(([key, value]) => `${key}='${value.replaceAll("'", "''")}'`).join(' ')
        expect(parseConnectionString(text)).toEqual(pairs)
      }),
    )
  })
})
