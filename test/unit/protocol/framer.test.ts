import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PoolerError } from '../../../src/errors.ts'
import { Framer, type MessageHandler, MessageTable, Verdict } from '../../../src/protocol/framer.ts'

const LIMIT = 1000
const HEAD = 12

/** p passes, h is seen by its header, H by its first bytes, w whole; everything else is not allowed. */
const TABLE = new MessageTable()
  .pass([0x70], LIMIT)
  .header([0x68], LIMIT)
  .head([0x48], HEAD, LIMIT)
  .whole([0x77], LIMIT)

type Decide = (seen: number, framer: Framer) => Verdict

/** Collects what comes out: forwarded bytes, and a line per message that was seen. */
class Collector implements MessageHandler {
  readonly framer: Framer = new Framer(this, TABLE)
  readonly seen: string[] = []
  readonly runs: Buffer[] = []
  readonly #decide: Decide

  constructor(decide: Decide = () => Verdict.Forward) {
    this.#decide = decide
  }

  get forwarded(): Buffer {
    return Buffer.concat(this.runs)
  }

  onMessage(type: number, total: number, buffer: Buffer, start: number, end: number): Verdict {
    const verdict = this.#decide(this.seen.length, this.framer)
    if (verdict !== Verdict.Hold) {
      this.seen.push(`${String.fromCharCode(type)}${total} ${buffer.toString('latin1', start, end)}`)
    }
    if (verdict === Verdict.Replace) {
      this.framer.flushRun(start)
      this.runs.push(Buffer.from('<new>'))
    }
    return verdict
  }

  onRun(buffer: Buffer, start: number, end: number): void {
    this.runs.push(Buffer.from(buffer.subarray(start, end)))
  }

  /** Hands in one chunk as the transport does: at an offset, and overwritten afterwards. */
  push(bytes: Buffer): void {
    const chunk = Buffer.concat([Buffer.from('##'), bytes, Buffer.from('##')])
    this.framer.push(chunk, 2, 2 + bytes.length)
    chunk.fill('#')
  }
}

function message(type: string, body: string): Buffer {
  const bytes = Buffer.from(`${type}....${body}`, 'latin1')
  bytes.writeInt32BE(4 + body.length, 1)
  return bytes
}

const STREAM = [
  message('p', 'row'),
  message('h', ''),
  message('H', 'a long body that is seen in part'),
  message('w', 'seen whole'),
  message('h', 'with a tail'),
  message('p', ''),
  message('H', 'x'),
  message('w', ''),
]

function outcome(chunks: readonly Buffer[], decide?: Decide): { seen: string[]; forwarded: string } {
  const collector = new Collector(decide)
  for (const chunk of chunks) collector.push(chunk)
  return { seen: collector.seen, forwarded: collector.forwarded.toString('latin1') }
}

const VERDICTS: Readonly<Record<string, Decide>> = {
  Forward: () => Verdict.Forward,
  Drop: () => Verdict.Drop,
  Replace: () => Verdict.Replace,
  'each in turn': (seen) => [Verdict.Forward, Verdict.Drop, Verdict.Replace][seen % 3] as Verdict,
}

describe.each(Object.entries(VERDICTS))('with verdict %s', (_name, decide) => {
  const bytes = Buffer.concat(STREAM)
  const whole = outcome([bytes], decide)

  test('a stream split in two at any byte gives the same messages and bytes', () => {
    for (let at = 1; at < bytes.length; at++) {
      expect(outcome([bytes.subarray(0, at), bytes.subarray(at)], decide)).toEqual(whole)
    }
  })

  test('a stream that comes byte by byte gives the same messages and bytes', () => {
    expect(
      outcome(
        [...bytes].map((byte) => Buffer.from([byte])),
        decide,
      ),
    ).toEqual(whole)
  })
})

test('what each verdict lets pass', () => {
  const bytes = Buffer.concat([message('p', '1'), message('H', '0123456789abcdef'), message('p', '2')])
  const head = message('H', '0123456789abcdef').toString('latin1', 0, HEAD)
  const [first, second] = [message('p', '1').toString('latin1'), message('p', '2').toString('latin1')]
  expect(outcome([bytes])).toEqual({ seen: [`H21 ${head}`], forwarded: bytes.toString('latin1') })
  expect(outcome([bytes], () => Verdict.Drop).forwarded).toBe(first + second)
  expect(outcome([bytes], () => Verdict.Replace).forwarded).toBe(`${first}<new>789abcdef${second}`)
})

