import type { ConfigInput } from '../../src/config/config.ts'
import { buildConfig } from '../../src/config/config.ts'
import { createLogger } from '../../src/log.ts'
import { Pooler } from '../../src/pooler.ts'
import type { Answer, Question } from './measured-pooler.ts'

/**
 * The program of a MeasuredPooler: a pooler that is configured, asked and stopped by its parent's messages. It ends
 * when the parent does.
 */

let pooler: Pooler | undefined
let current: ConfigInput = {}

function answer(message: Answer): void {
  process.send?.(message)
}

async function start(configuration: ConfigInput): Promise<void> {
  const { log } = createLogger({ level: 'warn' })
  current = configuration
  pooler = new Pooler(buildConfig(configuration), log)
  await pooler.start()
  answer({ answer: 'started', ...pooler.address })
}

function measure(): void {
  if (pooler === undefined) return
  // Twice: what the first one finds to be finalised, the second one frees.
  globalThis.gc?.()
  globalThis.gc?.()
  const sockets = process.getActiveResourcesInfo().filter((kind) => kind.startsWith('TCPSocket')).length
  answer({ answer: 'measured', heapBytes: process.memoryUsage().heapUsed, sockets, stats: pooler.stats })
}

async function handle(question: Question): Promise<void> {
  switch (question.ask) {
    case 'start':
      await start(question.configuration)
      break
    case 'measure':
      measure()
      break
    case 'reload':
      await pooler?.reload(current)
      answer({ answer: 'reloaded' })
      break
    case 'stop':
      await pooler?.stop()
      answer({ answer: 'stopped' })
      process.disconnect()
      break
  }
}

process.on('message', (question: Question) => {
  handle(question).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : error}\n`)
    process.exit(1)
  })
})
process.on('disconnect', () => process.exit(0))
