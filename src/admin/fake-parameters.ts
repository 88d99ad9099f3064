import { ColumnType } from '../protocol/result-set.ts'
import type { Table } from './command.ts'

/** What drivers set and ask for at connect: SHOW answers, SET is accepted and has no effect, as with PgBouncer. */
export const FAKE_PARAMETERS: ReadonlyMap<string, string> = new Map([
  ['client_encoding', 'UTF-8'],
  ['default_transaction_isolation', 'read committed'],
  ['standard_conforming_strings', 'on'],
  ['datestyle', 'ISO'],
  ['timezone', 'GMT'],
  ['extra_float_digits', '1'],
  ['application_name', ''],
  ['client_min_messages', 'notice'],
  ['transaction_isolation', 'read committed'],
])

/** SHOW of such a parameter; undefined for any other name. */
export function showParameter(name: string): Table | undefined {
  const value = FAKE_PARAMETERS.get(name)
  if (value === undefined) return undefined
  return { columns: [{ name, type: ColumnType.text }], rows: [[value]] }
}
