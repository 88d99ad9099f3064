import { fileURLToPath } from 'node:url'
import type { OwnLoadJob } from './own-load.ts'
import { runProgram } from './run-program.ts'
import type { LoadOutcome } from './workload.ts'

/**
 * One measurement with a load generator in a process of its own: pgbench, or the project's own where pgbench is
 * missing or cannot measure the workload. Throws for every run that was not entirely without errors.
 */

const OWN_LOAD = fileURLToPath(new URL('own-load.ts', import.meta.url))
/** How much longer than asked for a run may take before it counts as stuck. */
const GRACE_MS = 30_000
const MAX_THREADS = 2

export async function ownLoad(job: OwnLoadJob): Promise<LoadOutcome> {
  const parameters = ['--import', 'tsx', OWN_LOAD, JSON.stringify(job)]
  const { exitCode, stdout, stderr } = await runProgram(process.execPath, parameters, {
    deadlineMs: job.seconds * 1000 + GRACE_MS,
  })
  if (exitCode !== 0) throw new Error(firstLine(stderr))
  return JSON.parse(stdout) as LoadOutcome
}

/** `transactionsPerSecond`: begun at random moments at this rate; as many as possible where it is not given. */
export async function pgbench(
  { address, workload, seconds }: OwnLoadJob,
  transactionsPerSecond?: number,
): Promise<LoadOutcome> {
  const { host, port, user, database } = address
  const parameters = [
    '--no-vacuum',
    ...['--protocol', workload.mode, '--time', String(seconds)],
    ...['--client', String(workload.clients), '--jobs', String(Math.min(workload.clients, MAX_THREADS))],
    ...(workload.kind === 'tpcb' ? [] : ['--select-only']),
    ...(workload.kind === 'churn' ? ['--connect'] : []),
    ...(transactionsPerSecond === undefined ? [] : ['--rate', String(transactionsPerSecond)]),
    ...['--host', host, '--port', String(port), '--username', user, database],
  ]
  const { exitCode, stdout, stderr } = await runProgram('pgbench', parameters, {
    deadlineMs: seconds * 1000 + GRACE_MS,
  })
  const transactions = Number(/transactions actually processed: (\d+)/.exec(stdout)?.[1])
  const rate = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1])
  const failed = Number(/number of failed transactions: (\d+)/.exec(stdout)?.[1] ?? 0)
  const complaint = /^pgbench: (?!pgbench \().*(error|fatal|aborted).*$/im.exec(stderr)?.[0]
  if (exitCode !== 0 || complaint !== undefined) {
    throw new Error(complaint ?? `pgbench ended with exit code ${exitCode}: ${firstLine(stderr)}`)
  }
  if (failed > 0) throw new Error(`${failed} transactions failed`)
  if (!(rate > 0) || !(transactions > 0)) throw new Error('pgbench reported no transactions')
  return { transactions, rate }
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? ''
}
