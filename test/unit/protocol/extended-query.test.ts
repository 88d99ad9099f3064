import { expect, test } from 'vitest'
import {
  encodeCloseStatement,
  encodeDescribeStatement,
  encodeParse,
  encodeQuery,
  endOfName,
  FLUSH,
  SYNC,
} from '../../../src/protocol/extended-query.ts'
import { backendTypeName, frontendTypeName } from '../../../src/protocol/message-type.ts'
import {
  CLOSE_COMPLETE,
  commandTag,
  encodeBackendKeyData,
  encodeParameterStatus,
  PARSE_COMPLETE,
  READY_IDLE,
} from '../../../src/protocol/responses.ts'
import * as backend from '../../support/backend-messages.ts'
import * as frontend from '../../support/frontend-messages.ts'

test('the end of a name is its NUL, and -1 if that is not inside the message', () => {
  const bytes = Buffer.from('ab\0cd\0')
  expect(endOfName(bytes, 0, 6)).toBe(2)
  expect(endOfName(bytes, 2, 6)).toBe(2)
  expect(endOfName(bytes, 3, 6)).toBe(5)
  expect(endOfName(bytes, 3, 5)).toBe(-1)
  expect(endOfName(bytes, 6, 6)).toBe(-1)
})

test('a Parse is built from a name and what is behind the name', () => {
  const whole = frontend.parse('s1', 'SELECT $1', [23])
  expect(encodeParse('s1', whole.subarray(5 + 3))).toEqual(whole)
})

test('Close, Describe, Query, Sync and Flush are what the documentation says', () => {
  expect(encodeCloseStatement('s')).toEqual(frontend.close('S', 's'))
  expect(encodeDescribeStatement('s')).toEqual(frontend.describeMessage('S', 's'))
  expect(encodeQuery('SELECT 1')).toEqual(frontend.query('SELECT 1'))
  expect(SYNC).toEqual(frontend.sync())
  expect(FLUSH).toEqual(frontend.flush())
})

test('replies that the pooler sends itself are what the documentation says', () => {
  expect(READY_IDLE).toEqual(backend.readyForQuery('I'))
  expect(PARSE_COMPLETE).toEqual(backend.parseComplete())
  expect(CLOSE_COMPLETE.toString('latin1')).toBe('3\0\0\0\x04')
  expect(encodeParameterStatus('a', 'b')).toEqual(backend.parameterStatus('a', 'b'))
  const secret = Buffer.from('key')
  expect(encodeBackendKeyData(5, secret)).toEqual(backend.backendKeyData(5, secret))
})

test('the tag of a CommandComplete is its text without the NUL', () => {
  const message = Buffer.concat([Buffer.from('##'), backend.commandComplete('INSERT 0 1'), Buffer.from('##')])
  expect(commandTag(message, 2, message.length - 2)).toBe('INSERT 0 1')
})

test('a type byte has the name of the documentation, per direction; others are shown as they are', () => {
  expect(frontendTypeName(0x44)).toBe('Describe')
  expect(backendTypeName(0x44)).toBe('DataRow')
  expect(frontendTypeName(0x00)).toBe('unknown type 0x00')
})
