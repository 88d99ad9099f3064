import { expect, test } from 'vitest'
import { Framer, MessageTable, Verdict } from '../../../src/protocol/framer.ts'
import { MessageCounts, ReadCounts } from '../../../src/protocol/message-counts.ts'

const message = (type: string, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes)
  buffer.write(type)
  buffer.writeInt32BE(bytes - 1, 1)
  return buffer
}
/** p passes unseen, f is forwarded, d dropped, h held once. */
const TABLE = new MessageTable().pass([0x70], 1000).header([0x66, 0x64, 0x68], 1000)
const CHUNK = Buffer.concat([
  message('p', 40),
  message('f', 5),
  message('d', 30),
  message('h', 7),
  message('p', 9),
])

function countsAfter(pieces: readonly Buffer[], dropRuns = false): ReadCounts {
  const counts = new ReadCounts()
  let held = 0
  const framer: Framer = new Framer(
    {
      onMessage(type) {
        if (type === 0x64) return Verdict.Drop
        if (type === 0x68 && held++ === 0) return Verdict.Hold
        return Verdict.Forward
      },
      onRun: (buffer, start, end) => {
        if (dropRuns) framer.dropRun(buffer, start, end)
      },
    },
    TABLE,
    undefined,
    counts,
  )
  for (const piece of pieces) framer.push(piece, 0, piece.length)
  framer.resume()
  return counts
}

const shown = (counts: MessageCounts): Record<string, string> =>
  Object.fromEntries(
    [...'pfdh'].map((type) => [
      type,
      `${counts.messages(type.charCodeAt(0))}/${counts.bytes(type.charCodeAt(0))}`,
    ]),
  )

test('each message is counted once, wherever the chunk was cut, and whether or not it was held', () => {
  for (let cut = 0; cut <= CHUNK.length; cut++) {
    const counts = countsAfter([CHUNK.subarray(0, cut), CHUNK.subarray(cut)])
    expect(shown(counts.read), `cut at ${cut}`).toEqual({ p: '2/49', f: '1/5', d: '1/30', h: '1/7' })
    expect(shown(counts.dropped), `cut at ${cut}`).toEqual({ p: '0/0', f: '0/0', d: '1/30', h: '0/0' })
  }
})

test('a run that its receiver drops is no longer counted as forwarded, wherever it was cut', () => {
  for (let cut = 0; cut <= CHUNK.length; cut++) {
    const { read, dropped } = countsAfter([CHUNK.subarray(0, cut), CHUNK.subarray(cut)], true)
    expect(shown(dropped), `cut at ${cut}`).toEqual(shown(read))
  }
})

test('a buffer that ends inside its last message counts that message whole', () => {
  const counts = new MessageCounts()
  counts.addAll(Buffer.concat([message('f', 6), message('d', 30).subarray(0, 10)]), 0, 16)
  expect(shown(counts)).toEqual({ p: '0/0', f: '1/6', d: '1/30', h: '0/0' })
})

test('a message that its handler throws for has been read, and goes nowhere', () => {
  const counts = new ReadCounts()
  const handler = {
    onMessage: (): Verdict => {
      throw new Error('not this one')
    },
    onRun: () => {},
  }
  const framer = new Framer(handler, TABLE, undefined, counts)
  expect(() => framer.push(message('f', 5), 0, 5)).toThrow('not this one')
  expect(shown(counts.read)).toEqual({ p: '0/0', f: '1/5', d: '0/0', h: '0/0' })
  expect(shown(counts.dropped)).toEqual(shown(counts.read))
})
