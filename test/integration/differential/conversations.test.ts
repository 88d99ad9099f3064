import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { conversation } from '../../support/differential-conversation.ts'
import { checkFor, fuzzTimeout } from '../../support/differential-property.ts'
import type { Play, Round, Setup } from '../../support/differential-scene.ts'
import { Scene, writtenPlay } from '../../support/differential-scene.ts'
import { smallerPlays } from '../../support/differential-smaller.ts'
import { MAX_CLIENTS } from '../../support/differential-vocabulary.ts'

/**
 * Random conversations through the pooler and without it: every client must get the same answers. POOLER_FUZZ_RUNS
 * makes it longer, POOLER_FUZZ_SEED repeats a failure.
 */

const USUAL_RUNS = 15

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open()
})

afterAll(() => scene.close())

function setups(poolSize: fc.Arbitrary<number>): fc.Arbitrary<Setup> {
  return fc.record({
    poolSize,
    maxPrepared: fc.constantFrom(200, 1, 2),
    prepareUnnamed: fc.boolean(),
    lazyBegin: fc.boolean(),
    mode: fc.oneof(
      { arbitrary: fc.constant('transaction' as const), weight: 9 },
      { arbitrary: fc.constant('session' as const), weight: 1 },
    ),
  })
}

const rounds: fc.Arbitrary<Round[]> = fc.array(
  fc.record({ first: fc.nat(5), second: fc.option(fc.nat(5)), held: fc.boolean() }),
  { minLength: 1, maxLength: 8 },
)

/** Who waits for a server and hangs up is not served, unlike at PostgreSQL: so several clients never hurry. */
const several = fc
  .integer({ min: 2, max: MAX_CLIENTS })
  .chain((count) =>
    fc.tuple(...Array.from({ length: count }, (_, client) => conversation(client, 4, fc.constant(false)))),
  )

const transaction = (poolSize: fc.Arbitrary<number>) =>
  setups(poolSize).map((setup): Setup => ({ ...setup, mode: 'transaction' }))

async function same(plays: fc.Arbitrary<Play>): Promise<void> {
  const count = await checkFor(USUAL_RUNS, {
    values: plays,
    problems: (play, again) => scene.play(play, again),
    smaller: smallerPlays,
    written: writtenPlay,
  })
  expect(count).toBeGreaterThan(0)
  expect(scene.unnamedReuses, 'Parse messages saved by prepare_unnamed').toBeGreaterThan(0)
}

describe('random conversations have the answers of PostgreSQL', () => {
  test('for one client', { timeout: fuzzTimeout() }, async () => {
    await same(
      fc.record({
        setup: setups(fc.constant(1)),
        conversations: fc.tuple(conversation(0, 1, fc.boolean())),
        rounds: fc.constant(null),
      }),
    )
  })

  test('for clients that take turns', { timeout: fuzzTimeout() }, async () => {
    await same(
      fc.record({
        setup: transaction(fc.constantFrom(1, 2)),
        conversations: several,
        rounds,
      }),
    )
  })

  test('for clients at the same time', { timeout: fuzzTimeout() }, async () => {
    await same(
      fc.record({
        setup: transaction(fc.constantFrom(1, 2)),
        conversations: several,
        rounds: fc.constant(null),
      }),
    )
  })
})
