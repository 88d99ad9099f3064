import { describe, expect, test, vi } from 'vitest'
import type { Logger } from '../../../src/log.ts'
import { DescriptorGuard } from '../../../src/net/descriptor-guard.ts'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { FakeNetwork } from '../../support/fake-network.ts'

/** The last file descriptors of the process, by made-up numbers. */

const REFUSAL = Buffer.from('sorry')

class Guarded {
  nowMs = 0
  limit: number | undefined
  readonly lines: { readonly refused: number; readonly refusedSinceStart: number }[] = []
  readonly guard: DescriptorGuard
  readonly #network = new FakeNetwork(new FlushQueue())

  constructor(limit: number | null = 80) {
    this.limit = limit ?? undefined
    const log = { error: (details: never) => this.lines.push(details) } as unknown as Logger
    this.guard = new DescriptorGuard({
      refusal: REFUSAL,
      log,
      nowMs: () => this.nowMs,
      limit: () => this.limit,
    })
  }

  accept(descriptor: number | undefined) {
    const connection = Object.assign(this.#network.open(), { descriptor })
    return { admitted: this.guard.admits(connection), connection }
  }
}

describe('a connection', () => {
  test('is let in up to the last eighth of the descriptors, and again when there are free ones', () => {
    const guarded = new Guarded()
    expect(guarded.accept(69).admitted).toBe(true)
    expect(guarded.accept(70).admitted).toBe(false)
    expect(guarded.accept(30).admitted).toBe(true)
    expect(guarded.guard.refused).toBe(1)
  })

  test('that is refused is told so, and dropped if it does not go', () => {
    vi.useFakeTimers()
    const { connection } = new Guarded().accept(70)
    expect(connection.writes).toEqual([REFUSAL])
    expect(connection).toMatchObject({ ended: true, destroyed: false })
    vi.advanceTimersByTime(1000)
    expect(connection.destroyed).toBe(true)
    vi.useRealTimers()
  })

  test('on the very last descriptors is dropped at once', () => {
    const { admitted, connection } = new Guarded().accept(75)
    expect(admitted).toBe(false)
    expect(connection).toMatchObject({ writes: [], destroyed: true })
  })

  test('is let in where the system tells no limit, or the runtime no descriptor', () => {
    expect(new Guarded(null).accept(1_000_000).admitted).toBe(true)
    expect(new Guarded(Number.POSITIVE_INFINITY).accept(1_000_000).admitted).toBe(true)
    expect(new Guarded().accept(undefined).admitted).toBe(true)
  })

  test('of a large limit leaves 64 descriptors, not an eighth', () => {
    const guarded = new Guarded(100_000)
    expect(guarded.accept(100_000 - 65).admitted).toBe(true)
    expect(guarded.accept(100_000 - 64).admitted).toBe(false)
  })
})

describe('the log', () => {
  test('has a line for the first refusal and then one in five seconds, with their number', () => {
    const guarded = new Guarded()
    for (let count = 0; count < 10; count++) guarded.accept(70)
    expect(guarded.lines).toMatchObject([{ refused: 1, refusedSinceStart: 1 }])
    guarded.nowMs = 5000
    guarded.accept(70)
    guarded.guard.failed(new Error('accept ENFILE'))
    expect(guarded.lines.slice(1)).toMatchObject([{ refused: 10, refusedSinceStart: 11 }])
    expect(guarded.guard.refused).toBe(12)
  })

  test('comes with another look at the limit, which may have been raised', () => {
    const guarded = new Guarded()
    guarded.limit = 800
    expect(guarded.accept(70).admitted).toBe(false)
    expect(guarded.accept(70).admitted).toBe(true)
  })
})
