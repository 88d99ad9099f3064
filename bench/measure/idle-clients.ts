import { setTimeout as pause } from 'node:timers/promises'
import { query } from '../../test/support/frontend-messages.ts'
import { OwnConnection } from '../load/own-connection.ts'
import type { Memory } from '../result.ts'
import type { Target } from '../targets/target.ts'
import { residentBytes } from './process-usage.ts'

/** Memory of a pooler that has just started, and of clients that are connected and do nothing. */

const AT_ONCE = 20
const SAMPLE_MS = 250
/** The memory has settled when it stays within this share for that many samples. */
const SETTLED_SHARE = 0.002
const SETTLED_SAMPLES = 4
const MAX_SAMPLES = 60

/** Null where the system does not tell. Throws if a client is refused. */
export async function measureMemory(target: Target, idleClients: number): Promise<Memory | null> {
  if (target.pid === undefined || residentBytes(target.pid) === null) return null
  const bareBytes = await settledBytes(target.pid)
  const connections: OwnConnection[] = []
  try {
    while (connections.length < idleClients) {
      const count = Math.min(AT_ONCE, idleClients - connections.length)
      const opened = await Promise.all(Array.from({ length: count }, () => loggedIn(target)))
      connections.push(...opened)
    }
    const fullBytes = await settledBytes(target.pid)
    return { bareBytes, idleClients, bytesPerIdleClient: (fullBytes - bareBytes) / idleClients }
  } finally {
    await Promise.all(connections.map((connection) => connection.end()))
  }
}

/** A client that has asked one thing, as applications have that wait for work. */
async function loggedIn(target: Target): Promise<OwnConnection> {
  const connection = await OwnConnection.open(target.address)
  await connection.request(query('SELECT 1'))
  return connection
}

/** Waits until the memory neither grows nor shrinks. */
async function settledBytes(pid: number): Promise<number> {
  let last = residentBytes(pid) ?? 0
  let settled = 0
  for (let sample = 0; sample < MAX_SAMPLES && settled < SETTLED_SAMPLES; sample++) {
    await pause(SAMPLE_MS)
    const now = residentBytes(pid) ?? 0
    settled = Math.abs(now - last) <= last * SETTLED_SHARE ? settled + 1 : 0
    last = now
  }
  return last
}
