import { OwnConnection } from './own-connection.ts'
import { preparation, type Transaction, transactionOf } from './own-transaction.ts'
import type { LoadAddress, LoadOutcome, Workload } from './workload.ts'

/**
 * The project's own load generator, a program of its own: one job as JSON in its parameter, one LoadOutcome as
 * JSON on standard output. Any error ends it with the reason on standard error and exit code 1.
 */

export interface OwnLoadJob {
  readonly address: LoadAddress
  readonly workload: Workload
  readonly seconds: number
  readonly scale: number
}

const job = JSON.parse(process.argv[2] ?? '') as OwnLoadJob
run(job).then(
  (outcome) => console.log(JSON.stringify(outcome)),
  (error: Error) => {
    console.error(error.message)
    process.exitCode = 1
  },
)

async function run({ address, workload, seconds, scale }: OwnLoadJob): Promise<LoadOutcome> {
  const transaction = transactionOf(workload, scale)
  const churns = workload.kind === 'churn'
  const connections = churns
    ? []
    : await Promise.all(Array.from({ length: workload.clients }, () => prepared(address, workload)))
  const latenciesMs: number[] = []
  const received = () => connections.reduce((bytes, connection) => bytes + connection.bytesReceived, 0)
  const bytesBefore = received()
  const startedMs = performance.now()
  const untilMs = startedMs + seconds * 1000
  await Promise.all(
    churns
      ? Array.from({ length: workload.clients }, () => churn(address, transaction, untilMs, latenciesMs))
      : connections.map((connection) => repeat(connection, transaction, untilMs, latenciesMs)),
  )
  const elapsed = (performance.now() - startedMs) / 1000
  const amount = workload.kind === 'rows' ? received() - bytesBefore : latenciesMs.length
  await Promise.all(connections.map((connection) => connection.end()))
  latenciesMs.sort((a, b) => a - b)
  return {
    transactions: latenciesMs.length,
    rate: amount / elapsed,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
  }
}

async function prepared(address: LoadAddress, workload: Workload): Promise<OwnConnection> {
  const connection = await OwnConnection.open(address)
  const bytes = preparation(workload)
  if (bytes !== null) await connection.request(bytes)
  return connection
}

/** Transactions one after the other until the time is over; callbacks only, as promises cost more than they do. */
function repeat(
  connection: OwnConnection,
  transaction: Transaction,
  untilMs: number,
  latenciesMs: number[],
): Promise<void> {
  return new Promise((resolve, reject) => {
    let startedMs = performance.now()
    const done = (error: string | null): void => {
      if (error !== null) {
        reject(new Error(error))
        return
      }
      const nowMs = performance.now()
      latenciesMs.push(nowMs - startedMs)
      if (nowMs >= untilMs) {
        resolve()
        return
      }
      startedMs = nowMs
      transaction(connection, done)
    }
    transaction(connection, done)
  })
}

/** A connection for every transaction. */
async function churn(
  address: LoadAddress,
  transaction: Transaction,
  untilMs: number,
  latenciesMs: number[],
): Promise<void> {
  while (performance.now() < untilMs) {
    const startedMs = performance.now()
    const connection = await OwnConnection.open(address)
    await new Promise<void>((resolve, reject) => {
      transaction(connection, (error) => (error === null ? resolve() : reject(new Error(error))))
    })
    await connection.end()
    latenciesMs.push(performance.now() - startedMs)
  }
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
