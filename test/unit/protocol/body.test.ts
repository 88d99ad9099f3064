import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BodyReader } from '../../../src/protocol/body-reader.ts'
import { BodyWriter } from '../../../src/protocol/body-writer.ts'

const reader = (bytes: Buffer): BodyReader => new BodyReader(bytes, 0, bytes.length, 'Test')

describe('reading', () => {
  test.each([
    ['a byte', 0, (body: BodyReader) => body.byte()],
    ['an int16', 1, (body: BodyReader) => body.int16()],
    ['an int32', 3, (body: BodyReader) => body.int32()],
    ['bytes', 4, (body: BodyReader) => body.bytes(5)],
    ['a negative number of bytes', 4, (body: BodyReader) => body.bytes(-1)],
    ['a string', 4, (body: BodyReader) => body.cstring()],
  ])('%s that is not there is 08P01 with the name of the message', (_what, length, read) => {
    // The bytes behind the end of the body belong to the next message.
    const bytes = Buffer.from(`${'x'.repeat(length)}\0next`)
    expect(() => read(new BodyReader(bytes, 0, length, 'Test'))).toThrow(
      expect.objectContaining({
        sqlState: '08P01',
        message: expect.stringContaining('malformed Test message'),
      }),
    )
  })

  test('integers are signed and big-endian', () => {
    const body = reader(Buffer.from([0xff, 0xfe, 0x80, 0, 0, 1, 7]))
    expect([body.int16(), body.int32(), body.byte(), body.remaining]).toEqual([-2, -0x7fffffff, 7, 0])
  })

  test('an empty string is a string', () => {
    const body = reader(Buffer.from('\0a\0'))
    expect([body.cstring(), body.cstring()]).toEqual(['', 'a'])
  })

  test('bytes are a view, and may be none', () => {
    const bytes = Buffer.from('abc')
    const body = reader(bytes)
    const view = body.bytes(2)
    bytes[0] = 0x7a
    expect(view.toString()).toBe('zb')
    expect(body.bytes(0)).toHaveLength(0)
  })

  test('expectEnd throws exactly when something is left', () => {
    const body = reader(Buffer.from('a'))
    expect(() => body.expectEnd()).toThrow('1 bytes are left over')
    body.byte()
    expect(() => body.expectEnd()).not.toThrow()
  })
})

describe('writing', () => {
  test('the length word counts itself and not the type byte', () => {
    expect(new BodyWriter().begin(0x51).cstring('ab').end().take()).toEqual(
      Buffer.from('Q\0\0\0\x07ab\0', 'latin1'),
    )
    expect(new BodyWriter().beginUntyped().int16(1).end().take()).toEqual(Buffer.from([0, 0, 0, 6, 0, 1]))
  })

  test('several messages follow one another', () => {
    const writer = new BodyWriter(8)
    for (const letter of 'SH') writer.begin(letter.charCodeAt(0)).end()
    expect(writer.take().toString('latin1')).toBe('S\0\0\0\x04H\0\0\0\x04')
  })

  test('what was taken is not overwritten by what is written next', () => {
    const writer = new BodyWriter()
    const first = writer.string('first').take()
    writer.string('again')
    expect(first.toString()).toBe('first')
    expect(writer.take().toString()).toBe('again')
    expect(writer.take()).toHaveLength(0)
  })

  test('whatever is written can be read again, across every growth of the buffer', () => {
    const text = fc.string({ maxLength: 100 }).filter((value) => !value.includes('\0'))
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(text, fc.integer(), fc.uint8Array({ maxLength: 100 })), { maxLength: 8 }),
        (initialBytes, fields) => {
          const writer = new BodyWriter(initialBytes)
          for (const [string, number, bytes] of fields) {
            writer
              .cstring(string)
              .int32(number | 0)
              .int32(bytes.length)
              .bytes(bytes)
          }
          const body = reader(writer.take())
          for (const [string, number, bytes] of fields) {
            expect(Buffer.from(body.cstring())).toEqual(Buffer.from(string))
            expect(body.int32()).toBe(number | 0)
            expect(body.bytes(body.int32())).toEqual(Buffer.from(bytes))
          }
          body.expectEnd()
        },
      ),
      { numRuns: 50 },
    )
  })
})
