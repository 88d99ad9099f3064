import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { letters } from './backend-message.ts'
import type { Conversation } from './differential-conversation.ts'
import { say } from './differential-phrase.ts'
import type { Scene } from './differential-scene.ts'
import { eachReplaced, without } from './differential-smaller.ts'
import { eventually } from './eventually.ts'
import * as f from './frontend-messages.ts'
import type { TestPooler } from './pooler.ts'
import { RawClient } from './raw-client.ts'

/**
 * Hostility: clients that send nonsense, before the login or behind it, while a well-behaved neighbour goes on
 * working through the same pooler and must not notice.
 */

/** What is done to the bytes of an attack; places are fractions of their number. */
export interface Mutation {
  readonly kind: 'flip' | 'delete' | 'repeat' | 'insert' | 'length' | 'truncate'
  readonly at: number
  readonly span: number
  readonly bytes: Uint8Array
}

export interface Attack {
  /** A startup message in good order, which the mutations leave alone, comes first. */
  readonly loggedIn: boolean
  readonly messages: readonly { readonly label: string; readonly bytes: Buffer }[]
  readonly mutations: readonly Mutation[]
  /** How it ends; `waits` until the pooler has closed it or is quiet. */
  readonly way: 'half-closes' | 'closes' | 'resets' | 'waits'
}

const NEIGHBOUR_MS = 6000
/** How long an attacker stays to see what happens. */
const STAY_MS = 15

/** Bytes that look like one message whose body is anything. */
const framed: fc.Arbitrary<{ label: string; bytes: Buffer }> = fc
  .tuple(
    fc.oneof(fc.constantFrom(...'QPBDECSHFdcfXp'), fc.integer({ min: 0, max: 255 }).map(String.fromCharCode)),
    fc.uint8Array({ maxLength: 60 }),
  )
  .map(([type, body]) => {
    const header = Buffer.alloc(5)
    header.write(type, 0, 'latin1')
    header.writeInt32BE(body.length + 4, 1)
    return {
      label: `${JSON.stringify(type)} with ${body.length} bytes`,
      bytes: Buffer.concat([header, body]),
    }
  })

const noise = fc
  .uint8Array({ minLength: 1, maxLength: 200 })
  .map((bytes) => ({ label: `${bytes.length} bytes`, bytes: Buffer.from(bytes) }))

/** Packets of the startup phase. */
const packets = fc.constantFrom(
  { label: 'SSLRequest', bytes: f.sslRequest() },
  { label: 'GSSENCRequest', bytes: f.gssencRequest() },
  { label: 'CancelRequest', bytes: f.cancelRequest({ processId: 1, secret: Buffer.alloc(4) }) },
  { label: 'StartupMessage', bytes: f.startup({ user: 'postgres', application_name: 'x' }) },
  { label: 'StartupMessage 3.2', bytes: f.startup({ user: 'postgres', '_pq_.x': '1' }, f.PROTOCOL_3_2) },
  { label: 'password', bytes: f.password('secret') },
  { label: 'SASLInitialResponse', bytes: f.saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=x') },
)

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'delete', 'repeat', 'insert', 'length', 'truncate'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  span: fc.double({ min: 0, max: 0.3, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 12 }),
})

/** Attacks, most of them made of what the conversations say. */
export function attacks(conversations: fc.Arbitrary<Conversation>): fc.Arbitrary<Attack[]> {
  const sensible = conversations.map((one) =>
    one.turns.flatMap((turn) => turn.segments.flatMap((segment) => segment.messages)),
  )
  const messages = fc
    .array(
      fc.oneof(
        { arbitrary: sensible, weight: 4 },
        { arbitrary: framed.map((one) => [one]), weight: 3 },
        { arbitrary: noise.map((one) => [one]), weight: 1 },
        { arbitrary: packets.map((one) => [one]), weight: 1 },
      ),
      { minLength: 1, maxLength: 3 },
    )
    .map((parts) => parts.flat())
  const way = fc.constantFrom('half-closes' as const, 'closes' as const, 'resets' as const, 'waits' as const)
  const attack = fc.record({
    loggedIn: fc.oneof(
      { arbitrary: fc.constant(true), weight: 3 },
      { arbitrary: fc.constant(false), weight: 1 },
    ),
    messages,
    mutations: fc.array(mutation, { maxLength: 3 }),
    way,
  })
  return fc.array(attack, { minLength: 1, maxLength: 4 })
}

function bytesOf({ messages, mutations }: Attack): Buffer {
  return mutations.reduce(mutated, Buffer.concat(messages.map(({ bytes }) => bytes)))
}

/** One attack after the other, each beside the neighbour at work; returns what is wrong, in words. */
export async function attackBeside(
  scene: Scene,
  pooler: TestPooler,
  neighbour: RawClient,
  list: readonly Attack[],
): Promise<string[]> {
  const problems: string[] = []
  const note = (error: unknown) => problems.push(`in this process: ${error}`)
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  try {
    for (const attack of list) {
      const attacker = await RawClient.open(pooler)
      await Promise.all([play(attacker, scene, pooler, attack), workBeside(neighbour)])
      await workBeside(neighbour)
      attacker.destroy()
    }
    await eventually(
      'the attackers and their leases to be gone',
      () => pooler.stats,
      ({ clients, pools }) => clients === 1 && pools.every(({ active, waiting }) => active + waiting === 0),
    )
  } catch (error) {
    problems.push(String(error))
  }
  process.off('uncaughtException', note)
  process.off('unhandledRejection', note)
  return problems
}

