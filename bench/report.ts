import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { chart } from './report/chart.ts'
import { renderReport } from './report/render.ts'
import { newestResult } from './result.ts'

/**
 * Writes the newest result between the markers in README.md, and its chart beside the results; prints it where the
 * README has no markers.
 */

const README = fileURLToPath(new URL('../README.md', import.meta.url))
const CHART = 'bench/results/throughput.svg'
const START = '<!-- bench:start -->'
const END = '<!-- bench:end -->'

const result = await newestResult()
if (result === null) {
  console.error('bench/results has no result: run "npm run bench" first')
  process.exitCode = 1
} else {
  await writeFile(fileURLToPath(new URL(`../${CHART}`, import.meta.url)), chart(result))
  const picture = `![Throughput of the pooler as a multiple of PgBouncer's, by workload](${CHART})`
  await write(`${picture}\n\n${renderReport(result)}`)
}

async function write(report: string): Promise<void> {
  const text = await readFile(README, 'utf8').catch(() => '')
  const start = text.indexOf(START)
  const end = text.indexOf(END, start)
  if (start === -1 || end === -1) {
    console.log(report)
    console.error(`README.md has no lines ${START} and ${END}: nothing was written`)
    process.exitCode = 1
    return
  }
  await writeFile(README, `${text.slice(0, start + START.length)}\n\n${report}\n\n${text.slice(end)}`)
  console.log(`README.md shows the result of ${result?.stamp.date}`)
}
