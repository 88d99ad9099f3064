import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { isAlive, stopAbandoned } from '../../src/embedded/postmaster.ts'
import { createTemplate, TestCluster } from './test-cluster.ts'

/**
 * Global setup of the projects that need PostgreSQL: initdb into a template that private clusters are copied from,
 * and one shared cluster, both once for all projects of a run. All clusters of a run live in one folder, so that the
 * end of the run, or the start of the next one if this one is killed, can stop and remove whatever is left.
 */

declare module 'vitest' {
  export interface ProvidedContext {
    /** Folder of this run; private clusters are made in it. */
    postgresRunFolder: string
    /** Data folder that private clusters are copied from. */
    postgresTemplate: string
    sharedPostgres: {
      host: string
      port: number
      user: string
      password: string
      database: string
      url: string
      pid: number | undefined
      socketFolder: string
    }
  }
}

const RUN_PREFIX = 'pooler-test-'

export async function setup({ vitest }: TestProject): Promise<(() => Promise<void>) | undefined> {
  // What the run provides reaches all its projects; they are set up one after the other.
  if ('sharedPostgres' in vitest.getProvidedContext()) return undefined
  await removeAbandonedRuns()
  const runFolder = await mkdtemp(join(tmpdir(), `${RUN_PREFIX}${process.pid}-`))
  await chmod(runFolder, 0o711)
  try {
    const template = join(runFolder, 'template')
    await createTemplate(template)
    const shared = await TestCluster.start(join(runFolder, 'shared'), template)
    const { host, port, user, password, database, url, pid, socketFolder } = shared
    vitest.provide('postgresRunFolder', runFolder)
    vitest.provide('postgresTemplate', template)
    vitest.provide('sharedPostgres', { host, port, user, password, database, url, pid, socketFolder })
  } catch (error) {
    await removeRun(runFolder)
    throw error
  }
  return () => removeRun(runFolder)
}

/** A run that was killed could not clean up; the process number in its folder's name tells which ones were. */
async function removeAbandonedRuns(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(RUN_PREFIX)) continue
    const pid = Number.parseInt(name.slice(RUN_PREFIX.length), 10)
    // Another user's run on the same machine is not ours to remove.
    if (Number.isInteger(pid) && !isAlive(pid)) await removeRun(join(tmpdir(), name)).catch(() => {})
  }
}

async function removeRun(runFolder: string): Promise<void> {
  const clusters = await readdir(runFolder)
  await Promise.all(clusters.map((cluster) => stopAbandoned(join(runFolder, cluster, 'data'), null)))
  await rm(runFolder, { recursive: true, force: true })
}
