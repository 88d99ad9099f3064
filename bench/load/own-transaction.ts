import { bind, describeMessage, execute, parse, query, sync } from '../../test/support/frontend-messages.ts'
import type { OwnConnection, Ready } from './own-connection.ts'
import type { QueryMode, Workload } from './workload.ts'

/** The transactions of pgbench, statement by statement as pgbench and libpq send them. */

/** Runs one transaction; calls back at its end. */
export type Transaction = (connection: OwnConnection, done: Ready) => void

const ACCOUNTS_PER_SCALE = 100_000
const TELLERS_PER_SCALE = 10
const SELECT = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;'
const STATEMENT = 'P0_1'

const upTo = (limit: number) => 1 + Math.floor(Math.random() * limit)

/** The transaction of a workload on tables of this scale. */
export function transactionOf(workload: Workload, scale: number): Transaction {
  if (workload.kind === 'rows') {
    const bytes = query(workload.sql ?? '')
    return (connection, done) => connection.send(bytes, done)
  }
  if (workload.kind === 'tpcb') return (connection, done) => runAll(connection, tpcb(scale), done)
  const accounts = scale * ACCOUNTS_PER_SCALE
  return (connection, done) => connection.send(select(workload.mode, upTo(accounts)), done)
}

/** What a connection needs before its first transaction; null if nothing. */
export function preparation(workload: Workload): Buffer | null {
  if (workload.kind !== 'select' || workload.mode !== 'prepared') return null
  return Buffer.concat([parse(STATEMENT, SELECT), sync()])
}

function select(mode: QueryMode, account: number): Buffer {
  if (mode === 'simple') return query(SELECT.replace('$1', String(account)))
  const name = mode === 'prepared' ? STATEMENT : ''
  const parts = [bind(name, { values: [String(account)] }), describeMessage('P'), execute(), sync()]
  if (mode === 'extended') parts.unshift(parse('', SELECT))
  return Buffer.concat(parts)
}

function tpcb(scale: number): string[] {
  const aid = upTo(scale * ACCOUNTS_PER_SCALE)
  const bid = upTo(scale)
  const tid = upTo(scale * TELLERS_PER_SCALE)
  const delta = upTo(10_001) - 5001
  return [
    'BEGIN;',
    `UPDATE pgbench_accounts SET abalance = abalance + ${delta} WHERE aid = ${aid};`,
    `SELECT abalance FROM pgbench_accounts WHERE aid = ${aid};`,
    `UPDATE pgbench_tellers SET tbalance = tbalance + ${delta} WHERE tid = ${tid};`,
    `UPDATE pgbench_branches SET bbalance = bbalance + ${delta} WHERE bid = ${bid};`,
    'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) ' +
      `VALUES (${tid}, ${bid}, ${aid}, ${delta}, CURRENT_TIMESTAMP);`,
    'END;',
  ]
}

function runAll(connection: OwnConnection, statements: readonly string[], done: Ready): void {
  let next = 0
  const step: Ready = (error) => {
    if (error !== null || next === statements.length) return done(error)
    connection.send(query(statements[next++] as string), step)
  }
  step(null)
}
