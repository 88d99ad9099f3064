import { bench, run, summary } from 'mitata'
import {
  bindComplete,
  commandComplete,
  dataRow,
  oneRow,
  parseComplete,
  readyForQuery,
  rowDescription,
} from '../../test/support/backend-messages.ts'
import { bind, describeMessage, execute, parse, query, sync } from '../../test/support/frontend-messages.ts'
import { InMemoryPooler } from './in-memory-pooler.ts'

/**
 * One transaction of pgbench -S through everything but the sockets: the client's chunk, lease, the server's
 * chunk, release. With 50 clients over 20 servers the request waits in the queue meanwhile.
 */

const SQL = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;'
const prepare = {
  request: Buffer.concat([parse('P0_1', SQL), sync()]),
  reply: Buffer.concat([parseComplete(), readyForQuery()]),
}
const bound = [bind('P0_1', { values: ['12345'] }), describeMessage('P'), execute(), sync()]
const row = [rowDescription('abalance'), dataRow('0'), commandComplete('SELECT 1'), readyForQuery()]
const preparedReply = Buffer.concat([bindComplete(), ...row])

const MODES = {
  simple: { request: query(SQL.replace('$1', '12345')), reply: oneRow('0') },
  extended: {
    request: Buffer.concat([
      parse('', SQL),
      bind('', { values: ['12345'] }),
      describeMessage('P'),
      execute(),
      sync(),
    ]),
    reply: Buffer.concat([parseComplete(), preparedReply]),
  },
  prepared: { prepare, request: Buffer.concat(bound), reply: preparedReply },
}

for (const [mode, messages] of Object.entries(MODES)) {
  const alone = await InMemoryPooler.start({ clients: 1, poolSize: 1, ...messages })
  const crowd = await InMemoryPooler.start({ clients: 50, poolSize: 20, ...messages })
  const counted = await InMemoryPooler.start({ clients: 50, poolSize: 20, counting: true, ...messages })
  summary(() => {
    bench(`${mode}, one client`, () => alone.transaction())
    bench(`${mode}, 50 clients over 20 servers`, () => crowd.transaction())
    bench(`${mode}, 50 clients over 20 servers, counting for /metrics`, () => counted.transaction())
  })
}

await run()
// The pools' eviction timers would keep the process alive.
process.exit()
