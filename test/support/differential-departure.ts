import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import type { Conversation } from './differential-conversation.ts'
import { written } from './differential-conversation.ts'
import { say } from './differential-phrase.ts'
import { Player, playAll, type Record } from './differential-player.ts'
import type { Scene, Setup } from './differential-scene.ts'
import { around, DEADLINE_MS, SHRINKING_DEADLINE_MS } from './differential-scene.ts'
import { smallerConversations } from './differential-smaller.ts'
import { RawClient } from './raw-client.ts'

/**
 * Departures: a client that goes in the middle of what it says, and the next one on its server, which must get the
 * answers of PostgreSQL as if nobody had been there.
 */

export interface Departure {
  readonly setup: Setup
  readonly leaver: Conversation
  /** How much of its bytes leave, as a fraction. */
  readonly cut: number
  readonly way: (typeof WAYS)[number]
  /** Who comes next. */
  readonly next: Conversation
}

/** FIN while it still reads, both directions closed at once, RST, a message that says so. */
export const WAYS = ['half-closes', 'closes', 'resets', 'terminates'] as const

/** How long somebody who leaves reads on where it wanted to wait: time enough for most replies. */
const READING_MS = 3

export function departures(
  setup: fc.Arbitrary<Setup>,
  leaver: fc.Arbitrary<Conversation>,
  next: fc.Arbitrary<Conversation>,
): fc.Arbitrary<Departure> {
  const cut = fc.double({ min: 0, max: 1, noNaN: true })
  return fc.record({ setup, leaver, cut, way: fc.constantFrom(...WAYS), next })
}

/** Plays it; returns what is wrong, in words. */
export async function playDeparture(scene: Scene, departure: Departure, again: boolean): Promise<string[]> {
  const { setup, leaver, next } = departure
  await scene.reset()
  const reference = await scene.reference(next)
  await scene.reset()
  const pooler = await scene.startPooler(setup)
  const problems: string[] = []
  try {
    const first = await RawClient.connect(scene.through(pooler, leaver))
    await sayAndLeave(first, departure)
    const deadlineMs = again ? SHRINKING_DEADLINE_MS : DEADLINE_MS
    const player = await Player.connect(scene.through(pooler, next), deadlineMs, reference)
    await playAll(player, next)
    problems.push(...differences(player, reference))
    await player.leave()
    await first.closed()
    first.destroy()
    if (problems.length === 0) problems.push(...(await scene.inspect(pooler, setup)))
  } catch (error) {
    problems.push(String(error))
  }
  await pooler.stop().catch((error: unknown) => problems.push(`stop: ${error}`))
  if (problems.length === 0 && pooler.stats.statements !== 0) {
    problems.push(`${pooler.stats.statements} statements are left in the registry`)
  }
  return problems
}

/** Less of either conversation, or plainer surroundings. */
export function* smallerDepartures(departure: Departure): Generator<Departure> {
  for (const next of smallerConversations(departure.next)) yield { ...departure, next }
  for (const leaver of smallerConversations(departure.leaver)) yield { ...departure, leaver }
  if (departure.cut !== 1) yield { ...departure, cut: 1 }
  if (departure.setup.maxPrepared !== 200) {
    yield { ...departure, setup: { ...departure.setup, maxPrepared: 200 } }
  }
}

export function writtenDeparture({ setup, leaver, cut, way, next }: Departure): string[] {
  return [
    JSON.stringify(setup),
    `who leaves (cut at ${cut} of the bytes; ${way})`,
    ...written(leaver),
    'who comes next',
    ...written(next),
  ]
}

async function sayAndLeave(client: RawClient, { leaver, cut, way }: Departure): Promise<void> {
  const segments = leaver.turns.flatMap((turn) => turn.segments)
  const sizes = segments.map(({ messages }) => messages.reduce((sum, { bytes }) => sum + bytes.length, 0))
  let left = Math.round(cut * sizes.reduce((sum, size) => sum + size, 0))
  for (const { messages, wait } of segments) {
    const bytes = Buffer.concat(messages.map((message) => message.bytes)).subarray(0, left)
    if (bytes.length > 0) client.send(bytes)
    left -= bytes.length
    if (wait && left > 0) await delay(READING_MS)
  }
  if (way === 'half-closes') client.stream.end()
  else if (way === 'closes') client.destroy()
  else if (way === 'resets') client.reset()
  else client.send(say.terminate.bytes)
  // A Terminate may have become a part of the message that was cut: FIN is what ends it then.
  if (way === 'terminates') client.stream.end()
}

function differences(player: Player, reference: Record): string[] {
  const { divergence } = player
  if (divergence === null || divergence.accepted) return []
  return [`who comes next, message ${divergence.at}: ${divergence.what}`, ...around(player, reference)]
}
