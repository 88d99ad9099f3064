import { readFile } from 'node:fs/promises'
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { findPostgresBinaries } from '../src/embedded/postgres-binaries.ts'
import { programVersion, runProgram } from './load/run-program.ts'
import type { Stamp } from './result.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The machine and the versions of everything that takes part. */
export async function makeStamp(programs: Pick<Stamp, 'pgbench' | 'pgbouncer' | 'bun'>): Promise<Stamp> {
  const { version } = JSON.parse(await readFile(`${ROOT}package.json`, 'utf8')) as { version: string }
  const binaries = await findPostgresBinaries()
  const [first] = cpus()
  return {
    date: new Date().toISOString(),
    commit: await commit(),
    node: process.versions.node,
    postgres: (await programVersion(binaries.postgres, 'postgres')) ?? 'unknown',
    pooler: version,
    ...programs,
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()} ${arch()}`,
    loadBefore: loadavg()[0] ?? 0,
  }
}

/** The commit that is measured; "-changed" when src/ differs from it. */
async function commit(): Promise<string> {
  const head = await runProgram('git', ['rev-parse', '--short', 'HEAD'], { cwd: ROOT }).catch(() => null)
  if (head === null || head.exitCode !== 0) return 'unknown'
  const changed = await runProgram('git', ['status', '--porcelain', '--', 'src'], { cwd: ROOT })
  return `${head.stdout.trim()}${changed.stdout.trim() === '' ? '' : '-changed'}`
}
