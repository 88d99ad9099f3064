import { createServer, type Socket } from 'node:net'
import { BackendType, FrontendType } from '../../src/protocol/message-type.ts'
import {
  authenticationOk,
  backendKeyData,
  commandComplete,
  dataRow,
  parameterStatus,
  readyForQuery,
  rowDescription,
} from '../../test/support/backend-messages.ts'
import { message } from '../../test/support/frontend-messages.ts'

/**
 * A server that answers every query with the same row, out of memory: behind it, a pooler is all that there is to
 * measure. Started by null-backend.ts with its port and address.
 */

const LENGTH_BYTES = 4
const HEADER_BYTES = 5
const KEY_BYTES = 4
/** SSLRequest and GSSENCRequest: requests that are answered with "no". */
const ENCRYPTION_CODES = [80_877_103, 80_877_104]

const parameters = {
  server_version: '18.0',
  server_encoding: 'UTF8',
  client_encoding: 'UTF8',
  DateStyle: 'ISO, MDY',
  TimeZone: 'Etc/UTC',
  IntervalStyle: 'postgres',
  integer_datetimes: 'on',
  standard_conforming_strings: 'on',
}

const welcome = Buffer.concat([
  authenticationOk(),
  ...Object.entries(parameters).map(([name, value]) => parameterStatus(name, value)),
  backendKeyData(1, Buffer.alloc(KEY_BYTES)),
  readyForQuery(),
])
/** More columns than asked for: with these, pgbench believes at its start that it has found its tables. */
const description = rowDescription('abalance', 'partstrat', 'partitions')
const rows = Buffer.concat([dataRow('1', null, '0'), commandComplete('SELECT 1')])
const simple = Buffer.concat([description, rows, readyForQuery()])
const nothing = Buffer.concat([commandComplete('SET'), readyForQuery()])
const isSelect = /^\s*(select|values|with)/i

const answers = new Map<number, Buffer>([
  [FrontendType.Parse, message(BackendType.ParseComplete, () => {})],
  [FrontendType.Bind, message(BackendType.BindComplete, () => {})],
  [FrontendType.Close, message(BackendType.CloseComplete, () => {})],
  [FrontendType.Describe, description],
  [FrontendType.Execute, rows],
  [FrontendType.Sync, readyForQuery()],
])

/** One connection: its bytes are collected until a message is whole, its answers are one write for each chunk. */
function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0)
  let isWelcome = false
  const startup = (length: number): Buffer => {
    const code = pending.readInt32BE(LENGTH_BYTES)
    if (ENCRYPTION_CODES.includes(code)) return Buffer.from('N')
    isWelcome = length > 0
    return welcome
  }
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    const out: Buffer[] = []
    for (;;) {
      const start = isWelcome ? 1 : 0
      if (pending.length < start + LENGTH_BYTES) break
      const length = start + pending.readInt32BE(start)
      if (pending.length < length) break
      if (!isWelcome) out.push(startup(length))
      else if (pending[0] === FrontendType.Terminate) socket.end()
      else if (pending[0] === FrontendType.Query)
        out.push(isSelect.test(pending.toString('latin1', HEADER_BYTES, length)) ? simple : nothing)
      else out.push(answers.get(pending[0] as number) ?? Buffer.alloc(0))
      pending = pending.subarray(length)
    }
    if (out.length > 0) socket.write(out.length === 1 ? (out[0] as Buffer) : Buffer.concat(out))
  })
}

const [port, host] = process.argv.slice(2)
createServer({ noDelay: true }, serve).listen(Number(port), host)
