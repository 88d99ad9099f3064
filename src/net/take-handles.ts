import type { Server } from 'node:net'

/** A socket as libuv knows it; the `handle` of Node's Socket. */
export interface AcceptedHandle {
  readonly fd?: number
}

type OnConnection = (this: object, error: number, handle: AcceptedHandle | undefined) => void

/**
 * takeHandles: has `onHandle` called with each connection that a listening server accepts, instead of the event
 * 'connection' with a Socket, which costs much of a login and could not be given a read buffer. False where this
 * Node has no such place. Errors of accept are events of the server as before.
 */
export function takeHandles(server: Server, onHandle: (handle: AcceptedHandle) => void): boolean {
  const listener = (server as unknown as { _handle: { onconnection?: OnConnection } | null })._handle
  const report = listener?.onconnection
  if (listener === null || typeof report !== 'function') return false
  listener.onconnection = function (error, handle) {
    if (error !== 0 || handle === undefined) report.call(this, error, handle)
    else onHandle(handle)
  }
  return true
}
