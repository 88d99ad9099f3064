import { bench, do_not_optimize, run, summary } from 'mitata'
import { ClientStatements } from '../../src/prepared/client-statements.ts'
import { NameRewriter } from '../../src/prepared/rewrite.ts'
import { StatementRegistry } from '../../src/prepared/statement-registry.ts'
import { endOfName } from '../../src/protocol/extended-query.ts'
import { HEADER_BYTES } from '../../src/protocol/message-type.ts'
import { bind, parse } from '../../test/support/frontend-messages.ts'

/** A Bind on its way: find its statement among the client's, put the server's name in its place. */

const NAME = 'P0_1'
const MANY = 200

const registry = new StatementRegistry()
const rewriter = new NameRewriter()

function statements(names: readonly string[]): ClientStatements {
  const owned = new ClientStatements(registry)
  for (const name of names) {
    const message = parse(name, `SELECT abalance FROM pgbench_accounts WHERE aid = $1 -- ${name}`)
    const text = message.subarray(HEADER_BYTES + name.length + 1)
    owned.add(Buffer.from(name), registry.acquire(Buffer.from(text), ''))
  }
  return owned
}

/** What statement-messages.ts does with a Bind, without the books. */
function rewrite(owned: ClientStatements, message: Buffer): Buffer {
  const nameStart = endOfName(message, HEADER_BYTES, message.length) + 1
  const nameEnd = endOfName(message, nameStart, message.length)
  const found = owned.find(message, nameStart, nameEnd)
  if (found === undefined) throw new Error('the statement is missing')
  const { nameBytes } = found.statement
  return rewriter.rename(nameBytes, message.length, message, 0, nameStart, nameEnd, message.length)
}

const single = statements([NAME])
const names = Array.from({ length: MANY }, (_, index) => `statement_${index}`)
const many = statements(names)
const binds = names.map((name) => bind(name, { values: ['12345'] }))
const short = bind(NAME, { values: ['12345'] })
const long = bind(NAME, { values: ['x'.repeat(3000)] })
let next = 0

summary(() => {
  bench('Bind of the statement used last', () => do_not_optimize(rewrite(single, short)))
  bench('Bind with a parameter of 3 kB', () => do_not_optimize(rewrite(single, long)))
  bench(`Bind of ${MANY} statements in turn`, () => {
    next = (next + 1) % MANY
    do_not_optimize(rewrite(many, binds[next] as Buffer))
  })
})

await run()
