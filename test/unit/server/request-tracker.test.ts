import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Effect,
  endsBatch,
  type OwedReply,
  Reply,
  ReplyAction,
  RequestTracker,
} from '../../../src/server/request-tracker.ts'

const { Forward, Skip, Synthesise } = ReplyAction

function tracker(...replies: Reply[]): RequestTracker {
  const owed = new RequestTracker()
  for (const reply of replies) owed.push(reply, Forward)
  return owed
}

const replies = (owed: RequestTracker): Reply[] =>
  Array.from({ length: owed.length }, (_, index) => owed.at(index).reply)

describe('the queue', () => {
  test('is first in, first out through every growth and wrap of its ring', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 300 }), (steps) => {
        const owed = new RequestTracker()
        const model: number[] = []
        let next = 0
        for (const push of steps) {
          if (push || model.length === 0) {
            owed.push(Reply.Query, Forward).batch = next
            model.push(next)
            next += 1
          } else {
            expect(owed.shift().batch).toBe(model.shift())
          }
          expect(owed.length).toBe(model.length)
          expect(owed.head?.batch).toBe(model[0])
        }
        expect(model.map((_, index) => owed.at(index).batch)).toEqual(model)
      }),
      { numRuns: 100 },
    )
  })

  test('keeps its entries while it grows with its head in the middle of the ring', () => {
    const owed = tracker(...Array<Reply>(16).fill(Reply.Bind))
    for (let i = 0; i < 10; i++) owed.shift()
    for (let i = 0; i < 100; i++) owed.push(Reply.Sync, Forward)
    expect(replies(owed)).toEqual([...Array(6).fill(Reply.Bind), ...Array(100).fill(Reply.Sync)])
  })

  test('an entry is used again without anything of its former use', () => {
    const owed = new RequestTracker()
    const entry = owed.push(Reply.Parse, Skip)
    Object.assign(entry, { effect: Effect.Prepare, statement: {}, name: {}, onServer: {} })
    owed.shift()
    for (let i = 0; i < 16; i++) {
      expect(owed.push(Reply.Sync, Forward)).toMatchObject({
        effect: Effect.None,
        statement: null,
        name: null,
        onServer: null,
        action: Forward,
      })
      owed.shift()
    }
  })

  test('a shifted entry stays readable until the next push', () => {
    const owed = tracker(Reply.Parse, Reply.Sync)
    const entry = owed.shift()
    expect(entry.reply).toBe(Reply.Parse)
    expect(owed.head?.reply).toBe(Reply.Sync)
  })

  test('taking from an empty queue is a mistake of ours', () => {
    expect(() => new RequestTracker().shift()).toThrow()
    expect(() => new RequestTracker().at(0)).toThrow()
    expect(new RequestTracker().head).toBeNull()
  })
})

describe('batches', () => {
  test('are ended by Sync, Query and FunctionCall', () => {
    const ending = Object.values(Reply).filter(endsBatch)
    expect(new Set(ending)).toEqual(new Set([Reply.Sync, Reply.Query, Reply.FunctionCall]))
  })

  test('have numbers, and are open from their first message to their Sync', () => {
    const owed = new RequestTracker()
    expect(owed.batchOpen).toBe(false)
    expect(owed.push(Reply.Parse, Forward).batch).toBe(1)
    expect(owed.batchOpen).toBe(true)
    expect(owed.push(Reply.Sync, Forward).batch).toBe(1)
    expect(owed.batchOpen).toBe(false)
    expect(owed.push(Reply.Query, Forward).batch).toBe(2)
    expect(owed.push(Reply.Bind, Forward).batch).toBe(3)
  })

  test('are not opened by the end of a COPY', () => {
    const owed = tracker(Reply.Query, Reply.CopyEnd)
    expect(owed.batchOpen).toBe(false)
  })
})

test('the next reply is synthesised only where it is the oldest', () => {
  const owed = tracker(Reply.Bind)
  owed.push(Reply.Parse, Synthesise)
  expect(owed.nextIsSynthesised).toBe(false)
  owed.shift()
  expect(owed.nextIsSynthesised).toBe(true)
  owed.shift()
  expect(owed.nextIsSynthesised).toBe(false)
})

