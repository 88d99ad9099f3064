import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'

/** What the log does at the end of its process, and where nothing can be written. */

async function run(program: string, stdout: number | 'pipe') {
  const log = new URL('../../../src/log.ts', import.meta.url)
  const source = `import { createLogger } from '${log}'; ${program}`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', source], {
    stdio: ['ignore', stdout, 'pipe'],
  })
  const exited = once(child, 'exit')
  const output = child.stdout === null ? '' : text(child.stdout)
  const errors = child.stderr === null ? '' : text(child.stderr)
  const [code] = await exited
  return { code, output: await output, errors: await errors }
}

test('process.exit loses no line', async () => {
  const { code, output } = await run(
    `createLogger({ level: 'info' }).log.info('last words'); process.exit(3)`,
    'pipe',
  )
  expect(code).toBe(3)
  expect(JSON.parse(output)).toMatchObject({ msg: 'last words' })
})

test.runIf(process.platform === 'linux')(
  'a full disk is said once and does not end the process',
  async () => {
    const full = openSync('/dev/full', 'a')
    const { code, errors } = await run(
      `const { log, flush } = createLogger({ level: 'info' })
     log.info('one'); await flush(); log.info('two'); await flush(); process.exit(0)`,
      full,
    )
    closeSync(full)
    expect(code).toBe(0)
    expect(errors.match(/the log cannot be written/g)).toHaveLength(1)
  },
)

test.runIf(process.platform === 'linux')(
  'a logfile on a full disk is said once and ends nothing',
  async () => {
    const { code, output, errors } = await run(
      `const { log, configure, flush } = createLogger({ level: 'info' })
     configure({ log_format: 'json', log_level: 'info', verbose: 0, logfile: '/dev/full', listen_port: 1 })
     log.info('one'); await flush(); log.info('two'); await flush(); process.exit(0)`,
      'pipe',
    )
    expect(code).toBe(0)
    expect(output.trim().split('\n')).toHaveLength(2)
    expect(errors.match(/the log cannot be written/g)).toHaveLength(1)
  },
)
