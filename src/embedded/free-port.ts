import { createServer } from 'node:net'

/**
 * Ports of 127.0.0.1 for the embedded PostgreSQL. A port that was free a moment ago may be taken when PostgreSQL
 * binds it; embedded-postgres.ts tries again then.
 */

/** A port that no program listens on at this moment. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0)
  if (port === null) throw new Error('the system has no free port on 127.0.0.1')
  return port
}

export async function isPortFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== null
}

/** Binds `port` for a moment and answers with its number, or with null where another program has it. */
function listenOnce(port: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null)
      else reject(error)
    })
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(address !== null && typeof address === 'object' ? address.port : null))
    })
  })
}
