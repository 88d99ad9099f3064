import { setTimeout as pause } from 'node:timers/promises'
import type { BackendMessage } from '../support/backend-message.ts'
import { letters, ofType, rows, summary } from '../support/backend-message.ts'
import * as f from '../support/frontend-messages.ts'
import type { Ledger } from '../support/ledger.ts'
import type { RawClient } from '../support/raw-client.ts'
import type { Random } from './random.ts'

/**
 * What clients of a soak do, one transaction or so at a time. Every answer holds something that only this client
 * can have asked for; an answer that is complete and not that is a WrongAnswer.
 */

/** One connection of a client, and what it may rely on. */
export interface Worker {
  readonly client: RawClient
  readonly random: Random
  readonly ledger: Ledger
  /** The application_name that it logged in with; nobody else has it. */
  readonly name: string
  /** The TimeZone that it has set, or was told at login. */
  zone: string
  /** Numbers of the texts that it has prepared, by statement name. */
  readonly prepared: Map<string, number>
}

export interface Work {
  readonly name: string
  /** How often it is chosen, compared with the others. */
  readonly weight: number
  run(worker: Worker): Promise<void>
  /** The connection is over afterwards. */
  readonly leaves?: true
}

export class WrongAnswer extends Error {}

const ZONES = ['Asia/Tokyo', 'Europe/Berlin', 'America/Lima', 'Etc/UTC']
const STATEMENTS = 40
const INSERT = 'INSERT INTO ledger VALUES'

let tokens = 0

/** A text that is asked for once. */
function token({ name }: Worker): string {
  tokens += 1
  return `${name}#${tokens}`
}

/** The reply without what may come at any time. */
function replyOf(messages: readonly BackendMessage[]): BackendMessage[] {
  return messages.filter(({ type }) => type !== 'S' && type !== 'N')
}

function check(messages: readonly BackendMessage[], sequence: string, values?: readonly string[]): void {
  const reply = replyOf(messages)
  const got = rows(reply).map(([value]) => value)
  if (letters(reply) === sequence && (values === undefined || got.join('\n') === values.join('\n'))) return
  const said = reply.map(summary).join(' ').slice(0, 500)
  throw new WrongAnswer(
    `expected ${sequence} ${values ?? ''}, received ${said} with ${got.join(',').slice(0, 300)}`,
  )
}

async function simple(worker: Worker): Promise<void> {
  const [a, b] = [token(worker), token(worker)]
  check(await worker.client.query(`SELECT '${a}'; SELECT '${b}'`), 'TDCTDCZ', [a, b])
}

async function extended(worker: Worker): Promise<void> {
  const { client } = worker
  const asked = token(worker)
  client.send(f.extended('SELECT $1::text', [asked]), f.sync())
  check(await client.receiveUntil('Z'), '12TDCZ', [asked])
}

async function prepared(worker: Worker): Promise<void> {
  const { client, random } = worker
  const name = `s${random.between(0, 9)}`
  const asked = token(worker)
  const known = worker.prepared.get(name)
  const number = known ?? random.between(1, STATEMENTS)
  const closes = random.chance(0.1)
  client.send(
    ...(known === undefined ? [f.parse(name, `SELECT $1::text || ':${number}'`)] : []),
    f.run(name, [asked]),
    ...(closes ? [f.close('S', name)] : []),
    f.sync(),
  )
  const sequence = `${known === undefined ? '1' : ''}2DC${closes ? '3' : ''}Z`
  check(await client.receiveUntil('Z'), sequence, [`${asked}:${number}`])
  if (closes) worker.prepared.delete(name)
  else worker.prepared.set(name, number)
}

async function transaction(worker: Worker): Promise<void> {
  const { client, ledger, random } = worker
  const id = ledger.next()
  const commits = random.chance(0.8)
  if (!commits) ledger.reject(id)
  check(await client.query('BEGIN'), 'CZ')
  check(await client.query(`${INSERT} (${id})`), 'CZ')
  const asked = token(worker)
  client.send(f.extended(`SELECT $1::text || count(*) FROM ledger WHERE id = ${id}`, [asked]), f.sync())
  check(await client.receiveUntil('Z'), '12TDCZ', [`${asked}1`])
  check(await client.query(commits ? 'COMMIT' : 'ROLLBACK'), 'CZ')
  if (commits) ledger.acknowledge(id)
}

async function failedTransaction(worker: Worker): Promise<void> {
  const { client, ledger } = worker
  const id = ledger.next()
  ledger.reject(id)
  check(await client.query(`BEGIN; ${INSERT} (${id})`), 'CCZ')
  const reply = replyOf(await client.query('SELECT 1/0'))
  check(reply, 'EZ')
  if (ofType(reply, 'E')[0]?.code !== '22012') throw new WrongAnswer(`1/0 was answered ${reply.map(summary)}`)
  check(await client.query('COMMIT'), 'CZ')
}

async function copyIn({ client, ledger }: Worker): Promise<void> {
  const ids = Array.from({ length: 20 }, () => ledger.next())
  client.send(f.query('COPY ledger FROM STDIN'), f.copyData(`${ids.join('\n')}\n`), f.copyDone())
  check(await client.receiveUntil('Z'), 'GCZ')
  ledger.acknowledge(...ids)
}

