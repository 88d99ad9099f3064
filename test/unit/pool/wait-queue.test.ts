import { expect, test } from 'vitest'
import { WaitQueue } from '../../../src/pool/wait-queue.ts'
import { FakeLessee } from '../../support/fake-servers.ts'

function filled(): { queue: WaitQueue; a: FakeLessee; b: FakeLessee; c: FakeLessee } {
  const queue = new WaitQueue()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new FakeLessee(name, [])) as [
    FakeLessee,
    FakeLessee,
    FakeLessee,
  ]
  for (const [index, lessee] of [a, b, c].entries()) queue.push(lessee, 100 * index)
  return { queue, a, b, c }
}

test('who has waited longest is first', () => {
  const { queue, a, b, c } = filled()
  expect([queue.shift(), queue.shift(), queue.shift(), queue.shift()]).toEqual([a, b, c, undefined])
  expect(queue.length).toBe(0)
})

test('who cancels is out, wherever it stood, and the others keep their places', () => {
  const { queue, a, b, c } = filled()
  expect(queue.cancel(b)).toBe(true)
  expect(queue.cancel(b)).toBe(false)
  queue.push(b, 300)
  expect([queue.shift(), queue.shift(), queue.shift()]).toEqual([a, c, b])
})

test('those who came before a moment are taken out, longest first; at that moment is not before', () => {
  const { queue, a, b, c } = filled()
  expect(queue.shiftOlderThan(0)).toEqual([])
  expect(queue.shiftOlderThan(200)).toEqual([a, b])
  expect(queue.shift()).toBe(c)
})

test('those who match are taken out, longest first', () => {
  const { queue, a, b, c } = filled()
  expect(queue.takeWhere((lessee) => lessee !== b)).toEqual([a, c])
  expect(queue.length).toBe(1)
})