export function* smallerAttacks(list: readonly Attack[]): Generator<Attack[]> {
  for (const fewer of without(list)) if (fewer.length > 0) yield fewer
  yield* eachReplaced(list, smallerAttack)
}

export function writtenAttacks(list: readonly Attack[]): string[] {
  return list.flatMap((attack) => [
    `${attack.loggedIn ? 'logged in' : 'not logged in'}, ${attack.way}`,
    ...attack.messages.map(({ label }) => `  ${label}`),
    ...attack.mutations.map(({ kind, at, span }) => `  then ${kind} at ${at} (${span})`),
    `  in all: ${bytesOf(attack)
      .toString('latin1')
      .slice(0, 300)
      .replace(/[^ -~]/g, '.')}`,
    `  ${bytesOf(attack).subarray(0, 300).toString('hex')}`,
  ])
}

function* smallerAttack(attack: Attack): Generator<Attack> {
  for (const mutations of without(attack.mutations)) yield { ...attack, mutations }
  for (const messages of without(attack.messages)) yield { ...attack, messages }
}

async function play(attacker: RawClient, scene: Scene, pooler: TestPooler, attack: Attack): Promise<void> {
  const { user, database } = scene.through(pooler, null)
  const startup = attack.loggedIn ? [f.startup({ user: user ?? '', database: database ?? '' })] : []
  attacker.send(...startup, bytesOf(attack))
  const { stream } = attacker
  await Promise.race([stream.closed(), delay(STAY_MS)])
  if (attack.way === 'half-closes') {
    stream.end()
    await stream.closed()
  } else if (attack.way === 'resets') attacker.reset()
  else if (attack.way === 'closes') attacker.destroy()
  else {
    // It may be in the middle of a message that is never finished: nothing but its own end frees its server.
    await workless(attacker)
    attacker.destroy()
  }
}

async function workless(attacker: RawClient): Promise<void> {
  const { stream } = attacker
  let unread = -1
  while (unread !== stream.unread && !stream.ended) {
    unread = stream.unread
    await delay(STAY_MS)
  }
}

/** A little of everything that the neighbour does all day; throws if an answer is not the usual one. */
async function workBeside(neighbour: RawClient): Promise<void> {
  const deadline = new AbortController()
  const late = delay(NEIGHBOUR_MS, undefined, { signal: deadline.signal }).then(() => {
    throw new Error(`the neighbour had no answer for ${NEIGHBOUR_MS} ms`)
  })
  await Promise.race([work(neighbour), late]).finally(() => {
    deadline.abort()
    late.catch(() => {})
  })
}

async function work(neighbour: RawClient): Promise<void> {
  neighbour.send(
    say.parse('a', 'SELECT g FROM generate_series($1::int, 2) g').bytes,
    say.describe('S', 'a').bytes,
    say.bind('a', { values: ['1'] }).bytes,
    say.execute('').bytes,
    say.sync.bytes,
  )
  expectLetters(letters(await neighbour.receiveUntil('Z')), '1tT2DDCZ')
  expectLetters(letters(await neighbour.query('BEGIN')), 'CZ')
  neighbour.send(f.run('a', ['2']), say.sync.bytes)
  expectLetters(letters(await neighbour.receiveUntil('Z')), '2DCZ')
  expectLetters(letters(await neighbour.query('COMMIT')), 'CZ')
  neighbour.send(say.close('S', 'a').bytes, say.sync.bytes)
  expectLetters(letters(await neighbour.receiveUntil('Z')), '3Z')
}

function expectLetters(found: string, usual: string): void {
  if (found !== usual) throw new Error(`the neighbour was answered ${found} instead of ${usual}`)
}

function mutated(bytes: Buffer, { kind, at, span, bytes: inserted }: Mutation): Buffer {
  const from = Math.floor(at * bytes.length)
  const to = Math.min(bytes.length, from + Math.ceil(span * bytes.length))
  const before = bytes.subarray(0, from)
  switch (kind) {
    case 'flip': {
      const copy = Buffer.from(bytes)
      if (from < copy.length) copy[from] = (copy[from] as number) ^ (1 << ((inserted[0] as number) & 7))
      return copy
    }
    case 'delete':
      return Buffer.concat([before, bytes.subarray(to)])
    case 'repeat':
      return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)])
    case 'insert':
      return Buffer.concat([before, inserted, bytes.subarray(from)])
    case 'length': {
      const copy = Buffer.from(bytes)
      inserted.subarray(0, 4).forEach((byte, index) => {
        if (1 + index < copy.length) copy[Math.min(copy.length - 1, from + 1 + index)] = byte
      })
      return copy
    }
    case 'truncate':
      return before
  }
}