async function copyOut(worker: Worker): Promise<void> {
  const asked = token(worker)
  const reply = await worker.client.query(`COPY (SELECT '${asked}') TO STDOUT`)
  check(reply, 'HdcCZ')
  const line = reply.find(({ type }) => type === 'd')?.body.toString()
  if (line !== `${asked}\n`) throw new WrongAnswer(`COPY of ${asked} brought ${line}`)
}

/** Several batches in one write; some fail, and the others must not care. */
async function pipeline(worker: Worker): Promise<void> {
  const { client, ledger, random } = worker
  const batches = Array.from({ length: random.between(2, 8) }, () => ({
    asked: token(worker),
    id: ledger.next(),
    fails: random.chance(0.25),
  }))
  for (const { id, fails } of batches) if (fails) ledger.reject(id)
  const messages = batches.map(({ asked, id, fails }) =>
    Buffer.concat([
      f.extended(`${INSERT} ($1::int)`, [String(id)]),
      fails ? f.parse('', 'SELECT nonsense()') : f.extended('SELECT $1::text', [asked]),
      f.sync(),
    ]),
  )
  client.send(...messages)
  for (const { asked, id, fails } of batches) {
    const reply = await client.receiveUntil('Z')
    check(reply, fails ? '12nCEZ' : '12nC12TDCZ', fails ? [] : [asked])
    if (!fails) ledger.acknowledge(id)
  }
}

async function parameters(worker: Worker): Promise<void> {
  const { client, random, name } = worker
  if (random.chance(0.3)) {
    const zone = random.pick(ZONES)
    check(await client.query(`SET TimeZone = '${zone}'`), 'CZ')
    worker.zone = zone
  }
  const sql = "SELECT current_setting('application_name') || '/' || current_setting('TimeZone')"
  check(await client.query(sql), 'TDCZ', [`${name}/${worker.zone}`])
}

async function large(worker: Worker): Promise<void> {
  const { client, random } = worker
  const length = random.between(10_000, 1_000_000)
  client.send(f.extended(`SELECT $1 || repeat('x', ${length})`, ['y'.repeat(length)]), f.sync())
  // A reader who takes its time.
  client.stream.socket.pause()
  await pause(random.between(0, 20))
  client.stream.socket.resume()
  const reply = await client.receiveUntil('Z')
  check(reply, '12TDCZ')
  const got = rows(reply)[0]?.[0]?.length
  if (got !== 2 * length) throw new WrongAnswer(`${2 * length} characters were asked for, ${got} came`)
}

/** The cancel may come too early or too late, as in life; but it may only ever hit this very query. */
async function cancel(worker: Worker): Promise<void> {
  const { client, random } = worker
  const asked = token(worker)
  client.send(f.query(`SELECT '${asked}' FROM pg_sleep(0.5)`))
  await pause(random.between(0, 50))
  const canceled = client.cancel()
  // Its failure is reported by the await below, which may come later.
  canceled.catch(() => {})
  const reply = replyOf(await client.receiveUntil('Z'))
  if (ofType(reply, 'E')[0]?.code !== '57014') check(reply, 'TDCZ', [asked])
  await canceled
}

/** Leaves in the middle of something, one way or another; nothing of it may stay. */
async function vanish({ client, ledger, random }: Worker): Promise<void> {
  const id = ledger.next()
  ledger.reject(id)
  const insert = `${INSERT} (${id})`
  const beginnings: readonly (() => Promise<unknown> | unknown)[] = [
    () => client.query(`BEGIN; ${insert}`),
    () => client.send(f.query(`BEGIN; ${insert}; SELECT pg_sleep(0.2)`)),
    () => client.send(f.extended(insert), f.flush()),
    () => client.send(f.query('COPY ledger FROM STDIN'), f.copyData(`${id}\n`)),
    () => client.sendBytes(f.query(`${insert}; SELECT '${'x'.repeat(200_000)}'`).subarray(0, -1)),
    () => client.send(f.query("SELECT repeat('x', 1000000) FROM generate_series(1, 30)")),
  ]
  await random.pick(beginnings)()
  await pause(random.between(0, 20))
  const ways = [() => client.end(), () => client.destroy(), () => client.reset()]
  random.pick(ways)()
}

export const WORK: readonly Work[] = [
  { name: 'simple query', weight: 10, run: simple },
  { name: 'extended query', weight: 10, run: extended },
  { name: 'prepared statement', weight: 20, run: prepared },
  { name: 'transaction', weight: 20, run: transaction },
  { name: 'failed transaction', weight: 4, run: failedTransaction },
  { name: 'COPY in', weight: 4, run: copyIn },
  { name: 'COPY out', weight: 4, run: copyOut },
  { name: 'pipeline', weight: 10, run: pipeline },
  { name: 'parameters', weight: 10, run: parameters },
  { name: 'large values', weight: 1, run: large },
  { name: 'cancel', weight: 1, run: cancel },
  { name: 'departure', weight: 2, run: vanish, leaves: true },
]
