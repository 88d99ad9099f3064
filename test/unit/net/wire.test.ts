import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FlushQueue } from '../../../src/net/flush-queue.ts'
import { PauseReason, Wire, type WireOwner } from '../../../src/net/wire.ts'
import { type FakeConnection, FakeNetwork } from '../../support/fake-network.ts'

const HIGH_WATER = 64 * 1024
const SCRATCH = 96 * 1024

class Owner implements WireOwner {
  readonly events: string[] = []
  wire!: Wire
  onBytes: (bytes: Buffer) => void = () => {}

  onData(buffer: Buffer, start: number, end: number): void {
    this.onBytes(buffer.subarray(start, end))
  }

  onCongested(): void {
    this.events.push('congested')
  }

  onDrained(): void {
    this.events.push('drained')
  }

  onPeerEnd(): void {
    this.events.push('end')
  }

  onPeerGone(error: Error | null): void {
    this.events.push(`gone ${error?.message ?? 'without an error'}`)
  }
}

let queue: FlushQueue
let connection: FakeConnection
let owner: Owner
let wire: Wire

beforeEach(() => {
  vi.useFakeTimers()
  queue = new FlushQueue()
  connection = new FakeNetwork(queue).open()
  owner = new Owner()
  wire = new Wire(connection, queue, owner)
})

afterEach(() => {
  vi.useRealTimers()
})

/** Runs `body` as the handling of one chunk. */
function turn(body: () => void): void {
  queue.beginTurn()
  body()
  queue.endTurn()
}

const written = (): string[] => connection.writes.map((bytes) => bytes.toString())

describe('writing', () => {
  test('everything appended in a turn is one write at its end', () => {
    turn(() => {
      wire.append(Buffer.from('one '))
      wire.append(Buffer.from('--two --'), 2, 6)
      wire.append(Buffer.from('x'.repeat(100)))
      expect(connection.writes).toEqual([])
    })
    expect(written()).toEqual([`one two ${'x'.repeat(100)}`])
    expect(wire.bytesSent).toBe(108)
  })

  test('the buffer of the caller may be reused at once', () => {
    const bytes = Buffer.from('abc')
    turn(() => {
      wire.append(bytes)
      bytes.fill('z')
    })
    expect(written()).toEqual(['abc'])
  })

  test('outside a turn the write comes in a microtask, also one for all', async () => {
    wire.append(Buffer.from('a'))
    wire.append(Buffer.from('b'))
    expect(connection.writes).toEqual([])
    await Promise.resolve()
    expect(written()).toEqual(['ab'])
  })

  test('what does not fit into a scratch buffer is written in order, in as few writes as there are buffers', () => {
    const bytes = Buffer.alloc(3 * SCRATCH, 'abcdefg')
    turn(() => {
      wire.append(Buffer.from('head'))
      wire.append(bytes)
    })
    expect(connection.writes).toHaveLength(4)
    expect(Buffer.concat(connection.writes).equals(Buffer.concat([Buffer.from('head'), bytes]))).toBe(true)
  })

  test('a scratch buffer that the kernel took is used again, one that it did not take is not', () => {
    const first = queue.takeScratch()
    queue.giveScratch(first)
    turn(() => wire.append(Buffer.from('taken')))
    expect(queue.takeScratch()).toBe(first)
    queue.giveScratch(first)
    connection.stalled = true
    turn(() => wire.append(Buffer.from('not taken')))
    const other = queue.takeScratch()
    expect(other).not.toBe(first)
    other.buffer.fill('#')
    // The fake connection checks that its pending bytes are what they were.
    connection.drain()
  })

  test('two wires of one turn are written once each', () => {
    const second = new FakeNetwork(queue).open()
    const other = new Wire(second, queue, owner)
    turn(() => {
      wire.append(Buffer.from('1'))
      other.append(Buffer.from('2'))
      wire.append(Buffer.from('3'))
    })
    expect(written()).toEqual(['13'])
    expect(second.writes.map(String)).toEqual(['2'])
  })

  test('those that lead to servers are written first', () => {
    const written: string[] = []
    const open = (name: string, leadsToServer: boolean): Wire => {
      const peer = new FakeNetwork(queue).open()
      const write = peer.write.bind(peer)
      peer.write = (bytes) => {
        written.push(name)
        return write(bytes)
      }
      return new Wire(peer, queue, new Owner(), leadsToServer)
    }
    const wires = [
      open('client 1', false),
      open('server 1', true),
      open('client 2', false),
      open('server 2', true),
    ]
    turn(() => {
      for (const each of wires) each.append(Buffer.from('x'))
    })
    expect(written).toEqual(['server 1', 'server 2', 'client 1', 'client 2'])
  })

  describe('of chunks that may be some of many', () => {
    const chunk = (target: Wire, text: string): void => {
      queue.joinTurn()
      target.append(Buffer.from(text))
      queue.leaveTurn()
    }

    test('comes when the event loop has found all of them', () => {
      const other = new FakeNetwork(queue).open()
      const second = new Wire(other, queue, new Owner())
      chunk(wire, 'one ')
      chunk(second, 'two')
      chunk(wire, 'three')
      expect([connection.writes, other.writes]).toEqual([[], []])
      vi.runAllTicks()
      expect([connection.writes, other.writes]).toEqual([[], []])
      vi.advanceTimersToNextTimer()
      expect(written()).toEqual(['one three'])
      expect(other.writes.map(String)).toEqual(['two'])
    })

    test('comes at once for those behind one that nobody joined, until one waits again', () => {
      chunk(wire, 'alone')
      vi.advanceTimersToNextTimer()
      for (let count = 1; count <= 32; count += 1) {
        chunk(wire, `at once ${count}`)
        expect(written()).toHaveLength(1 + count)
      }
      chunk(wire, 'waits ')
      chunk(wire, 'with another')
      expect(written()).toHaveLength(33)
      vi.advanceTimersToNextTimer()
      expect(written().at(-1)).toBe('waits with another')
      chunk(wire, 'waits too')
      expect(written()).toHaveLength(34)
    })

    test('does not wait any longer once 64 wires have something to write', () => {
      const connections = Array.from({ length: 65 }, () => new FakeNetwork(queue).open())
      for (const each of connections) chunk(new Wire(each, queue, new Owner()), 'x')
      expect(connections.map((each) => each.writes.length)).toEqual([...Array(64).fill(1), 0])
      vi.advanceTimersToNextTimer()
      expect(connections.every((each) => each.writes.length === 1)).toBe(true)
    })
  })

  test('32 KiB do not wait for the end of the turn', () => {
    turn(() => {
      wire.append(Buffer.alloc(32 * 1024 - 1, 'x'))
      expect(connection.writes).toEqual([])
      wire.append(Buffer.from('y'))
      expect(connection.writes.map((bytes) => bytes.length)).toEqual([32 * 1024])
      wire.append(Buffer.from('z'))
    })
    expect(connection.writes.map((bytes) => bytes.length)).toEqual([32 * 1024, 1])
  })

  test('a wire that another’s flush makes dirty is flushed in the same turn', () => {
    const second = new FakeNetwork(queue).open()
    const other = new Wire(second, queue, new Owner())
    owner.onCongested = () => other.append(Buffer.from('slow'))
    connection.stalled = true
    turn(() => wire.append(Buffer.alloc(HIGH_WATER)))
    expect(second.writes.map(String)).toEqual(['slow'])
  })
})

