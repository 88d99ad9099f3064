/** Writes docs/metrics.md. Run it with `npm run metrics-table`. */
import { writeFile } from 'node:fs/promises'
import { metricsDoc } from './metrics-doc.ts'

await writeFile(new URL('../../docs/metrics.md', import.meta.url), metricsDoc())
