/** Writes pooler.toml.example into the root of the package. Run it with `npm run example`. */
import { writeFile } from 'node:fs/promises'
import { exampleToml } from './example-toml.ts'

await writeFile(new URL('../../pooler.toml.example', import.meta.url), exampleToml())
