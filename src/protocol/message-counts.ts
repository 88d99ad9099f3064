import { messageBytes } from './message-bytes.ts'
import { HEADER_BYTES } from './message-type.ts'

/** Stands for packets without a type byte: StartupMessage, SSLRequest, CancelRequest. */
export const UNTYPED = 0
const TYPES = 256

/**
 * MessageCounts: how many messages of each type, and their bytes; they only grow. One plain array, in which the two
 * numbers of a type are neighbours: the processor fetches them, and those of the types beside it, at once.
 */
export class MessageCounts {
  readonly #counts = new Float64Array(2 * TYPES)

  messages(type: number): number {
    return this.#counts[2 * type] as number
  }

  bytes(type: number): number {
    return this.#counts[2 * type + 1] as number
  }

  add(type: number, bytes: number, messages = 1): void {
    const counts = this.#counts
    counts[2 * type] = (counts[2 * type] as number) + messages
    counts[2 * type + 1] = (counts[2 * type + 1] as number) + bytes
  }

  /** A message that was added is offered once more later. */
  takeBack(type: number, total: number): void {
    const counts = this.#counts
    counts[2 * type] = (counts[2 * type] as number) - 1
    counts[2 * type + 1] = (counts[2 * type + 1] as number) - total
  }

  /** All messages of a buffer that begins with one; of the last one the end may be missing. */
  addAll(buffer: Buffer, start: number, end: number): void {
    let position = start
    while (end - position >= HEADER_BYTES) {
      const total = messageBytes(buffer, position)
      this.add(buffer[position] as number, total)
      position += total
    }
  }
}

/** ReadCounts: the messages of one direction as they came, and those of them that were not passed on as they came. */
export class ReadCounts {
  readonly read = new MessageCounts()
  readonly dropped = new MessageCounts()
}

/** TrafficCounts: the messages of all connections of the process, in the four directions. */
export class TrafficCounts {
  readonly fromClients = new ReadCounts()
  readonly fromServers = new ReadCounts()
  /** Messages of clients that were sent to a server once more. */
  readonly repeated = new ReadCounts()
  /** What is sent without having come from the other side, or not in this form. */
  readonly ownToClients = new MessageCounts()
  readonly ownToServers = new MessageCounts()
}