describe('congestion', () => {
  test('starts at 64 KiB pending, is told once, and ends with the drain', () => {
    connection.stalled = true
    turn(() => wire.append(Buffer.alloc(HIGH_WATER - 1)))
    expect(owner.events).toEqual([])
    turn(() => wire.append(Buffer.alloc(1)))
    turn(() => wire.append(Buffer.alloc(1)))
    expect(owner.events).toEqual(['congested'])
    expect(wire.congested).toBe(true)
    connection.drain()
    expect(owner.events).toEqual(['congested', 'drained'])
    expect(wire.congested).toBe(false)
  })

  test('a drain without congestion is not told', () => {
    connection.stalled = true
    turn(() => wire.append(Buffer.alloc(10)))
    connection.drain()
    expect(owner.events).toEqual([])
  })

  test('reading goes on when the last reason to pause is gone', () => {
    wire.pause(PauseReason.Held)
    wire.pause(PauseReason.PeerCongested)
    wire.pause(PauseReason.Held)
    expect(connection.paused).toBe(true)
    wire.resume(PauseReason.Owed)
    wire.resume(PauseReason.Held)
    expect(connection.paused).toBe(true)
    wire.resume(PauseReason.PeerCongested)
    expect(connection.paused).toBe(false)
  })
})

describe('reading', () => {
  test('the owner gets exactly the bytes that came, and they are counted', () => {
    const chunks: string[] = []
    owner.onBytes = (bytes) => chunks.push(bytes.toString())
    connection.receive(Buffer.from('hello'))
    connection.receive(Buffer.from('you'))
    expect(chunks).toEqual(['hello', 'you'])
    expect(wire.bytesReceived).toBe(8)
  })

  test('a FIN and a lost connection are told once each', () => {
    connection.receiveEnd()
    connection.lose(new Error('ECONNRESET'))
    expect(owner.events).toEqual(['end', 'gone ECONNRESET'])
    expect(wire.closed).toBe(true)
  })

  test('the peer is named by its address, or as a unix socket', () => {
    expect(wire.peer).toBe('192.0.2.1:1234')
    Object.assign(connection, { remoteAddress: '' })
    expect(wire.peer).toBe('unix')
  })
})

