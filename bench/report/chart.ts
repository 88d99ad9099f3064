import type { BenchResult, Row, TargetName } from '../result.ts'
import { rateOf, ratioOf, type Spread } from './statistics.ts'

/**
 * chart: a result as SVG: the throughput of the pooler as a multiple of PgBouncer's, or of PostgreSQL's own where no
 * PgBouncer was measured; a bar for the median, a whisker from the lowest to the highest ratio. Its colours follow the
 * reader's light or dark theme.
 */

const WIDTH = 940
const LEFT = 410
const RIGHT = 60
const TOP = 66
const BAR = 12
const GAP = 14
/** What is beyond is cut, and its number says so. */
const MAX_RATIO = 3
const TICKS = [0, 0.5, 1, 1.5, 2, 2.5, 3]
const SERIES = [
  ['pooler', 'pooler (Node.js)'],
  ['bun', 'pooler under Bun'],
] as const satisfies (readonly [TargetName, string])[]

export function chart(result: BenchResult): string {
  const base = result.stamp.pgbouncer === null ? 'direct' : 'pgbouncer'
  const series = SERIES.filter(([target]) => result.rows.some((row) => ratioOf(row, target, base, rateOf)))
  const isShown = (row: Row) => series.some(([target]) => ratioOf(row, target, base, rateOf) !== null)
  const rows = result.rows.filter(
    (row) => !row.id.startsWith('latency') && row.feature === undefined && isShown(row),
  )
  const rowHeight = series.length * BAR + GAP
  const height = TOP + rows.length * rowHeight + 34
  const title = `Throughput as a multiple of ${base === 'direct' ? 'PostgreSQL without a pooler' : `PgBouncer ${result.stamp.pgbouncer}`}`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`,
    STYLE,
    `<text class="title" x="16" y="24">${escaped(title)}</text>`,
    ...series.map(([target, name], index) => legend(target, name, index)),
    ...TICKS.map((tick) => gridLine(tick, height)),
    ...rows.map((row, index) => bars(row, TOP + index * rowHeight, base, series)),
    '</svg>',
    '',
  ].join('\n')
}

const STYLE = `<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .value { font-size: 11px }
  .grid { stroke: #d0d7de }
  .one { stroke: #24292f }
  .whisker { stroke: #24292f; stroke-width: 1.2 }
  .pooler { fill: #0969da }
  .bun { fill: #bf8700 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .grid { stroke: #30363d }
    .one, .whisker { stroke: #e6edf3 }
    .pooler { fill: #4493f8 }
    .bun { fill: #d29922 }
  }
</style>`

function legend(target: TargetName, name: string, index: number): string {
  const x = 16 + index * 170
  return `<rect class="${target}" x="${x}" y="36" width="12" height="12"/><text x="${x + 18}" y="46">${escaped(name)}</text>`
}

function gridLine(tick: number, height: number): string {
  const x = at(tick)
  return (
    `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${height - 26}"/>` +
    `<text class="value" x="${x}" y="${height - 10}" text-anchor="middle">${tick}</text>`
  )
}

function bars(row: Row, top: number, base: TargetName, series: readonly (typeof SERIES)[number][]): string {
  const middle = top + (series.length * BAR) / 2 + 4
  const label = `<text x="${LEFT - 10}" y="${middle}" text-anchor="end">${escaped(labelOf(row))}</text>`
  const each = series.map(([target], index) => {
    const ratio = ratioOf(row, target, base, rateOf)
    return ratio === null ? '' : bar(target, ratio, top + index * BAR)
  })
  return [label, ...each].join('')
}

function bar(target: TargetName, { median, min, max }: Spread, y: number): string {
  const middle = y + BAR / 2 - 0.5
  return (
    `<rect class="${target}" x="${LEFT}" y="${y}" width="${at(median) - LEFT}" height="${BAR - 1}"/>` +
    `<line class="whisker" x1="${at(min)}" x2="${at(max)}" y1="${middle}" y2="${middle}"/>` +
    `<text class="value" x="${at(Math.max(median, max)) + 6}" y="${y + BAR - 2}">${median.toFixed(2)}</text>`
  )
}

function labelOf({ title, clients }: Row): string {
  const short = title
    .replace(' protocol', '')
    .replace('Canned answers instead of PostgreSQL', 'canned answers')
  return `${short}${clients > 1 ? `, ${clients} clients` : ''}`
}

function at(ratio: number): number {
  return Math.round(LEFT + (Math.min(ratio, MAX_RATIO) / MAX_RATIO) * (WIDTH - LEFT - RIGHT))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
