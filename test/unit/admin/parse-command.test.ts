import { expect, test } from 'vitest'
import { parseCommand } from '../../../src/admin/parse-command.ts'

test.each([
  ['show pools', { verb: 'SHOW', argument: 'pools' }],
  ['  SHOW Pools ; ', { verb: 'SHOW', argument: 'Pools' }],
  ['SELECT version', { verb: 'SHOW', argument: 'version' }],
  ['PAUSE', { verb: 'PAUSE', argument: undefined }],
  ['pause "my db"', { verb: 'PAUSE', argument: 'my db' }],
  ['KILL app-1;', { verb: 'KILL', argument: 'app-1' }],
  ['SET a=1', { verb: 'SET', argument: 'a', value: '1' }],
  ["set Query_Timeout = 'it''s'", { verb: 'SET', argument: 'query_timeout', value: "it's" }],
  ["SET extra_float_digits TO '3'", { verb: 'SET', argument: 'extra_float_digits', value: '3' }],
  ["SET client_encoding TO 'UTF8';", { verb: 'SET', argument: 'client_encoding', value: 'UTF8' }],
])('%s is understood', (sql, command) => {
  expect(parseCommand(sql)).toEqual({ value: undefined, ...command })
})

test.each(['', '  ', ';', ' ; '])('%j is no command', (sql) => {
  expect(parseCommand(sql)).toBeUndefined()
})

test.each(['SHOW POOLS CLIENTS', 'SELECT 1 + 1', '1', 'PAUSE a; RESUME a'])('%s is refused', (sql) => {
  expect(() => parseCommand(sql)).toThrow(`invalid command '${sql}', use SHOW HELP;`)
})

test.each([`PAUSE ${'x'.repeat(64)}`, 'ABCDEFGHIJKLMNOP', `SET a = '${'x'.repeat(256)}'`])(
  '%s is too long',
  (sql) => {
    expect(() => parseCommand(sql)).toThrow('bad arguments')
  },
)