describe('close()', () => {
  test('sends what was appended, then FIN, and throws away what still comes', () => {
    owner.onBytes = () => expect.unreachable()
    wire.pause(PauseReason.Held)
    wire.append(Buffer.from('bye'))
    wire.close()
    expect(written()).toEqual(['bye'])
    expect(connection.ended).toBe(true)
    // It is read on: closing with unread bytes would reset the connection.
    expect(connection.paused).toBe(false)
    connection.receive(Buffer.from('too late'))
    wire.append(Buffer.from('too late'))
    expect(written()).toEqual(['bye'])
  })

  test('the connection is dropped when the peer has closed, too', () => {
    wire.close()
    expect(connection.destroyed).toBe(false)
    connection.receiveEnd()
    expect(connection.destroyed).toBe(true)
    expect(owner.events).toEqual([])
  })

  test('a peer that does not close is cut off after two seconds', () => {
    wire.close()
    vi.advanceTimersByTime(1999)
    expect(connection.destroyed).toBe(false)
    vi.advanceTimersByTime(1)
    expect(connection.destroyed).toBe(true)
  })

  test('a second close changes nothing, and the end of the socket is not told', () => {
    wire.close()
    wire.close()
    connection.lose()
    expect(owner.events).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  test('the socket is told to be gone when it is, and last', () => {
    const gone = vi.fn(() => owner.events.push('socket gone'))
    Object.assign(owner, { onGone: gone })
    connection = new FakeNetwork(queue).open()
    wire = new Wire(connection, queue, owner)
    wire.close(5000)
    vi.advanceTimersByTime(4999)
    expect(gone).not.toHaveBeenCalled()
    connection.receiveEnd()
    expect(gone).toHaveBeenCalledTimes(1)
    connection = new FakeNetwork(queue).open()
    wire = new Wire(connection, queue, owner)
    connection.lose()
    expect(owner.events).toEqual(['socket gone', 'gone without an error', 'socket gone'])
  })

  test('congestion that begins or ends with it is not told', () => {
    connection.stalled = true
    wire.append(Buffer.alloc(HIGH_WATER))
    wire.close()
    connection.drain()
    expect(owner.events).toEqual(['congested'])
  })
})

describe('hangUp()', () => {
  test('sends FIN without what was appended, and reads until the peer closes', () => {
    turn(() => {
      wire.append(Buffer.from('never sent'))
      wire.hangUp(3000, 10)
    })
    expect(connection.writes).toEqual([])
    expect([connection.ended, connection.destroyed]).toEqual([true, false])
    connection.receive(Buffer.alloc(10))
    expect(connection.destroyed).toBe(false)
    connection.receiveEnd()
    expect(connection.destroyed).toBe(true)
    expect(owner.events).toEqual([])
  })

  test('does not read more than it is to, nor longer', () => {
    wire.hangUp(3000, 10)
    connection.receive(Buffer.alloc(11))
    expect(connection.destroyed).toBe(true)
    connection = new FakeNetwork(queue).open()
    wire = new Wire(connection, queue, owner)
    wire.hangUp(3000, 10)
    vi.advanceTimersByTime(3000)
    expect(connection.destroyed).toBe(true)
  })
})

test('destroy() drops the connection with what was not sent, and gives its scratch buffer back', () => {
  const scratch = queue.takeScratch()
  queue.giveScratch(scratch)
  turn(() => {
    wire.append(Buffer.from('never sent'))
    wire.destroy()
  })
  expect(connection.writes).toEqual([])
  expect(connection.destroyed).toBe(true)
  expect(queue.takeScratch()).toBe(scratch)
  expect(owner.events).toEqual([])
})

test('a connection that is lost in the turn in which it was written to gives its scratch buffer back', () => {
  const scratch = queue.takeScratch()
  queue.giveScratch(scratch)
  wire.append(Buffer.from('never sent'))
  connection.lose()
  expect(queue.takeScratch()).toBe(scratch)
  expect(owner.events).toEqual(['gone without an error'])
})

test('no more than 64 spare buffers are kept', () => {
  const buffers = Array.from({ length: 70 }, () => queue.takeScratch())
  for (const buffer of buffers) queue.giveScratch(buffer)
  const again = Array.from({ length: 70 }, () => queue.takeScratch())
  expect(again.filter((buffer) => buffers.includes(buffer))).toHaveLength(64)
})
