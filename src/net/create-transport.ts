import { BunTransport } from './bun-transport.ts'
import type { FlushQueue } from './flush-queue.ts'
import { NodeTransport } from './node-transport.ts'
import type { Transport } from './transport.ts'

/** createTransport: the sockets of the runtime that this process runs under. */
export function createTransport(queue: FlushQueue): Transport {
  return process.versions.bun === undefined ? new NodeTransport(queue) : new BunTransport(queue)
}
