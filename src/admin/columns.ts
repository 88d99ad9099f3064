import { type Column, ColumnType } from '../protocol/result-set.ts'

const TYPES = {
  s: ColumnType.text,
  i: ColumnType.int4,
  q: ColumnType.int8,
  n: ColumnType.numeric,
} as const

/** Columns as the documentation of the console lists them: `name s, port i`; s text, i int4, q int8, n numeric. */
export function columnsOf(list: string): readonly Column[] {
  return list.split(/\s*,\s*/).map((entry) => {
    const [name = '', type = 's'] = entry.trim().split(/\s+/)
    return { name, type: TYPES[type as keyof typeof TYPES] }
  })
}