test('neighbours that are forwarded leave as one run', () => {
  const collector = new Collector()
  collector.push(Buffer.concat(STREAM))
  expect(collector.runs).toHaveLength(1)
})

test('the tail of a long message streams through and is not gathered', () => {
  const collector = new Collector()
  const long = message('h', 'x'.repeat(900))
  for (let at = 0; at < long.length; at += 100) collector.push(long.subarray(at, at + 100))
  expect(collector.runs.map(({ length }) => length)).toEqual([...Array(9).fill(100), 5])
})

test('midMessage is true exactly while a part of a forwarded message has passed', () => {
  const collector = new Collector()
  collector.push(message('h', '0123456789').subarray(0, 8))
  expect(collector.framer.midMessage).toBe(true)
  collector.push(message('h', '0123456789').subarray(8))
  expect(collector.framer.midMessage).toBe(false)
  collector.push(message('w', 'whole').subarray(0, 7))
  expect(collector.framer.midMessage).toBe(false)
  const dropping = new Collector(() => Verdict.Drop)
  dropping.push(message('h', '0123456789').subarray(0, 8))
  expect(dropping.framer.midMessage).toBe(false)
})

describe('holding', () => {
  /** Holds the message at `index` once. */
  const holdAt = (index: number): Decide => {
    let held = false
    return (seen) => {
      if (seen !== index || held) return Verdict.Forward
      held = true
      return Verdict.Hold
    }
  }

  test('a held message and all behind it are offered again by resume, wherever the stream is split', () => {
    const bytes = Buffer.concat(STREAM)
    const whole = outcome([bytes])
    for (let index = 0; index < whole.seen.length; index++) {
      for (let at = 1; at < bytes.length; at++) {
        const collector = new Collector(holdAt(index))
        collector.push(bytes.subarray(0, at))
        collector.push(bytes.subarray(at))
        expect(collector.seen).toHaveLength(index)
        collector.framer.resume()
        expect(collector.seen).toEqual(whole.seen)
        expect(collector.forwarded.equals(bytes)).toBe(true)
        expect(collector.framer.heldBytes).toBe(0)
      }
    }
  })

  test('what stands in front of a held message is forwarded before', () => {
    const collector = new Collector(holdAt(0))
    collector.push(Buffer.concat([message('p', '1'), message('w', '2'), message('p', '3')]))
    expect(collector.forwarded).toEqual(message('p', '1'))
    expect(collector.framer.heldBytes).toBe(12)
  })

  test('hold() keeps everything behind the current message', () => {
    const collector = new Collector((seen, framer) => {
      if (seen === 0) framer.hold()
      return Verdict.Forward
    })
    collector.push(Buffer.concat([message('w', '1'), message('p', '2'), message('w', '3')]))
    expect(collector.seen).toEqual(['w6 w\0\0\0\x051'])
    expect(collector.forwarded).toEqual(message('w', '1'))
    collector.push(message('w', '4'))
    expect(collector.framer.heldBytes).toBe(18)
    collector.framer.resume()
    expect(collector.seen).toHaveLength(3)
    expect(collector.runs).toHaveLength(2)
  })

  test('hold() after which nothing more comes in the chunk keeps the next chunk', () => {
    const collector = new Collector((seen, framer) => {
      if (seen === 0) framer.hold()
      return Verdict.Drop
    })
    collector.push(message('w', '1'))
    collector.push(message('w', '2'))
    expect(collector.seen).toHaveLength(1)
    collector.framer.resume()
    expect(collector.seen).toHaveLength(2)
  })

  test('takeHeld hands the held bytes to another framer', () => {
    const bytes = Buffer.concat(STREAM)
    const first = new Collector(holdAt(2))
    first.push(bytes)
    const held = first.framer.takeHeld() as Buffer
    expect(first.framer.heldBytes).toBe(0)
    expect(first.framer.takeHeld()).toBeNull()
    const second = new Collector()
    second.framer.keep(held)
    expect(second.seen).toEqual([])
    second.framer.resume()
    expect([...first.seen, ...second.seen]).toEqual(outcome([bytes]).seen)
  })

  test('a message that is held again and again is offered each time and seen once', () => {
    let holds = 3
    const collector = new Collector(() => (holds-- > 0 ? Verdict.Hold : Verdict.Forward))
    collector.push(message('w', '1'))
    for (let i = 0; i < 3; i++) collector.framer.resume()
    expect(collector.seen).toEqual(['w6 w\0\0\0\x051'])
    expect(collector.forwarded).toEqual(message('w', '1'))
  })
})

