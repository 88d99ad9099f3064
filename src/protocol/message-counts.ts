import { HEADER_BYTES } from './message-type.ts'

/** Stands for packets without a type byte: StartupMessage, SSLRequest, CancelRequest. */
export const UNTYPED = 0

/** MessageCounts: how many messages of each type, and their bytes. Plain arrays by type byte; they only grow. */
export class MessageCounts {
  readonly messages = new Float64Array(256)
  readonly bytes = new Float64Array(256)

  add(type: number, total: number): void {
    this.messages[type] = (this.messages[type] as number) + 1
    this.bytes[type] = (this.bytes[type] as number) + total
  }

  /** A message that was added is offered once more later. */
  takeBack(type: number, total: number): void {
    this.messages[type] = (this.messages[type] as number) - 1
    this.bytes[type] = (this.bytes[type] as number) - total
  }

  /** All messages of a buffer that begins with one; of the last one the end may be missing. */
  addAll(buffer: Buffer, start: number, end: number): void {
    let position = start
    while (end - position >= HEADER_BYTES) {
      const total = buffer.readInt32BE(position + 1) + 1
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