describe('after an error', () => {
  test('everything up to the Sync is undone, newest first', () => {
    const owed = tracker(Reply.Parse, Reply.Bind, Reply.Execute, Reply.Sync, Reply.Parse, Reply.Sync)
    const undone: Reply[] = []
    expect(owed.discardToSync(({ reply }: OwedReply) => undone.push(reply))).toBe(true)
    expect(undone).toEqual([Reply.Execute, Reply.Bind, Reply.Parse])
    expect(replies(owed)).toEqual([Reply.Sync, Reply.Parse, Reply.Sync])
  })

  test('Queries and FunctionCalls before the Sync are discarded with the rest', () => {
    const owed = tracker(Reply.Bind, Reply.Query, Reply.FunctionCall, Reply.Sync)
    expect(owed.discardToSync(() => {})).toBe(true)
    expect(replies(owed)).toEqual([Reply.Sync])
  })

  test('without a Sync nothing is left, and that is said', () => {
    const owed = tracker(Reply.Bind, Reply.Execute)
    expect(owed.discardToSync(() => {})).toBe(false)
    expect(owed.length).toBe(0)
  })

  test('with the Sync as the oldest nothing is undone', () => {
    const owed = tracker(Reply.Sync, Reply.Bind)
    expect(owed.discardToSync(() => expect.unreachable())).toBe(true)
    expect(owed.length).toBe(2)
  })
})

test('clear undoes everything, newest first, across batches', () => {
  const owed = tracker(Reply.Parse, Reply.Sync, Reply.Close)
  owed.copyIn = true
  const undone: Reply[] = []
  owed.clear(({ reply }) => undone.push(reply))
  expect(undone).toEqual([Reply.Close, Reply.Sync, Reply.Parse])
  expect(owed.length).toBe(0)
  expect(owed.copyIn).toBe(false)
})

describe('the end of a COPY', () => {
  const { Query, Execute, Sync, CopyEnd } = Reply

  test.each<[string, Reply[], ReturnType<RequestTracker['endCopy']>, Reply[]]>([
    ['with nothing behind', [Query], { syncs: 0, others: 0, ended: false }, [Query]],
    ['with its end', [Query, CopyEnd], { syncs: 0, others: 0, ended: true }, [Query]],
    [
      'with a Sync that was sent ahead',
      [Execute, Sync, CopyEnd, Sync],
      { syncs: 1, others: 0, ended: true },
      [Execute, Sync],
    ],
    ['with Syncs and no end', [Execute, Sync, Sync], { syncs: 2, others: 0, ended: false }, [Execute]],
    [
      'with the Sync behind its end',
      [Execute, CopyEnd, Sync],
      { syncs: 0, others: 0, ended: true },
      [Execute, Sync],
    ],
    [
      'with a second end',
      [Query, CopyEnd, CopyEnd, Query],
      { syncs: 0, others: 0, ended: true },
      [Query, CopyEnd, Query],
    ],
    [
      'with another message in it',
      [Query, Query, CopyEnd],
      { syncs: 0, others: 1, ended: true },
      [Query, Query, CopyEnd],
    ],
  ])('%s', (_what, sent, expected, left) => {
    const owed = tracker(...sent)
    owed.copyIn = true
    expect(owed.endCopy()).toEqual(expected)
    expect(owed.copyIn).toBe(false)
    expect(replies(owed)).toEqual(left)
  })

  test('keeps the oldest entry itself, wherever it is in the ring', () => {
    for (let offset = 0; offset < 16; offset++) {
      const owed = new RequestTracker()
      for (let i = 0; i < offset; i++) {
        owed.push(Sync, Forward)
        owed.shift()
      }
      const copy = owed.push(Execute, Skip)
      for (const reply of [Sync, Sync, CopyEnd, Sync]) owed.push(reply, Forward)
      owed.endCopy()
      expect(owed.head).toBe(copy)
      expect(replies(owed)).toEqual([Execute, Sync])
      expect(owed.push(Query, Forward)).not.toBe(copy)
    }
  })

  test('a stray end goes with the reply in front of it', () => {
    const owed = tracker(Query, CopyEnd, CopyEnd, Query)
    owed.shift()
    expect(replies(owed)).toEqual([Query])
    const last = tracker(Query, CopyEnd)
    last.shift()
    expect(last.length).toBe(0)
  })
})
