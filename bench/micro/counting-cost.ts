import { dataRow, oneRow } from '../../test/support/backend-messages.ts'
import { query } from '../../test/support/frontend-messages.ts'
import { spread } from '../report/statistics.ts'
import { InMemoryPooler } from './in-memory-pooler.ts'

/**
 * countingCost: the CPU time that counting for /metrics adds to one transaction of pgbench -S, in microseconds. Two
 * poolers in memory take turns of a few milliseconds, so that whatever slows the machine down slows both.
 */

const TURN = 2000
const TURNS = 400
const WARM_UP_TURNS = 40

export interface CountingCost {
  readonly offMicros: number
  readonly addedMicros: number
}

export async function countingCost(rows: number): Promise<CountingCost> {
  const messages = {
    request: query('SELECT abalance FROM pgbench_accounts WHERE aid = 12345;'),
    reply: rows === 1 ? oneRow('0') : replyOf(rows),
  }
  const size = { clients: 50, poolSize: 20 }
  const off = await InMemoryPooler.start({ ...size, ...messages })
  const on = await InMemoryPooler.start({ ...size, counting: true, ...messages })
  const times: { on: number; off: number }[] = []
  for (let turn = 0; turn < TURNS; turn++) {
    const first = turn % 2 === 0
    const one = cpuMicros(first ? on : off)
    const other = cpuMicros(first ? off : on)
    if (turn >= WARM_UP_TURNS) times.push(first ? { on: one, off: other } : { on: other, off: one })
  }
  return {
    offMicros: spread(times.map((time) => time.off))?.median ?? 0,
    addedMicros: spread(times.map((time) => time.on - time.off))?.median ?? 0,
  }
}

function cpuMicros(pooler: InMemoryPooler): number {
  const before = process.cpuUsage()
  for (let i = 0; i < TURN; i++) pooler.transaction()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / TURN
}

function replyOf(rows: number): Buffer {
  const whole = oneRow('0')
  const row = dataRow('0')
  const at = whole.indexOf(row)
  return Buffer.concat([
    whole.subarray(0, at),
    ...Array.from({ length: rows }, () => row),
    whole.subarray(at + row.length),
  ])
}
