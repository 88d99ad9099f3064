import fc from 'fast-check'
import { NOTHING, optionally, type Phrase, type Said, say, sentence } from './differential-phrase.ts'
import * as words from './differential-vocabulary.ts'

/**
 * Random conversations of the wire protocol, as data: what one client sends, in which segments, cut where, and
 * where it waits for replies. They are built from phrases that make sense and from stray messages, and any message
 * may be missing.
 */

/** What leaves in one go. */
export interface Segment {
  readonly messages: readonly Said[]
  /** Where the bytes are cut into several writes, as fractions of their number. */
  readonly cuts: readonly number[]
  /** Whether the client reads what comes before it goes on. */
  readonly wait: boolean
}

/** A stretch after which the client is in no transaction, so that another may have the server. */
export interface Turn {
  readonly segments: readonly Segment[]
  readonly closing: Closing
}

/** How a turn ends the transaction, if there is one. */
export interface Closing {
  readonly command: 'COMMIT' | 'ROLLBACK'
  readonly extended: boolean
}

export interface Conversation {
  readonly startup: Readonly<Record<string, string>>
  readonly turns: readonly Turn[]
  /** Whether it goes without waiting for its last replies. */
  readonly hurry: boolean
}

/** What client number `client` says about tables that stay as they are. */
export function smallTalk(client: number): Phrase {
  const of = (...lists: readonly (readonly string[])[]) =>
    fc.constantFrom(...lists.flat().map((text) => text.replaceAll('{c}', String(client))))
  const name = fc.oneof(
    { arbitrary: fc.constantFrom('a', 'b', 'c'), weight: 4 },
    { arbitrary: fc.constant(''), weight: 2 },
  )
  const portal = fc.oneof({ arbitrary: fc.constant(''), weight: 3 }, fc.constantFrom('p', 'q'))
  const value = fc.constantFrom(...words.VALUES)
  const types = fc.oneof({ arbitrary: fc.constant([]), weight: 3 }, fc.constantFrom(...words.TYPES))
  const maxRows = fc.oneof({ arbitrary: fc.constant(0), weight: 3 }, fc.constantFrom(1, 2))
  const ending: Phrase = fc.oneof(
    { arbitrary: sentence(say.sync), weight: 6 },
    { arbitrary: sentence(say.flush), weight: 1 },
    { arbitrary: NOTHING, weight: 2 },
  )

  const frequent = of(words.READS, words.WRITES, words.TRANSACTIONS, words.SHOWS)
  const text = fc.oneof(
    { arbitrary: frequent, weight: 8 },
    { arbitrary: of(words.SETS), weight: 3 },
    { arbitrary: of(words.TRANSACTIONS), weight: 3 },
    { arbitrary: of(words.FAILURES), weight: 1 },
    { arbitrary: of(words.DISCARDS), weight: 2 },
    { arbitrary: of(words.COPY_OUT), weight: 1 },
  )
  /**
   * The pooler knows DEALLOCATE and DISCARD only where the text itself is executed, not in a named statement; and that
   * may be parsed once more, on another server, when standard_conforming_strings is not what it was.
   */
  const parsed = (given: string, sql: string, types: readonly number[] = []) =>
    say.parse(/^(DEALLOCATE|DISCARD)|\\/.test(sql) ? '' : given, sql, types)
  const simple = fc.oneof({ arbitrary: text, weight: 6 }, { arbitrary: of(words.SEVERAL), weight: 2 })

  /** Parse, Bind, Execute of a statement without parameters. */
  const plain = fc
    .record({ name, text, portal, maxRows, types })
    .chain((it) =>
      fc.tuple(
        sentence(parsed(it.name, it.text)),
        optionally(sentence(say.describe('S', it.name))),
        sentence(say.bind(it.name, { portal: it.portal })),
        optionally(sentence(say.describe('P', it.portal))),
        sentence(say.execute(it.portal, it.maxRows)),
        optionally(sentence(say.execute(it.portal, it.maxRows))),
        ending,
      ),
    )
    .map((parts) => parts.flat())

  const withValue = fc
    .record({
      name,
      text: of(words.WITH_VALUE),
      portal,
      types,
      value,
      resultFormats: fc.constantFrom([], [0], [1]),
    })
    .chain((it) =>
      fc.tuple(
        sentence(say.parse(it.name, it.text, it.types)),
        optionally(sentence(say.describe('S', it.name))),
        sentence(
          say.bind(it.name, { portal: it.portal, values: [it.value], resultFormats: it.resultFormats }),
        ),
        sentence(say.execute(it.portal)),
        ending,
      ),
    )
    .map((parts) => parts.flat())

  /** What most drivers send for one query. */
  const driven = fc
    .oneof(
      of(words.READS, words.WRITES, words.FAILURES).map((text) => ({
        text,
        values: [] as (string | null)[],
      })),
      fc.tuple(of(words.WITH_VALUE), value).map(([text, one]) => ({ text, values: [one] })),
    )
    .map(({ text, values }) => [
      say.parse('', text),
      say.bind('', { values }),
      say.describe('P', ''),
      say.execute(''),
      say.sync,
    ])

  /** A statement of some earlier phrase, perhaps. */
  const again = fc
    .record({ name, portal, maxRows, values: fc.oneof(fc.constant([]), fc.tuple(value)) })
    .chain((it) =>
      fc.tuple(
        optionally(sentence(say.describe('S', it.name))),
        sentence(say.bind(it.name, { portal: it.portal, values: it.values })),
        sentence(say.execute(it.portal, it.maxRows)),
        ending,
      ),
    )
    .map((parts) => parts.flat())

  const copyPart: Phrase = fc.oneof(
    { arbitrary: sentence(of(words.COPY_LINES).map(say.copyData)), weight: 6 },
    { arbitrary: sentence(say.flush), weight: 1 },
  )
  const copyEnd: Phrase = fc.oneof(
    { arbitrary: sentence(say.copyDone), weight: 4 },
    { arbitrary: sentence(say.copyFail), weight: 2 },
    { arbitrary: sentence(say.copyDone, say.copyDone), weight: 1 },
  )
  const copyText = of([words.COPY_IN, words.COPY_IN, 'COPY nowhere FROM STDIN'])
  const copyIn = fc
    .record({ text: copyText, extended: fc.boolean(), early: fc.boolean() })
    .chain(({ text, extended, early }) => {
      const start = extended
        ? sentence(say.parse('', text), say.bind(''), say.execute(''))
        : sentence(say.query(text))
      return fc.tuple(
        start,
        extended && early ? sentence(say.sync) : NOTHING,
        fc.array(copyPart, { maxLength: 4 }).map((parts) => parts.flat()),
        copyEnd,
        extended ? sentence(say.sync) : NOTHING,
      )
    })
    .map((parts) => parts.flat())

  const stray: Phrase = fc.oneof(
    { arbitrary: sentence(say.sync), weight: 6 },
    { arbitrary: sentence(say.flush), weight: 2 },
    { arbitrary: sentence(fc.tuple(name, text, types).map(([n, t, o]) => parsed(n, t, o))), weight: 2 },
    {
      arbitrary: sentence(fc.tuple(fc.constantFrom('S', 'P'), name).map(([t, n]) => say.close(t, n))),
      weight: 4,
    },
    {
      arbitrary: sentence(fc.tuple(fc.constantFrom('S', 'P'), name).map(([t, n]) => say.describe(t, n))),
      weight: 2,
    },
    { arbitrary: sentence(fc.tuple(portal, maxRows).map(([p, rows]) => say.execute(p, rows))), weight: 2 },
    {
      arbitrary: sentence(
        fc
          .tuple(fc.constantFrom(...words.FUNCTIONS), fc.nat(3))
          .map(([oid, b]) => say.functionCall(oid, 7, b)),
      ),
      weight: 2,
    },
    { arbitrary: sentence(fc.constantFrom(say.copyDone, say.copyFail, say.copyData('1\n'))), weight: 1 },
  )

  return fc.oneof(
    { arbitrary: driven, weight: 6 },
    { arbitrary: plain, weight: 6 },
    { arbitrary: withValue, weight: 3 },
    { arbitrary: again, weight: 4 },
    { arbitrary: sentence(simple.map(say.query)), weight: 6 },
    { arbitrary: copyIn, weight: 1 },
    { arbitrary: stray, weight: 4 },
  )
}

