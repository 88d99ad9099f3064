import { ALL_ON, AUTO_POOL_SIZE, type Feature, LAZY_BEGIN, PREPARE_UNNAMED } from './features.ts'

/** What is asked of the database; the same list for every target. */

export type QueryMode = 'simple' | 'extended' | 'prepared'

export interface Workload {
  readonly id: string
  readonly title: string
  readonly clients: number
  /**
   * select: one row by primary key. tpcb: pgbench's default transaction, seven statements. churn: connect,
   * select one row, disconnect. rows: one result of many rows, counted in bytes.
   */
  readonly kind: 'select' | 'tpcb' | 'churn' | 'rows'
  readonly mode: QueryMode
  /** The query of kind "rows". */
  readonly sql?: string
  /** Measured with the project's own load generator even where pgbench exists. */
  readonly own?: boolean
  /** What answers: PostgreSQL unless it says otherwise. */
  readonly backend?: 'null'
  /** Clients log in with a password by SCRAM-SHA-256 ("scram"), or so and over TLS ("tls"); neither where it is not given. */
  readonly login?: 'scram' | 'tls'
  /** Measured through a pooler that has it and one that has not. */
  readonly feature?: Feature
}

/** Streamed by PostgreSQL as they are produced, so that no temporary file gets in the way. */
const rowsOf = (count: number, bytes: number) =>
  `SELECT repeat('x', ${bytes}) FROM (SELECT generate_series(1, ${count})) AS numbers`

const select = (mode: QueryMode, clients: number): Workload => ({
  id: `select-${mode}-${clients}`,
  title: `SELECT by key, ${mode} protocol`,
  clients,
  kind: 'select',
  mode,
})

/** Nothing but the pooler has work to do. */
const withoutServer = (mode: QueryMode, clients: number): Workload => ({
  ...select(mode, clients),
  id: `null-${mode}-${clients}`,
  title: `Canned answers instead of PostgreSQL, ${mode} protocol`,
  backend: 'null',
})

const churn = (id: string, title: string, login: 'scram' | 'tls'): Workload => ({
  ...{ id, title, login },
  ...{ clients: 10, kind: 'churn', mode: 'simple' },
})

const tpcb = (clients: number): Workload => ({
  ...{ id: `tpcb-${clients}`, title: 'TPC-B, simple protocol', clients },
  ...{ kind: 'tpcb', mode: 'simple' },
})

const latency = (clients: number): Workload => ({
  ...select('simple', clients),
  id: `latency-${clients}`,
  title: 'Latency of SELECT by key, simple protocol',
  own: true,
})

export const WORKLOADS: readonly Workload[] = [
  select('simple', 1),
  select('simple', 50),
  select('simple', 500),
  select('extended', 1),
  select('extended', 50),
  select('extended', 500),
  select('prepared', 1),
  select('prepared', 50),
  select('prepared', 500),
  tpcb(20),
  { id: 'churn-10', title: 'New connection per SELECT', clients: 10, kind: 'churn', mode: 'simple' },
  {
    id: 'rows-large',
    title: 'One result of 300 MB, rows of 1 kB',
    clients: 1,
    kind: 'rows',
    mode: 'simple',
    sql: rowsOf(300_000, 1000),
    own: true,
  },
  {
    id: 'rows-small',
    title: 'One result of a million rows of 20 bytes',
    clients: 1,
    kind: 'rows',
    mode: 'simple',
    sql: rowsOf(1_000_000, 20),
    own: true,
  },
  churn('churn-scram-10', 'New connection per SELECT, with SCRAM-SHA-256', 'scram'),
  churn('churn-tls-10', 'New connection per SELECT, with SCRAM-SHA-256 over TLS', 'tls'),
  {
    ...select('simple', 50),
    id: 'select-tls-50',
    title: 'SELECT by key over TLS, simple protocol',
    login: 'tls',
  },
  withoutServer('simple', 50),
  withoutServer('extended', 50),
  withoutServer('prepared', 50),
  latency(1),
  latency(50),
  { ...select('extended', 50), id: 'unnamed-50', feature: PREPARE_UNNAMED },
  { ...tpcb(20), id: 'lazy-begin-20', feature: LAZY_BEGIN },
  { ...select('simple', 50), id: 'auto-size-50', feature: AUTO_POOL_SIZE },
  { ...tpcb(50), id: 'auto-size-tpcb-50', feature: AUTO_POOL_SIZE },
  { ...select('extended', 50), id: 'all-on-50', feature: ALL_ON },
]

/** Where a load generator sends its queries. */
export interface LoadAddress {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  /** For SCRAM-SHA-256; without it nobody asks for one. */
  readonly password?: string
}

/** What a load generator found; anything that went wrong is an Error instead. */
export interface LoadOutcome {
  readonly transactions: number
  readonly rate: number
  readonly p50Ms?: number
  readonly p99Ms?: number
}
