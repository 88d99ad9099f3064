import assert from 'node:assert'
import fc from 'fast-check'
import { test } from 'vitest'
import { ensureOnServer } from '../../../src/multiplexer/server-preparation.ts'
import type { Session } from '../../../src/multiplexer/session.ts'
import { settle, undo } from '../../../src/multiplexer/settle.ts'
import { ServerStatements } from '../../../src/prepared/server-statements.ts'
import type { Statement } from '../../../src/prepared/statement.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import { Reply, ReplyAction, RequestTracker } from '../../../src/server/request-tracker.ts'
import type { ServerConnection } from '../../../src/server/server-connection.ts'

/**
 * The books of one server's statements against what PostgreSQL would have: batches are sent before earlier ones are
 * answered, any of them may fail anywhere, and there is room for few statements.
 */

const TEXTS = ['a', 'b', 'c', 'd', 'refused']

type Step = { readonly use: number } | 'fails' | 'sync' | 'one answered' | 'all answered'

/** What is on its way to the server. */
type Sent = { readonly kind: 'Parse' | 'Close' | 'Bind'; readonly name: string } | 'fails' | 'sync'

class Play {
  readonly #registry = new StatementRegistry()
  readonly #statements: readonly Statement[]
  readonly #books: ServerStatements
  readonly #tracker = new RequestTracker()
  readonly #server: ServerConnection
  readonly #session = {
    pool: { generation: { knownStatements: new Set() } },
    statements: null,
  } as unknown as Session
  #sent: Sent[] = []
  /** What PostgreSQL has. */
  readonly #names = new Set<string>()
  #skipping = false
  /** The client's messages are not sent: its batch has failed already. */
  #skipToSync = false

  constructor(max: number) {
    this.#statements = TEXTS.map((text) => this.#registry.acquire(Buffer.from(`${text}\0\0\0`), ''))
    this.#books = new ServerStatements(this.#registry, max)
    this.#server = {
      statements: this.#books,
      tracker: this.#tracker,
      send: (message: Buffer) => this.#send(message),
    } as unknown as ServerConnection
  }

  play(step: Step): void {
    if (step === 'sync') this.#sync()
    else if (step === 'one answered') this.#answerOne()
    else if (step === 'all answered') this.#answerAll()
    else if (this.#skipToSync) return
    else if (step === 'fails') {
      this.#tracker.push(Reply.Execute, ReplyAction.Forward)
      this.#sent.push('fails')
    } else this.#use(this.#statements[step.use] as Statement)
  }

  /** All is answered: the books must be right. */
  end(): void {
    this.#sync()
    this.#answerAll()
    for (const statement of this.#statements) {
      const isKnown = this.#books.find(statement) !== undefined
      assert.equal(isKnown, this.#names.has(statement.name), `whether the server has "${statement.query}"`)
    }
    this.#books.clear()
    for (const statement of this.#statements) this.#registry.releaseName(statement)
    assert.equal(this.#registry.size, 0, 'statements that nobody refers to')
  }

  #use(statement: Statement): void {
    if (!ensureOnServer(this.#server, statement)) {
      this.#answerAll()
      if (this.#skipToSync) return
      assert(ensureOnServer(this.#server, statement), 'everything is answered')
    }
    this.#tracker.push(Reply.Bind, ReplyAction.Forward)
    this.#sent.push({ kind: 'Bind', name: statement.name })
  }

  #sync(): void {
    this.#tracker.push(Reply.Sync, ReplyAction.Forward)
    this.#sent.push('sync')
    this.#skipToSync = false
  }

  #send(message: Buffer): void {
    const isParse = message[0] === 'P'.charCodeAt(0)
    const nameStart = isParse ? 5 : 6
    const name = message.toString('latin1', nameStart, message.indexOf(0, nameStart))
    this.#sent.push({ kind: isParse ? 'Parse' : 'Close', name })
  }

  #answerAll(): void {
    while (this.#sent.length > 0) this.#answerOne()
  }

  #answerOne(): void {
    const message = this.#sent.shift()
    if (message !== undefined) this.#answer(message)
  }

  #answer(message: Sent): void {
    if (message === 'sync') {
      this.#skipping = false
      this.#tracker.shift()
    } else if (!this.#skipping) {
      if (message === 'fails' || this.#isRefused(message)) this.#fail()
      else settle(this.#session, this.#server, this.#tracker.shift())
    }
  }

  #isRefused({ kind, name }: Exclude<Sent, string>): boolean {
    if (kind === 'Close') this.#names.delete(name)
    else if (kind === 'Bind') assert(this.#names.has(name), `the server lacks ${name}`)
    else {
      assert(!this.#names.has(name), `the server has ${name} already`)
      if (name === this.#statements[TEXTS.indexOf('refused')]?.name) return true
      this.#names.add(name)
    }
    return false
  }

  #fail(): void {
    this.#skipping = true
    const syncSent = this.#tracker.discardToSync((entry) => undo(this.#session, this.#server, entry))
    if (syncSent) return
    this.#tracker.batchOpen = true
    this.#skipToSync = true
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.nat(TEXTS.length - 1).map((use) => ({ use })) },
  { weight: 1, arbitrary: fc.constant('fails' as const) },
  { weight: 3, arbitrary: fc.constant('sync' as const) },
  { weight: 2, arbitrary: fc.constant('one answered' as const) },
  { weight: 1, arbitrary: fc.constant('all answered' as const) },
)

/** Draws that were wrong once. */
const FOUND: [max: number, steps: Step[]][] = [
  // The second Close of "b" was carried out, the first was not.
  [1, [{ use: 1 }, 'fails', { use: 0 }, { use: 1 }, 'sync', { use: 2 }]],
  // A statement was closed to make room while its own Parse was open: that failed, and the Close, too.
  [
    2,
    [
      ...[{ use: 1 }, { use: 2 }, 'fails' as const, { use: 0 }, { use: 1 }, { use: 0 }, 'sync' as const],
      ...['fails' as const, { use: 3 }, 'one answered' as const, { use: 1 }, 'sync' as const],
      ...[{ use: 0 }, 'all answered' as const],
    ],
  ],
]

test('the books of a server say what it has, whichever of the batches on their way fail', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 1, 2),
      fc.array(step, { minLength: 12, maxLength: 24, size: 'max' }),
      (max, steps) => {
        const play = new Play(max)
        for (const each of steps) play.play(each)
        play.end()
      },
    ),
    { numRuns: 500, seed: 20_251_126, examples: FOUND },
  )
})
