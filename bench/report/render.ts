import type { BenchResult, Row, Run, TargetName } from '../result.ts'
import { fieldOf, rateOf, ratioOf, type Spread } from './statistics.ts'

/** A result as Markdown: what stands between the markers in README.md. */

const NOTHING = '–'

interface Column {
  readonly head: string
  readonly cell: (row: Row) => string
}

export function renderReport(result: BenchResult): string {
  const hasLatency = (row: Row) => row.id.startsWith('latency')
  return [
    environment(result),
    table(
      result.rows.filter((row) => !hasLatency(row) && row.feature === undefined),
      throughputColumns(result),
    ),
    table(result.rows.filter(hasLatency), latencyColumns(result)),
    table(
      result.rows.filter(({ feature }) => feature !== undefined),
      featureColumns(result),
    ),
    memory(result),
    notes(result),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

function environment({ stamp, seconds, pairs, poolSize }: BenchResult): string {
  const gibibytes = Math.round(stamp.memoryBytes / 2 ** 30)
  const generator = stamp.pgbench === null ? "the project's own load generator" : `pgbench ${stamp.pgbench}`
  const versions = [
    `pooler ${stamp.pooler} (${stamp.commit})`,
    `Node ${stamp.node}`,
    `PostgreSQL ${stamp.postgres}`,
    generator,
    ...(hasBun(stamp) ? [`Bun ${stamp.bun}`] : []),
    ...(stamp.pgbouncer === null ? [] : [`PgBouncer ${stamp.pgbouncer}`]),
  ]
  return (
    `Measured ${stamp.date.slice(0, 10)} on ${stamp.cores} cores (${stamp.cpu}, ${gibibytes} GiB, ` +
    `${stamp.system}; load average before it ${stamp.loadBefore.toFixed(1)}), which load generator, poolers and ` +
    `PostgreSQL shared: ${versions.join(', ')}. ` +
    `Pool size ${poolSize}; the median of ${pairs} interleaved runs of ${seconds} s each, ratios pair by pair ` +
    'with their lowest and highest value.'
  )
}

function throughputColumns(result: BenchResult): Column[] {
  const columns: Column[] = [
    { head: 'Workload', cell: (row) => row.title },
    { head: 'Clients', cell: (row) => String(row.clients) },
    { head: 'Direct', cell: (row) => rate(row, 'direct') },
    { head: 'pooler', cell: (row) => rate(row, 'pooler') },
    { head: 'pooler ÷ direct', cell: (row) => ratio(ratioOf(row, 'pooler', 'direct', rateOf)) },
  ]
  if (hasBun(result.stamp)) columns.push({ head: 'pooler, Bun', cell: (row) => rate(row, 'bun') })
  if (result.stamp.pgbouncer !== null) {
    columns.push(
      { head: 'PgBouncer', cell: (row) => rate(row, 'pgbouncer') },
      { head: 'pooler ÷ PgBouncer', cell: (row) => ratio(ratioOf(row, 'pooler', 'pgbouncer', rateOf)) },
    )
    if (hasBun(result.stamp)) {
      const head = 'pooler, Bun ÷ PgBouncer'
      columns.push({ head, cell: (row) => ratio(ratioOf(row, 'bun', 'pgbouncer', rateOf)) })
    }
  }
  if (result.stamp.pgbouncer !== null && measuresCpu(result, 'pooler')) {
    const head = 'CPU, pooler ÷ PgBouncer'
    columns.push({ head, cell: (row) => ratio(ratioOf(row, 'pooler', 'pgbouncer', cpuOf)) })
    if (hasBun(result.stamp))
      columns.push({
        head: 'CPU, pooler, Bun ÷ PgBouncer',
        cell: (row) => ratio(ratioOf(row, 'bun', 'pgbouncer', cpuOf)),
      })
  }
  if (measuresCpu(result, 'pooler')) {
    columns.push({ head: 'CPU per transaction, pooler', cell: (row) => cpu(row, 'pooler') })
  }
  if (measuresCpu(result, 'bun')) {
    columns.push({ head: 'CPU per transaction, Bun', cell: (row) => cpu(row, 'bun') })
  }
  if (measuresCpu(result, 'pgbouncer')) {
    columns.push({ head: 'CPU per transaction, PgBouncer', cell: (row) => cpu(row, 'pgbouncer') })
  }
  return columns
}

function featureColumns(result: BenchResult): Column[] {
  const withOthers = (target: TargetName, head: string): Column => ({
    head,
    cell: (row) => ratio(ratioOf(row, 'on', target, rateOf)),
  })
  const columns: Column[] = [
    { head: 'Setting', cell: ({ feature = '' }) => (feature.includes('=') ? `\`${feature}\`` : feature) },
    { head: 'Workload', cell: (row) => row.title },
    { head: 'Clients', cell: (row) => String(row.clients) },
    { head: 'Off', cell: (row) => rate(row, 'off') },
    { head: 'On', cell: (row) => rate(row, 'on') },
    withOthers('off', 'on ÷ off'),
    withOthers('direct', 'on ÷ direct'),
  ]
  if (result.stamp.pgbouncer !== null) columns.push(withOthers('pgbouncer', 'on ÷ PgBouncer'))
  return columns
}

function latencyColumns(result: BenchResult): Column[] {
  const columns: Column[] = [
    { head: 'Latency, p50 / p99', cell: (row) => row.title.replace(/^Latency of /, '') },
    { head: 'Clients', cell: (row) => String(row.clients) },
    { head: 'Direct', cell: (row) => latency(row, 'direct') },
    { head: 'pooler', cell: (row) => latency(row, 'pooler') },
  ]
  if (hasBun(result.stamp)) columns.push({ head: 'pooler, Bun', cell: (row) => latency(row, 'bun') })
  if (result.stamp.pgbouncer !== null) {
    columns.push(
      { head: 'PgBouncer', cell: (row) => latency(row, 'pgbouncer') },
      { head: 'p99, pooler ÷ PgBouncer', cell: (row) => ratio(ratioOf(row, 'pooler', 'pgbouncer', p99Of)) },
    )
    if (hasBun(result.stamp)) {
      const head = 'p99, pooler, Bun ÷ PgBouncer'
      columns.push({ head, cell: (row) => ratio(ratioOf(row, 'bun', 'pgbouncer', p99Of)) })
    }
  }
  return columns
}

function table(rows: readonly Row[], columns: readonly Column[]): string {
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    line(columns.map(({ head }) => head)),
    line(columns.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map((row) => line(columns.map(({ cell }) => cell(row)))),
  ].join('\n')
}

function memory({ memory: measured }: BenchResult): string {
  const title = {
    direct: 'Direct',
    pooler: 'pooler',
    bun: 'pooler under Bun',
    pgbouncer: 'PgBouncer',
  } as const
  const lines = (['pooler', 'bun', 'pgbouncer'] as const).flatMap((target) => {
    const of = measured[target]
    if (of === undefined) return []
    const mebibytes = (of.bareBytes / 2 ** 20).toFixed(0)
    const kibibytes = (of.bytesPerIdleClient / 1024).toFixed(1)
    return [`${title[target]} ${mebibytes} MiB after its start, ${kibibytes} KiB more per idle client`]
  })
  const clients = measured.pooler?.idleClients
  return lines.length === 0 ? '' : `Resident memory: ${lines.join('; ')} (${clients} of them).`
}

function notes({ notes: lines }: BenchResult): string {
  return lines.map((line) => `- ${line}`).join('\n')
}

function rate(row: Row, target: TargetName): string {
  const value = fieldOf(row, target, 'rate')
  if (value === null) return row.runs[target] === undefined ? NOTHING : 'errors'
  if (row.unit === 'bytes') return `${(value.median / 1e6).toFixed(0)} MB/s`
  return `${Math.round(value.median).toLocaleString('en-US')}/s`
}

function ratio(value: Spread | null): string {
  if (value === null) return NOTHING
  const [median, min, max] = [value.median, value.min, value.max].map((one) => one.toFixed(2))
  return min === max ? `**${median}**` : `**${median}** (${min}–${max})`
}

function cpu(row: Row, target: TargetName): string {
  const user = fieldOf(row, target, 'userMicros')
  const system = fieldOf(row, target, 'systemMicros')
  if (user === null || system === null) return NOTHING
  const milliseconds = user.median + system.median >= 10_000
  const amount = (micros: number) => (milliseconds ? micros / 1000 : micros).toFixed(0)
  return `${amount(user.median)} + ${amount(system.median)} ${milliseconds ? 'ms' : 'µs'}`
}

/** User and system time together. */
function cpuOf({ userMicros, systemMicros }: Run): number | undefined {
  return userMicros === undefined || systemMicros === undefined ? undefined : userMicros + systemMicros
}

const p99Of = ({ p99Ms }: Run): number | undefined => p99Ms

function latency(row: Row, target: TargetName): string {
  const [p50, p99] = [fieldOf(row, target, 'p50Ms'), fieldOf(row, target, 'p99Ms')]
  if (p50 === null || p99 === null) return row.runs[target] === undefined ? NOTHING : 'errors'
  return `${p50.median.toFixed(2)} / ${p99.median.toFixed(2)} ms`
}

function hasBun({ bun }: BenchResult['stamp']): boolean {
  return bun !== undefined && bun !== null
}

function measuresCpu(result: BenchResult, target: TargetName): boolean {
  return result.rows.some((row) => fieldOf(row, target, 'userMicros') !== null)
}
