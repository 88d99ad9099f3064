import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import {
  encodeErrorResponse,
  encodeNotice,
  encodePoolerError,
  readErrorFields,
} from '../../../src/protocol/error-response.ts'

const HEADER = 5

function bodyOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

describe('building', () => {
  test('an ErrorResponse has the fields S V C M D H in this order, and a length that counts itself', () => {
    const message = encodeErrorResponse({
      severity: 'FATAL',
      sqlState: '28P01',
      message: 'no',
      detail: 'why',
      hint: 'how',
    })
    const body = 'SFATAL\0VFATAL\0C28P01\0Mno\0Dwhy\0Hhow\0\0'
    expect(message.toString('latin1', HEADER)).toBe(body)
    expect(message[0]).toBe('E'.charCodeAt(0))
    expect(message.readInt32BE(1)).toBe(body.length + 4)
  })

  test('a notice has type N and no fields for absent texts', () => {
    const message = encodeNotice({ severity: 'NOTICE', sqlState: '00000', message: 'hello' })
    expect(message[0]).toBe('N'.charCodeAt(0))
    expect(message.toString('latin1', HEADER)).toBe('SNOTICE\0VNOTICE\0C00000\0Mhello\0\0')
  })

  test('a PoolerError is sent with its own severity, SQLSTATE and texts', () => {
    const error = new PoolerError('42P05', 'in use', { severity: 'ERROR', hint: 'close it' })
    expect(encodePoolerError(error).toString('latin1', HEADER)).toBe(
      'SERROR\0VERROR\0C42P05\0Min use\0Hclose it\0\0',
    )
  })

  test('a PoolerError with the bytes of PostgreSQL is sent as these bytes', () => {
    const response = Buffer.from('anything')
    expect(encodePoolerError(new PoolerError('08006', 'gone', { response }))).toBe(response)
  })

  test('a NUL in a text does not end the field', () => {
    const message = encodeErrorResponse({ severity: 'ERROR', sqlState: '42000', message: 'a\0b' })
    expect(readErrorFields(message, HEADER, message.length).message).toBe('a\ufffdb')
  })
})

describe('reading', () => {
  test('what was built is read back', () => {
    const fields = { severity: 'ERROR', sqlState: '42P01', message: 'ü', detail: 'd', hint: 'h' }
    const message = encodeErrorResponse(fields)
    expect(readErrorFields(message, HEADER, message.length)).toEqual({ ...fields, routine: undefined })
  })

  test('the untranslated severity wins over the translated one', () => {
    const body = bodyOf('SFEHLER\0VERROR\0Rauth_failed\0\0')
    expect(readErrorFields(body, 0, body.length)).toMatchObject({ severity: 'ERROR', routine: 'auth_failed' })
  })

  test('a server older than 9.6 sends the translated severity alone', () => {
    const body = bodyOf('SFATAL\0\0')
    expect(readErrorFields(body, 0, body.length).severity).toBe('FATAL')
  })

  test('an empty body has no field', () => {
    expect(readErrorFields(Buffer.alloc(0), 0, 0)).toEqual({
      severity: undefined,
      sqlState: undefined,
      message: undefined,
      detail: undefined,
      hint: undefined,
      routine: undefined,
    })
  })

  test('a report without SQLSTATE and message gives what it has', () => {
    const body = bodyOf('SERROR\0\0')
    expect(readErrorFields(body, 0, body.length)).toMatchObject({ sqlState: undefined, message: undefined })
  })

  test('a text without terminator ends with the body, not with the buffer', () => {
    const body = bodyOf('Mcut off\0C12345\0\0')
    expect(readErrorFields(body, 0, 4)).toMatchObject({ message: 'cut', sqlState: undefined })
  })

  test('an end beyond the buffer is no harm', () => {
    const body = bodyOf('Mtext')
    expect(readErrorFields(body, 0, 1000).message).toBe('text')
  })

  test('no bytes make the reader throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), fc.nat(100), (bytes, start, end) => {
        readErrorFields(Buffer.from(bytes), start, end)
      }),
    )
  })
})
