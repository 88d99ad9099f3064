/**
 * ByteQueue: received chunks in order, readable by count. Bytes are joined only when enough of them are there,
 * so a message of many megabytes costs one copy. Used by MessageStream, which owns one per socket.
 */
export class ByteQueue {
  #chunks: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
  }

  /** The next `count` bytes without taking them, or undefined while they are not all there. */
  peek(count: number): Buffer | undefined {
    if (this.#length < count) return undefined
    const first = this.#chunks[0]
    if (first === undefined || first.length < count) this.#chunks = [Buffer.concat(this.#chunks)]
    return (this.#chunks[0] ?? Buffer.alloc(0)).subarray(0, count)
  }

  /** Takes the next `count` bytes, or returns undefined while they are not all there. */
  read(count: number): Buffer | undefined {
    const bytes = this.peek(count)
    if (bytes === undefined) return undefined
    const first = this.#chunks[0]
    if (first !== undefined && first.length > count) this.#chunks[0] = first.subarray(count)
    else this.#chunks.shift()
    this.#length -= count
    return bytes
  }
}
