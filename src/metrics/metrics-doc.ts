/**
 * metricsDoc: the text of docs/metrics.md, made from the table of metrics so that it cannot fall behind. Called by
 * write-metrics-doc.ts and by the test that compares the file with it.
 */
import { BUCKET_MICROS } from '../pool/histogram.ts'
import { metricTable } from './metric-table.ts'

const MICROS_PER_SECOND = 1e6

const BEGINNING = `# Metrics

What \`/metrics\` serves where \`http_listen\` is set. This file is written by \`npm run metrics-table\`.

- Names are those that Prometheus recommends: \`_total\` for what only grows, times in seconds, sizes in bytes. The
  numbers of SHOW STATS, SHOW POOLS and SHOW DATABASES are called as in prometheus-pgbouncer-exporter, with \`pooler_\`
  in place of \`pgbouncer_\`.
- \`user\` is the one that the pooler logs in as at the server: that of the database, if it forces one, else the client's.
- Only the first \`metrics_max_pools\` pairs of database and user have series of their own; all further ones are counted
  as database \`other\`, user \`other\`. Labels that peers could make up, such as SQLSTATEs, become \`other\` likewise.
- Counters begin at the start of the process and never go back, whatever is reloaded, reconnected or killed.
- Beside these there are the metrics of the process that \`prom-client\` brings: \`process_*\` (CPU time, memory, open
  files, start) and \`nodejs_*\` (event loop lag, heap, garbage collection).

| name | type | labels | meaning |
| --- | --- | --- | --- |
`

/** The whole file, with a newline at the end. */
export function metricsDoc(): string {
  const rows = metricTable.map(({ name, type, labels, help }) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ')
    return `| \`${name}\` | ${type} | ${shown} | ${help.replaceAll('|', '\\|')} |\n`
  })
  const bounds = BUCKET_MICROS.map((micros) => `${micros / MICROS_PER_SECOND}`).join(', ')
  return `${BEGINNING}${rows.join('')}\nThe buckets of all histograms, in seconds: ${bounds}.\n`
}
