import { type Conversation, isUnambiguous, type Segment, type Turn } from './differential-conversation.ts'
import type { Play } from './differential-scene.ts'

/**
 * Smaller plays: the same with a client, a turn, a segment, a message or a cut left out, or with less waiting. What
 * a failing play is reduced by, step by step, until nothing can go.
 */

export function* smallerPlays(play: Play): Generator<Play> {
  const { conversations } = play
  for (const fewer of without(conversations)) if (fewer.length > 0) yield { ...play, conversations: fewer }
  for (const one of eachReplaced(conversations, smallerConversations)) yield { ...play, conversations: one }
  if (play.rounds !== null && play.rounds.length > 1) {
    for (const rounds of without(play.rounds)) if (rounds.length > 0) yield { ...play, rounds }
  }
  for (const rounds of play.rounds === null
    ? []
    : eachReplaced(play.rounds, (round) => {
        const plainer = []
        if (round.held) plainer.push({ ...round, held: false })
        if (round.second !== null) plainer.push({ ...round, second: null })
        if (round.first > 0) plainer.push({ ...round, first: round.first - 1 })
        return plainer
      }))
    yield { ...play, rounds }
  const { setup } = play
  if (setup.poolSize > 1) yield { ...play, setup: { ...setup, poolSize: 1 } }
  if (setup.prepareUnnamed) yield { ...play, setup: { ...setup, prepareUnnamed: false } }
  if (setup.lazyBegin) yield { ...play, setup: { ...setup, lazyBegin: false } }
  if (setup.maxPrepared !== 200) yield { ...play, setup: { ...setup, maxPrepared: 200 } }
}

export function* smallerConversations(conversation: Conversation): Generator<Conversation> {
  for (const smaller of withLess(conversation)) if (isUnambiguous(smaller)) yield smaller
}

function* withLess(conversation: Conversation): Generator<Conversation> {
  const { turns, startup, hurry } = conversation
  for (const fewer of without(turns)) if (fewer.length > 0) yield { ...conversation, turns: fewer }
  for (const one of eachReplaced(turns, smallerTurns)) yield { ...conversation, turns: one }
  if (Object.keys(startup).length > 0) yield { ...conversation, startup: {} }
  if (hurry) yield { ...conversation, hurry: false }
}

function* smallerTurns(turn: Turn): Generator<Turn> {
  for (const segments of without(turn.segments)) yield { ...turn, segments }
  for (const segments of eachReplaced(turn.segments, smallerSegments)) yield { ...turn, segments }
  for (let at = 1; at < turn.segments.length; at += 1) {
    const [first, second] = turn.segments.slice(at - 1) as [Segment, Segment]
    if (first.wait) continue
    const joined = { messages: [...first.messages, ...second.messages], cuts: [], wait: second.wait }
    yield { ...turn, segments: [...turn.segments.slice(0, at - 1), joined, ...turn.segments.slice(at + 1)] }
  }
}

function* smallerSegments(segment: Segment): Generator<Segment> {
  for (const messages of without(segment.messages)) yield { ...segment, messages }
  if (segment.cuts.length > 0) yield { ...segment, cuts: [] }
  for (const cuts of without(segment.cuts)) yield { ...segment, cuts }
  if (segment.wait) yield { ...segment, wait: false }
}

/** The list without a half of it, a quarter, ..., one element. */
export function* without<Item>(items: readonly Item[]): Generator<Item[]> {
  for (let size = items.length; size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < items.length; from += size) {
      yield [...items.slice(0, from), ...items.slice(from + size)]
    }
  }
}

export function* eachReplaced<Item>(
  items: readonly Item[],
  smaller: (item: Item) => Iterable<Item>,
): Generator<Item[]> {
  for (const [index, item] of items.entries()) {
    for (const one of smaller(item)) yield items.with(index, one)
  }
}
