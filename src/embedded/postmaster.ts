import { readFile, readlink, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedPostgresError } from './embedded-postgres-error.ts'

/**
 * What a data folder says about the server that runs on it (postmaster.pid), and how to stop a server that a
 * killed pooler left behind. Called by embedded-postgres.ts.
 */

/** The lines of postmaster.pid that matter here (PostgreSQL documentation, 66.1: database file layout). */
export interface PostmasterFile {
  readonly pid: number
  /** "starting", "ready", "standby" or "stopping"; empty while the server has not come that far. */
  readonly status: string
}

const POLL_MS = 10
const FAST_SHUTDOWN_MS = 10_000
const IMMEDIATE_SHUTDOWN_MS = 5_000

export async function readPostmasterFile(dataFolder: string): Promise<PostmasterFile | null> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => null)
  if (text === null) return null
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 1) return null
  return { pid, status: (lines[7] ?? '').trim() }
}

/** Waits until the server with this pid accepts connections, or `exited` settles; true when it does accept. */
export async function waitUntilReady(
  dataFolder: string,
  pid: number,
  exited: Promise<unknown>,
): Promise<boolean> {
  let running = true
  exited.then(
    () => {
      running = false
    },
    () => {
      running = false
    },
  )
  while (running) {
    const file = await readPostmasterFile(dataFolder)
    if (file?.pid === pid && file.status === 'ready') return true
    await delay(POLL_MS)
  }
  return false
}

/**
 * Clears the way for a start: stops a server of this data folder whose pooler is gone, and removes a
 * postmaster.pid whose process is gone but whose number another program has by now.
 * @throws EmbeddedPostgresError where `owner` (the pooler that started it) still lives, or the server resists
 */
export async function stopAbandoned(dataFolder: string, ownerPid: number | null): Promise<void> {
  const file = await readPostmasterFile(dataFolder)
  if (file === null) return
  if (!(await runsOn(file.pid, dataFolder))) {
    await rm(join(dataFolder, 'postmaster.pid'), { force: true })
    return
  }
  if (ownerPid !== null && ownerPid !== process.pid && isAlive(ownerPid)) {
    throw new EmbeddedPostgresError(
      `the data folder ${dataFolder} is in use by the pooler with process number ${ownerPid}: ` +
        'stop that one, or choose another folder with --data',
    )
  }
  for (const [signal, patienceMs] of [
    ['SIGINT', FAST_SHUTDOWN_MS],
    ['SIGQUIT', IMMEDIATE_SHUTDOWN_MS],
  ] as const) {
    if (!sendSignal(file.pid, signal)) return
    const deadline = Date.now() + patienceMs
    while (Date.now() < deadline) {
      if (!(await runsOn(file.pid, dataFolder))) return
      await delay(POLL_MS)
    }
  }
  throw new EmbeddedPostgresError(
    `a PostgreSQL server that an earlier start left behind (process number ${file.pid}) still uses ${dataFolder} ` +
      'and does not stop: end it, then start again',
  )
}

/**
 * True if process `pid` is a server on this data folder. Numbers are given again after a restart of the machine
 * or container, so the number alone proves nothing; a server's working folder is its data folder.
 */
async function runsOn(pid: number, dataFolder: string): Promise<boolean> {
  if (!isAlive(pid)) return false
  if (process.platform !== 'linux') return true
  const workingFolder = await readlink(`/proc/${pid}/cwd`).catch(() => null)
  return workingFolder === (await realpath(dataFolder))
}

function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** True if there is a process with this number, ours or somebody else's. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
