import { bench, do_not_optimize, run, summary } from 'mitata'
import { CLIENT_MESSAGES } from '../../src/client/client-messages.ts'
import { Framer, type MessageHandler, type MessageTable, Verdict } from '../../src/protocol/framer.ts'
import { SERVER_MESSAGES } from '../../src/server/server-messages.ts'
import {
  bindComplete,
  commandComplete,
  dataRow,
  oneRow,
  readyForQuery,
  rowDescription,
} from '../../test/support/backend-messages.ts'
import { bind, describeMessage, execute, query, sync } from '../../test/support/frontend-messages.ts'

/** The scan over a chunk: long results, and the chunks that pgbench's SELECT makes. */

const CHUNK_BYTES = 64 * 1024

/** Forwards everything and counts, so that nothing is optimised away. */
class Counting implements MessageHandler {
  messages = 0
  bytes = 0

  onMessage(): Verdict {
    this.messages += 1
    return Verdict.Forward
  }

  onRun(_buffer: Buffer, start: number, end: number): void {
    this.bytes += end - start
  }
}

/** One iteration = one chunk of `messages`, repeated as often as they fit where `fill` says so. */
function chunk(name: string, table: MessageTable, messages: Buffer, fill = false): void {
  const times = fill ? Math.floor(CHUNK_BYTES / messages.length) : 1
  const bytes = Buffer.concat(Array.from({ length: times }, () => messages))
  const handler = new Counting()
  const framer = new Framer(handler, table)
  bench(fill ? `${name} x ${times}` : name, () => {
    framer.push(bytes, 0, bytes.length)
    do_not_optimize(handler.bytes)
  })
}

/** The same bytes in pieces: heads that are cut have to be put together. */
function pieces(name: string, table: MessageTable, messages: Buffer, size: number): void {
  const framer = new Framer(new Counting(), table)
  bench(name, () => {
    for (let at = 0; at < messages.length; at += size) {
      framer.push(messages, at, Math.min(at + size, messages.length))
    }
  })
}

const row = [rowDescription('abalance'), dataRow('0'), commandComplete('SELECT 1'), readyForQuery()]
const preparedReply = Buffer.concat([bindComplete(), ...row])
const preparedRequest = Buffer.concat([
  bind('P0_1', { values: ['12345'] }),
  describeMessage('P'),
  execute(),
  sync(),
])

summary(() => {
  chunk('64 KiB of rows of 20 bytes', SERVER_MESSAGES, dataRow('x'.repeat(20)), true)
  chunk('64 KiB of rows of 1 kB', SERVER_MESSAGES, dataRow('x'.repeat(1000)), true)
})
summary(() => {
  chunk(
    'client: one Query',
    CLIENT_MESSAGES,
    query('SELECT abalance FROM pgbench_accounts WHERE aid = 12345;'),
  )
  chunk('server: reply to a Query', SERVER_MESSAGES, oneRow('0'))
  chunk('client: Bind Describe Execute Sync', CLIENT_MESSAGES, preparedRequest)
  chunk('server: reply to Bind Describe Execute Sync', SERVER_MESSAGES, preparedReply)
  pieces('server: the same in pieces of 7 bytes', SERVER_MESSAGES, preparedReply, 7)
})

await run()
