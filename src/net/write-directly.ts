import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'

/**
 * Short writes past the stream: of each write a stream of Node's makes a request, a callback and a round of nextTick,
 * which together are a twentieth of all that a query costs the pooler. The stream may have nothing pending and must
 * not have been destroyed, since then the number may be somebody else's.
 */

/** The descriptor of an open socket; negative where this Node does not tell it (undocumented, as is `_handle`). */
export function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1
}

/** Sends bytes; returns how many the kernel has taken. 0 if it has no room or there is an error, which the stream will meet. */
export function writeDirectly(descriptor: number, bytes: Buffer): number {
  try {
    return writeSync(descriptor, bytes)
  } catch {
    return 0
  }
}
