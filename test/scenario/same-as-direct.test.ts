import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FlushQueue } from '../../src/net/flush-queue.ts'
import type { BackendMessage } from '../support/backend-message.ts'
import { FakeNetwork } from '../support/fake-network.ts'
import { FakePostgres } from '../support/fake-postgres.ts'
import * as frontend from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'
import {
  frontendSummary,
  SCENARIO_PARAMETERS,
  ScenarioClient,
  type ScenarioServer,
} from '../support/scenario-peers.ts'
import { transcript } from '../support/transcript.ts'

/**
 * Any conversations of several clients with fewer servers, cut and interleaved in any way: each client gets the
 * replies that it would have got from a server of its own.
 */

const sql = fc.constantFrom(
  'SELECT 1',
  'SELECT 2',
  'SELECT 3',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'FAIL',
  'oops',
  '',
  'SHOW timezone',
  'SET timezone TO Tokyo',
  'SET application_name TO app',
  'RESET timezone',
  'DEALLOCATE a',
  'DEALLOCATE ALL',
  'DISCARD ALL',
)
const name = fc.constantFrom<string>('a', 'b', 'c')
const portal = fc.constantFrom('', '', 'p')

/** DEALLOCATE and DISCARD under a name are not understood. */
const parse = fc
  .tuple(
    name,
    sql.filter((text) => !/^(DEALLOCATE|DISCARD)/.test(text)),
  )
  .map(([to, text]) => frontend.parse(to, text))

const extended: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: parse },
  { weight: 4, arbitrary: fc.tuple(name, portal).map(([of, to]) => frontend.bind(of, { portal: to })) },
  { weight: 4, arbitrary: portal.map((of) => frontend.execute(of)) },
  { weight: 2, arbitrary: name.map((of) => frontend.describeMessage('S', of)) },
  { weight: 1, arbitrary: portal.map((of) => frontend.describeMessage('P', of)) },
  { weight: 2, arbitrary: name.map((of) => frontend.close('S', of)) },
  { weight: 1, arbitrary: portal.map((of) => frontend.close('P', of)) },
  { weight: 1, arbitrary: fc.constant(frontend.flush()) },
)

/** A simple query, or messages of the extended protocol and their Sync. */
const batch: fc.Arbitrary<Buffer[]> = fc.oneof(
  { weight: 1, arbitrary: sql.map((text) => [frontend.query(text)]) },
  {
    weight: 2,
    arbitrary: fc.array(extended, { maxLength: 6 }).map((messages) => [...messages, frontend.sync()]),
  },
)

const conversation = fc.array(batch, { maxLength: 6 })

/** What a client with a server of its own would get. */
function direct(batches: readonly Buffer[][]): string[] {
  const postgres = new FakePostgres(SCENARIO_PARAMETERS)
  const client = new ScenarioClient(new FakeNetwork(new FlushQueue()).open())
  for (const bytes of batches.flat()) {
    const [type, body] = [bytes.toString('latin1', 0, 1), bytes.subarray(5)]
    client.onWritten(postgres.handle([{ type, body }]))
  }
  return transcript(client.messages(), new Map(Object.entries(SCENARIO_PARAMETERS)))
}

/** A server that answers by itself, as soon and in such pieces as the schedule says. */
class SlowServer {
  readonly server: ScenarioServer
  #outbox = Buffer.alloc(0)

  constructor(server: ScenarioServer) {
    this.server = server
    const postgres = new FakePostgres(SCENARIO_PARAMETERS)
    server.answer = (messages) => {
      this.#outbox = Buffer.concat([this.#outbox, postgres.handle(messages)])
      return Buffer.alloc(0)
    }
  }

  /** Sends up to so many bytes of its answers; false if there are none. */
  deliver(bytes: number): boolean {
    if (this.#outbox.length === 0) return false
    const chunk = this.#outbox.subarray(0, bytes)
    this.#outbox = this.#outbox.subarray(bytes)
    this.server.send(chunk)
    return true
  }
}

/** Sends batch by batch, each when the one before has been answered, in such pieces as the schedule says. */
class Player {
  readonly #client: ScenarioClient
  readonly #batches: Buffer[]
  readonly #messages: BackendMessage[] = []
  #unanswered = 0
  #rest: Buffer = Buffer.alloc(0)

  constructor(client: ScenarioClient, batches: readonly Buffer[][]) {
    this.#client = client
    this.#batches = batches.map((messages) => Buffer.concat(messages))
  }

  /** Everything that has come. */
  readonly received = (): BackendMessage[] => {
    const recent = this.#client.messages()
    this.#unanswered -= recent.filter(({ type }) => type === 'Z').length
    this.#messages.push(...recent)
    return this.#messages
  }

