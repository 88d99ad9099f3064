import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import {
  encodeAuthenticationCleartextPassword,
  encodeAuthenticationMd5Password,
  encodeAuthenticationOk,
  encodeAuthenticationSasl,
  encodeAuthenticationSaslContinue,
  encodeAuthenticationSaslFinal,
  encodePasswordMessage,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  readAuthentication,
  readPasswordMessage,
  readSaslInitialResponse,
  readSaslResponse,
} from '../../../src/protocol/authentication.ts'

const HEADER = 5

type Reader<T> = (buffer: Buffer, start: number, end: number) => T

/** Reads a whole message from the middle of a larger buffer, so that reading past either end shows. */
function readMessage<T>(reader: Reader<T>, message: Buffer): T {
  const buffer = Buffer.concat([Buffer.from('before'), message, Buffer.from('after')])
  return reader(buffer, 6 + HEADER, 6 + message.length)
}

function readBody<T>(reader: Reader<T>, body: Buffer): T {
  return reader(Buffer.concat([body, Buffer.from([0, 0, 0, 0, 0])]), 0, body.length)
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}

function expectMalformed(action: () => unknown, message: RegExp): void {
  expect(action).toThrow(
    expect.objectContaining({ sqlState: '08P01', message: expect.stringMatching(message) }),
  )
}

describe('Authentication messages', () => {
  test('each one that is built is read back', () => {
    const salt = Buffer.from([1, 2, 3, 4])
    expect(readMessage(readAuthentication, encodeAuthenticationOk())).toEqual({ kind: 'ok' })
    expect(readMessage(readAuthentication, encodeAuthenticationCleartextPassword())).toEqual({
      kind: 'cleartext',
    })
    expect(readMessage(readAuthentication, encodeAuthenticationMd5Password(salt))).toEqual({
      kind: 'md5',
      salt,
    })
    expect(readMessage(readAuthentication, encodeAuthenticationSasl(['A', 'B']))).toEqual({
      kind: 'sasl',
      mechanisms: ['A', 'B'],
    })
    expect(readMessage(readAuthentication, encodeAuthenticationSaslContinue('more'))).toEqual({
      kind: 'sasl-continue',
      data: Buffer.from('more'),
    })
    expect(readMessage(readAuthentication, encodeAuthenticationSaslFinal('end'))).toEqual({
      kind: 'sasl-final',
      data: Buffer.from('end'),
    })
  })

  test('the bytes are those of the documentation', () => {
    expect(encodeAuthenticationOk().toString('hex')).toBe('520000000800000000')
    expect(encodeAuthenticationMd5Password(Buffer.from('abcd')).toString('hex')).toBe(
      '520000000c0000000561626364',
    )
    expect(encodeAuthenticationSasl(['X']).toString('hex')).toBe('520000000b0000000a580000')
  })

  test.each([
    [2, 'Kerberos V5'],
    [7, 'GSSAPI'],
    [9, 'SSPI'],
    [99, 'authentication method 99'],
    [-1, 'authentication method -1'],
  ])('method %i is reported as %s', (code, method) => {
    const body = Buffer.concat([int32(code), Buffer.from('some data')])
    expect(readBody(readAuthentication, body)).toEqual({ kind: 'unsupported', method })
  })

  test.each([
    ['no code', Buffer.from([0, 0, 0])],
    ['AuthenticationOk with more behind it', Buffer.concat([int32(0), Buffer.from('x')])],
    ['a cleartext request with more behind it', Buffer.concat([int32(3), Buffer.from('x')])],
    ['an md5 salt of three bytes', Buffer.concat([int32(5), Buffer.from('abc')])],
    ['an md5 salt of five bytes', Buffer.concat([int32(5), Buffer.from('abcde')])],
    ['a mechanism list without end', Buffer.concat([int32(10), Buffer.from('SCRAM\0')])],
    ['a mechanism without terminator', Buffer.concat([int32(10), Buffer.from('SCRAM')])],
    ['a mechanism list with more behind it', Buffer.concat([int32(10), Buffer.from('SCRAM\0\0x')])],
  ])('%s answers 08P01', (_name, body) => {
    expectMalformed(() => readBody(readAuthentication, body), /malformed Authentication message/)
  })
})

describe('PasswordMessage', () => {
  test('a password is read back as its bytes', () => {
    expect(readMessage(readPasswordMessage, encodePasswordMessage('pässword'))).toEqual(
      Buffer.from('pässword'),
    )
  })

  test('bytes that are no UTF-8 stay as they came', () => {
    expect(readBody(readPasswordMessage, Buffer.from([0xff, 0xe4, 0]))).toEqual(Buffer.from([0xff, 0xe4]))
  })

  test('65,530 bytes fit', () => {
    const password = 'x'.repeat(65_530)
    expect(readMessage(readPasswordMessage, encodePasswordMessage(password)).toString()).toBe(password)
  })

  test.each([
    ['an empty body', ''],
    ['a password without terminator', 'secret'],
    ['bytes behind the terminator', 'secret\0x'],
  ])('%s answers 08P01', (_name, text) => {
    expectMalformed(
      () => readBody(readPasswordMessage, Buffer.from(text)),
      /malformed PasswordMessage message/,
    )
  })
})

describe('SASL messages of the client', () => {
  test('an initial response is read back', () => {
    expect(readMessage(readSaslInitialResponse, encodeSaslInitialResponse('M', 'n,,'))).toEqual({
      mechanism: 'M',
      response: Buffer.from('n,,'),
    })
  })

  test('length -1 means that there is no initial response', () => {
    const body = Buffer.concat([Buffer.from('M\0'), int32(-1)])
    expect(readBody(readSaslInitialResponse, body)).toEqual({ mechanism: 'M', response: undefined })
  })

  test('a response is the whole body', () => {
    expect(readMessage(readSaslResponse, encodeSaslResponse('c=biws'))).toEqual(Buffer.from('c=biws'))
  })

  test.each([
    ['-2', -2, 'data'],
    ['-2^31', -0x80000000, 'data'],
    ['2^31-1', 0x7fffffff, 'data'],
    ['one more than there is', 5, 'data'],
    ['one less than there is', 3, 'data'],
    ['-1 (0xFFFFFFFF) with data behind it', -1, 'data'],
  ])('an inner length of %s answers 08P01', (_name, length, data) => {
    const body = Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), int32(length), Buffer.from(data)])
    expectMalformed(() => readBody(readSaslInitialResponse, body), /malformed SASLInitialResponse message/)
  })

  test('a mechanism without terminator or length answers 08P01', () => {
    expectMalformed(() => readBody(readSaslInitialResponse, Buffer.from('SCRAM')), /no terminator/)
    expectMalformed(() => readBody(readSaslInitialResponse, Buffer.from('SCRAM\0\0\0')), /ends too early/)
  })
})

test('no bytes make a reader throw anything but a PoolerError 08P01', () => {
  const readers = [readAuthentication, readPasswordMessage, readSaslInitialResponse, readSaslResponse]
  const authenticationBody = fc
    .tuple(fc.integer({ min: -1, max: 13 }), fc.uint8Array({ maxLength: 40 }))
    .map(([code, rest]) => Buffer.concat([int32(code), rest]))
  fc.assert(
    fc.property(
      fc.constantFrom(...readers),
      fc.oneof(fc.uint8Array({ maxLength: 60 }), authenticationBody),
      (reader, bytes) => {
        try {
          reader(Buffer.from(bytes), 0, bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(PoolerError)
          expect((error as PoolerError).sqlState).toBe('08P01')
        }
      },
    ),
    { numRuns: 1000 },
  )
})