function segments(phrase: Phrase, size: { minLength: number; maxLength: number }): fc.Arbitrary<Segment[]> {
  return fc.array(
    fc.record({
      messages: fc.array(phrase, { minLength: 1, maxLength: 4 }).map((found) => found.flat()),
      cuts: fc.oneof(
        { arbitrary: fc.constant([]), weight: 3 },
        {
          arbitrary: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 4 }),
          weight: 1,
        },
      ),
      wait: fc.boolean(),
    }),
    size,
  )
}

const closing: fc.Arbitrary<Closing> = fc.record({
  command: fc.constantFrom('COMMIT', 'ROLLBACK'),
  extended: fc.boolean(),
})

/**
 * A Sync behind COPY data is read as part of the COPY if that is still going on, and answered if the data has just
 * made it fail. Which, only PostgreSQL knows: such a Sync gets an end of the data in front of it.
 */
function withoutAmbiguousSyncs(turns: readonly Turn[]): readonly Turn[] {
  let dataSent = false
  const check = (message: Said): readonly Said[] => {
    if (message.label.startsWith('CopyData')) dataSent = true
    else if (message === say.copyDone || message === say.copyFail) dataSent = false
    else if (message === say.sync && dataSent) {
      dataSent = false
      return [say.copyFail, message]
    }
    return [message]
  }
  return turns.map((turn) => ({
    ...turn,
    segments: turn.segments.map((segment) => ({ ...segment, messages: segment.messages.flatMap(check) })),
  }))
}

