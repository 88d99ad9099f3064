import type { FlushQueue } from '../net/flush-queue.ts'
import type { Endpoint, Transport } from '../net/transport.ts'
import { Wire } from '../net/wire.ts'
import { encodeCancelRequest } from '../protocol/startup.ts'
import { encryptedConnect } from './encrypted-connect.ts'
import type { ServerConnection } from './server-connection.ts'

/**
 * Delivers a CancelRequest for `server` over a connection of its own, encrypted like any other to that
 * endpoint: its key would let whoever reads it cancel for as long as the session lives. `stillWanted` is asked once more when
 * that connection is open: the query may have ended meanwhile, and the server may serve somebody else.
 * While this is under way `server.cancelsInFlight` is above 0, which keeps the server from being reused.
 * `timeoutMs` (cancel_wait_timeout, 0 = none) bounds it all.
 * Resolves when PostgreSQL has closed the connection, which it does after the signal was sent; never rejects.
 */
export async function cancelRequest(
  server: ServerConnection,
  endpoint: Endpoint,
  timeoutMs: number,
  transport: Transport,
  queue: FlushQueue,
  stillWanted: () => boolean,
): Promise<void> {
  server.cancelsInFlight += 1
  try {
    const signal = timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : new AbortController().signal
    const { connection } = await encryptedConnect(endpoint, transport, signal)
    await new Promise<void>((resolve) => {
      const wire = new Wire(connection, queue, {
        onData: () => {},
        onCongested: () => {},
        onDrained: () => {},
        onPeerEnd: () => {
          wire.close()
          resolve()
        },
        onPeerGone: () => resolve(),
      })
      signal.addEventListener('abort', () => {
        wire.destroy()
        resolve()
      })
      if (stillWanted()) wire.append(encodeCancelRequest(server.processId, server.secret))
      else {
        wire.close()
        resolve()
      }
    })
  } catch {
    // The server cannot be reached for a cancel; its own connection will tell, or the query goes on.
  } finally {
    server.cancelsInFlight -= 1
  }
}
