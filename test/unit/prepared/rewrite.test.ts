import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NameRewriter, renameParse } from '../../../src/prepared/rewrite.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import * as frontend from '../../support/frontend-messages.ts'

const name = fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).map((text) => text.replaceAll('\0', ''))

test('a Bind under another name is the Bind that the client would have sent under it', () => {
  const rewriter = new NameRewriter()
  fc.assert(
    fc.property(
      name,
      name,
      name,
      fc.string({ maxLength: 50 }),
      fc.nat(50),
      (portal, from, to, value, cut) => {
        const message = frontend.bind(from, {
          portal,
          values: [value, null],
          formats: [1],
          resultFormats: [0, 1],
        })
        const buffer = Buffer.concat([Buffer.from('##'), message])
        const nameStart = 2 + 5 + Buffer.byteLength(portal) + 1
        const nameEnd = nameStart + Buffer.byteLength(from)
        // The head may end anywhere behind the name; the rest is forwarded as it came.
        const end = Math.min(buffer.length, nameEnd + 1 + cut)
        const head = rewriter.rename(Buffer.from(to), message.length, buffer, 2, nameStart, nameEnd, end)
        expect(Buffer.concat([head, buffer.subarray(end)])).toEqual(
          frontend.bind(to, { portal, values: [value, null], formats: [1], resultFormats: [0, 1] }),
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('a head longer than the scratch buffer is built, too', () => {
  const message = frontend.describeMessage('S', 'x'.repeat(20_000))
  const head = new NameRewriter().rename(
    Buffer.from('short'),
    message.length,
    message,
    0,
    6,
    20_006,
    message.length,
  )
  expect(head).toEqual(frontend.describeMessage('S', 'short'))
  const long = Buffer.from('y'.repeat(20_000))
  const short = frontend.describeMessage('S', 'short')
  expect(new NameRewriter().rename(long, short.length, short, 0, 6, 11, short.length)).toEqual(
    frontend.describeMessage('S', long.toString()),
  )
})

test('a Parse under the server’s name has the client’s text and types', () => {
  const statement = new StatementRegistry().acquire(Buffer.from('SELECT 1\0\0\0'), '')
  const message = frontend.parse('client', 'SELECT $1', [23, 25])
  expect(renameParse(statement, message, 5 + 6, message.length)).toEqual(
    frontend.parse(statement.name, 'SELECT $1', [23, 25]),
  )
})