/**
 * A simple query or a function call inside a batch is a mixture that PostgreSQL 18 itself gets wrong: it has a Sync in front of it. And a
 * DEALLOCATE that waits for its Execute must know its name already when it is parsed: no name is new until then.
 */
function withoutMixtures(turns: readonly Turn[]): readonly Turn[] {
  let batchOpen = false
  let deallocates = false
  let copies = false
  const check = (message: Said): readonly Said[] => {
    const { label } = message
    if (label.includes('FROM STDIN')) copies = true
    else if (label.startsWith('Copy') && !label.startsWith('CopyData')) copies = false
    if (message === say.sync) batchOpen = copies
    else if (/^(Query|FunctionCall)/.test(label)) {
      deallocates = false
      if (batchOpen) {
        batchOpen = false
        copies = false
        return [say.copyFail, say.sync, message]
      }
    } else if (/^(Parse|Bind|Describe|Execute|Close)/.test(label)) {
      if (label.startsWith('Parse ""')) deallocates = label.includes('DEALLOCATE')
      else if (label.startsWith('Parse') && deallocates) return []
      batchOpen = true
    }
    return [message]
  }
  return turns.map((turn) => {
    batchOpen = false
    copies = false
    const segments = turn.segments.map((one) => ({ ...one, messages: one.messages.flatMap(check) }))
    return { ...turn, segments }
  })
}

/**
 * After RESET the values of the startup message hold again: the pooler applies them behind the answer, and cannot
 * before what the same batch or query goes on with. So whoever has such values resets in queries of their own.
 */
function withResetsApart(conversation: Conversation): Conversation {
  if (Object.keys(conversation.startup).length === 0) return conversation
  const resets = ({ label }: Said) => /RESET|DISCARD ALL|TO DEFAULT|set_config/.test(label)
  const apart = (segment: Segment): Segment => {
    const reset = segment.messages.find((message) => resets(message) && message.label.startsWith('Query'))
    const rest = segment.messages.filter((message) => !resets(message))
    const isAlone = reset !== undefined && !reset.label.includes(';')
    return { ...segment, messages: isAlone ? [say.copyFail, say.sync, reset, ...rest] : rest }
  }
  const turns = conversation.turns.map((turn) => ({ ...turn, segments: turn.segments.map(apart) }))
  return { ...conversation, turns }
}

/** What client number `client` may say, in up to `maxTurns` turns, in phrases of `talk`. */
export function conversation(
  client: number,
  maxTurns: number,
  hurry: fc.Arbitrary<boolean>,
  talk: (client: number) => Phrase = smallTalk,
): fc.Arbitrary<Conversation> {
  const size = maxTurns === 1 ? { minLength: 1, maxLength: 8 } : { minLength: 1, maxLength: 3 }
  const phrase = talk(client)
  return fc
    .record({
      startup: fc.oneof(
        { arbitrary: fc.constant({}), weight: 3 },
        { arbitrary: fc.constantFrom(...words.STARTUP), weight: 1 },
      ),
      turns: fc.array(fc.record({ segments: segments(phrase, size), closing }), {
        minLength: 1,
        maxLength: maxTurns,
      }),
      hurry,
    })
    .map(withResetsApart)
    .map(unambiguous)
}

function unambiguous(conversation: Conversation): Conversation {
  return { ...conversation, turns: withoutAmbiguousSyncs(withoutMixtures(conversation.turns)) }
}

/** True where every message has one meaning: what is left out of a conversation may take that away. */
export function isUnambiguous(conversation: Conversation): boolean {
  return written(unambiguous(conversation)).join('\n') === written(conversation).join('\n')
}

/** The lines of a report: one per message, segments apart. */
export function written(conversation: Conversation): string[] {
  const lines = [`startup ${JSON.stringify(conversation.startup)}`]
  conversation.turns.forEach((turn, index) => {
    lines.push(
      `turn ${index + 1}, ends with ${turn.closing.extended ? 'extended' : 'simple'} ${turn.closing.command}`,
    )
    for (const { messages, cuts, wait } of turn.segments) {
      for (const { label } of messages) lines.push(`  ${label}`)
      const cut = cuts.length === 0 ? '' : ` cut at ${cuts.map((at) => at.toFixed(3)).join(', ')}`
      lines.push(`  ${wait ? '-- wait' : '--'}${cut}`)
    }
  })
  lines.push(conversation.hurry ? 'goes at once' : 'goes after its last reply')
  return lines
}