  /** Sends up to so many bytes; false if there are none, or the last batch is not answered yet. */
  send(bytes: number): boolean {
    this.received()
    if (this.#rest.length === 0) {
      if (this.#unanswered > 0) return false
      const next = this.#batches.shift()
      if (next === undefined) return false
      this.#rest = next
      this.#unanswered += 1
    }
    this.#client.send(this.#rest.subarray(0, bytes))
    this.#rest = this.#rest.subarray(bytes)
    return true
  }
}

const CLIENTS = 3
/** Whatever a client has done, after these it is in no transaction and every reply has come. */
const END = [[frontend.query('ROLLBACK')], [frontend.sync()]]

interface Play {
  /** By client: batches of messages. */
  conversations: Buffer[][][]
  /** Who does the next step, and how many bytes it takes. */
  schedule: (readonly [who: number, bytes: number])[]
  servers: number
  maxStatements: number
  prepareUnnamed: boolean
  lazyBegin: boolean
}

async function pooled(one: Play): Promise<string[][]> {
  const { conversations, schedule, servers, maxStatements, prepareUnnamed, lazyBegin } = one
  const scenario = new Scenario({
    default_pool_size: servers,
    max_prepared_statements: maxStatements,
    prepare_unnamed: prepareUnnamed,
    lazy_begin: lazyBegin,
  })
  const slow: SlowServer[] = []
  scenario.onStartup = (server) => {
    server.login(1000 + slow.length)
    slow.push(new SlowServer(server))
  }
  const players: Player[] = []
  for (const batches of conversations) players.push(new Player(await scenario.client(), [...batches, ...END]))
  for (const [who, bytes] of schedule) {
    if (who < CLIENTS) players[who]?.send(bytes)
    else slow[who - CLIENTS]?.deliver(bytes)
  }
  for (;;) {
    await scenario.settle()
    const sent = players.map((player) => player.send(Number.POSITIVE_INFINITY))
    const delivered = slow.map((server) => server.deliver(Number.POSITIVE_INFINITY))
    if (![...sent, ...delivered].includes(true)) break
  }
  const transcripts = players.map(({ received }) =>
    transcript(received(), new Map(Object.entries(SCENARIO_PARAMETERS))),
  )
  expect(scenario.pool).toMatchObject({ activeCount: 0, waiting: 0 })
  expect(slow.every(({ server }) => !server.gone)).toBe(true)
  await scenario.stop()
  expect(scenario.registry.size).toBe(0)
  return transcripts
}

const play: fc.Arbitrary<Play> = fc.record({
  conversations: fc.array(conversation, { minLength: 1, maxLength: CLIENTS }),
  schedule: fc.array(
    fc.tuple(
      fc.nat(CLIENTS + 1),
      fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 30, max: 300 })),
    ),
    { maxLength: 60 },
  ),
  servers: fc.integer({ min: 1, max: 2 }),
  maxStatements: fc.integer({ min: 1, max: 4 }),
  prepareUnnamed: fc.boolean(),
  lazyBegin: fc.boolean(),
})

const timeout = process.env.POOLER_FUZZ_RUNS === undefined ? 10_000 : 24 * 3_600_000

test('every client gets the replies that a server of its own would have given', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(play, async (one) => {
      const expected = one.conversations.map((batches) => direct([...batches, ...END]))
      const got = await pooled(one)
      for (const [index, lines] of expected.entries()) {
        const received = got[index] ?? []
        if (received.join() !== lines.join())
          throw new Error(`client ${index} got\n${received.join('\n')}\ninstead of\n${lines.join('\n')}`)
      }
    }),
    {
      // The same conversations every time, unless more are asked for: a build must not fail by chance.
      numRuns: Number(process.env.POOLER_FUZZ_RUNS ?? 30),
      ...(process.env.POOLER_FUZZ_RUNS === undefined ? { seed: 20_251_122 } : {}),
      reporter: (result) => {
        if (!result.failed) return
        throw new Error(
          report(
            result.counterexample?.[0],
            String((result.errorInstance as Error | null)?.stack).slice(0, 3000),
          ),
        )
      },
    },
  )
})

/** The counterexample in words. */
function report(failed: Play | undefined, error: string): string {
  if (failed === undefined) return error
  const said = failed.conversations.map(
    (batches, index) =>
      `client ${index}: ${batches
        .flat()
        .map((bytes) => frontendSummary({ type: bytes.toString('latin1', 0, 1), body: bytes.subarray(5) }))
        .join(' ')}`,
  )
  const { servers, maxStatements, schedule } = failed
  return [...said, JSON.stringify({ servers, maxStatements, schedule }), error].join('\n')
}
