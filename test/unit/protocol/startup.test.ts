import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  encodeCancelRequest,
  encodeNegotiateProtocolVersion,
  encodeStartupMessage,
  readStartupPacket,
  startupPacketBytes,
} from '../../../src/protocol/startup.ts'
import * as frontend from '../../support/frontend-messages.ts'

describe('the length of a startup packet', () => {
  const length = (value: number): Buffer => {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value)
    return bytes
  }

  test('is unknown before its four bytes are there', () => {
    for (let bytes = 0; bytes < 4; bytes++) expect(startupPacketBytes(length(8), 0, bytes)).toBeUndefined()
    expect(startupPacketBytes(Buffer.concat([Buffer.from('x'), length(8)]), 1, 5)).toBe(8)
  })

  test.each([8, 10_000])('may be %i', (value) => {
    expect(startupPacketBytes(length(value), 0, 4)).toBe(value)
  })

  test.each([7, 0, -1, 10_001, 0x7fffffff, 0x47455420 /* "GET " */])('may not be %i', (value) => {
    expect(() => startupPacketBytes(length(value), 0, 4)).toThrow(
      expect.objectContaining({ sqlState: '08P01' }),
    )
  })
})

describe('reading', () => {
  test('SSLRequest, GSSENCRequest and CancelRequest are told apart', () => {
    expect(readStartupPacket(frontend.sslRequest())).toEqual({ kind: 'ssl-request' })
    expect(readStartupPacket(frontend.gssencRequest())).toEqual({ kind: 'gssenc-request' })
    const secret = Buffer.from('a secret of any length')
    expect(readStartupPacket(frontend.cancelRequest({ processId: 42, secret }))).toEqual({
      kind: 'cancel',
      processId: 42,
      secret,
    })
  })

  test('the secret of a CancelRequest is a copy', () => {
    const packet = frontend.cancelRequest({ processId: 1, secret: Buffer.from('abcd') })
    const read = readStartupPacket(packet)
    packet.fill(0)
    expect(read).toMatchObject({ secret: Buffer.from('abcd') })
  })

  test('a StartupMessage has its minor version, its parameters as they came, and the names of its options', () => {
    const packet = frontend.startup(
      { user: 'Ålice', database: '', '_pq_.command_tag': 'x', DateStyle: 'ISO, MDY' },
      frontend.PROTOCOL_3_2,
    )
    expect(readStartupPacket(packet)).toEqual({
      kind: 'startup',
      minor: 2,
      parameters: new Map([
        ['user', 'Ålice'],
        ['database', ''],
        ['DateStyle', 'ISO, MDY'],
      ]),
      protocolOptions: ['_pq_.command_tag'],
    })
  })

  test.each([
    [0x20000, '2.0'],
    [0x40000, '4.0'],
    [0, '0.0'],
    [0x47455420, '18245.21536'],
  ])('protocol %i is refused with 0A000', (protocol, name) => {
    expect(() => readStartupPacket(frontend.startup({ user: 'a' }, protocol))).toThrow(
      expect.objectContaining({ sqlState: '0A000', message: expect.stringContaining(`protocol ${name}:`) }),
    )
  })

  const packet = (body: string): Buffer => {
    const bytes = Buffer.from(`....\0\x03\0\0${body}`, 'latin1')
    bytes.writeInt32BE(bytes.length, 0)
    return bytes
  }

  test.each([
    ['no terminator', 'user\0a\0'],
    ['an unterminated value', 'user\0a'],
    ['a name without its value', 'user\0\0database\0'],
    ['nothing', ''],
    ['bytes behind the terminator', 'user\0a\0\0\0'],
  ])('a StartupMessage with %s is 08P01', (_what, body) => {
    expect(() => readStartupPacket(packet(body))).toThrow(expect.objectContaining({ sqlState: '08P01' }))
  })

  test('a CancelRequest too short for its process id is 08P01', () => {
    expect(() =>
      readStartupPacket(frontend.cancelRequest({ processId: 1, secret: Buffer.alloc(0) }).subarray(0, 10)),
    ).toThrow(expect.objectContaining({ sqlState: '08P01' }))
  })

  test('bytes of any kind give a packet or a PoolerError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 60 }), fc.boolean(), (bytes, version3) => {
        const random = Buffer.from(bytes)
        if (version3) random.writeInt32BE(frontend.PROTOCOL_3_0, 4)
        try {
          readStartupPacket(random)
        } catch (error) {
          expect(error).toHaveProperty('sqlState')
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('writing', () => {
  test('a StartupMessage for a server asks for protocol 3.0', () => {
    const written = encodeStartupMessage([
      ['user', 'a'],
      ['database', 'b'],
    ])
    expect(written).toEqual(frontend.startup({ user: 'a', database: 'b' }))
  })

  test('a CancelRequest is what PostgreSQL expects', () => {
    const secret = Buffer.from([1, 2, 3, 4])
    expect(encodeCancelRequest(7, secret)).toEqual(frontend.cancelRequest({ processId: 7, secret }))
  })

  test('NegotiateProtocolVersion names the newest minor version and the options not understood', () => {
    expect(encodeNegotiateProtocolVersion(2, ['_pq_.a', '_pq_.b']).toString('latin1')).toBe(
      'v\0\0\0\x1a\0\x03\0\x02\0\0\0\x02_pq_.a\0_pq_.b\0',
    )
  })
})