describe('stop()', () => {
  test('delivers what stands in front of the message being decided about, and nothing behind it', () => {
    const collector = new Collector((_seen, framer) => {
      framer.stop()
      return Verdict.Forward
    })
    collector.push(Buffer.concat([message('p', '1'), message('w', '2'), message('p', '3')]))
    expect(collector.forwarded).toEqual(message('p', '1'))
    collector.push(message('p', '4'))
    expect(collector.runs).toHaveLength(1)
  })

  test('forgets what was held', () => {
    const collector = new Collector(() => Verdict.Hold)
    collector.push(message('w', '1'))
    collector.framer.stop()
    collector.framer.resume()
    expect(collector.framer.heldBytes).toBe(0)
    expect(collector.forwarded).toHaveLength(0)
  })

  test('during a message that came in pieces ends it there', () => {
    const collector = new Collector((_seen, framer) => {
      framer.stop()
      return Verdict.Forward
    })
    const bytes = Buffer.concat([message('w', '12345'), message('w', '2')])
    collector.push(bytes.subarray(0, 7))
    collector.push(bytes.subarray(7))
    expect(collector.seen).toHaveLength(1)
    expect(collector.forwarded).toHaveLength(0)
  })
})

describe('a length word that may not be', () => {
  test.each([
    ['zero', 0],
    ['below 4', 3],
    ['negative', -1],
    ['the most negative', -0x80000000],
    ['over the limit', LIMIT],
    ['the largest', 0x7fffffff],
  ])('%s is rejected as soon as the header is there, in one chunk or byte by byte', (_what, length) => {
    for (const type of 'phHw') {
      const header = message(type, '')
      header.writeInt32BE(length, 1)
      const before = message('p', 'ok')
      const once = new Collector()
      expect(() => once.push(Buffer.concat([before, header]))).toThrow(PoolerError)
      expect(once.forwarded).toEqual(before)
      const slow = new Collector()
      expect(() => {
        for (const byte of header) slow.push(Buffer.from([byte]))
      }).toThrow(PoolerError)
      expect(slow.seen).toEqual([])
    }
  })

  test('the longest allowed length is not rejected', () => {
    const collector = new Collector()
    collector.push(message('w', 'x'.repeat(LIMIT - 5)))
    expect(collector.seen).toHaveLength(1)
  })
})

test('a type that the table does not know is rejected with its byte in the message', () => {
  expect(() => new Collector().push(message('?', ''))).toThrow('type 0x3f, length 4')
})

const anyMessage = fc
  .tuple(fc.constantFrom('p', 'h', 'H', 'w'), fc.string({ maxLength: 40, unit: 'binary-ascii' }))
  .map(([type, body]) => message(type, body))

test('any stream in any split gives the same messages and bytes, whatever is decided and held', () => {
  fc.assert(
    fc.property(
      fc.array(anyMessage, { maxLength: 12 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.array(fc.constantFrom(Verdict.Forward, Verdict.Drop, Verdict.Replace, Verdict.Hold), {
        minLength: 1,
        maxLength: 12,
      }),
      (messages, cuts, verdicts) => {
        const bytes = Buffer.concat(messages)
        const final = (seen: number): Verdict => {
          const verdict = verdicts[seen % verdicts.length] as Verdict
          return verdict === Verdict.Hold ? Verdict.Forward : verdict
        }
        const whole = outcome([bytes], final)
        const held = new Set<number>()
        const collector = new Collector((seen) => {
          if (verdicts[seen % verdicts.length] === Verdict.Hold && !held.has(seen)) {
            held.add(seen)
            return Verdict.Hold
          }
          return final(seen)
        })
        const ends = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
        let from = 0
        for (const [index, to] of ends.entries()) {
          collector.push(bytes.subarray(from, to))
          from = to
          if (index % 2 === 0) collector.framer.resume()
        }
        while (collector.framer.heldBytes > 0) collector.framer.resume()
        expect(collector.seen).toEqual(whole.seen)
        expect(collector.forwarded.toString('latin1')).toBe(whole.forwarded)
      },
    ),
    { numRuns: 300 },
  )
})
