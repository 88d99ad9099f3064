import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { conversation, smallTalk } from '../../support/differential-conversation.ts'
import { checkFor, fuzzTimeout } from '../../support/differential-property.ts'
import type { Play, Setup } from '../../support/differential-scene.ts'
import { Scene, writtenPlay } from '../../support/differential-scene.ts'
import { RESET_SHAPES, schemaChanges } from '../../support/differential-schema-changes.ts'
import { smallerPlays } from '../../support/differential-smaller.ts'

/**
 * Random conversations whose tables, views and functions change between one execution of a text and the next, with
 * prepare_unnamed: what was prepared before the change must never show.
 */

const USUAL_RUNS = 25

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open(RESET_SHAPES)
})

afterAll(() => scene.close())

const talk = (alone: boolean) => (client: number) =>
  fc.oneof(
    { arbitrary: schemaChanges(client, alone), weight: 8 },
    { arbitrary: smallTalk(client), weight: 1 },
  )

const setups = (poolSize: fc.Arbitrary<number>): fc.Arbitrary<Setup> =>
  fc.record({
    poolSize,
    maxPrepared: fc.constantFrom(200, 200, 2, 1),
    prepareUnnamed: fc.constant(true),
    lazyBegin: fc.boolean(),
    mode: fc.constant('transaction'),
  })

async function same(plays: fc.Arbitrary<Play>): Promise<void> {
  const before = scene.unnamedReuses
  const count = await checkFor(USUAL_RUNS, {
    values: plays,
    problems: (play, again) => scene.play(play, again),
    smaller: smallerPlays,
    written: writtenPlay,
  })
  expect(count).toBeGreaterThan(0)
  expect(scene.unnamedReuses - before, 'Parse messages saved by prepare_unnamed').toBeGreaterThan(count)
}

describe('behind changes of the schema every text means what it means to PostgreSQL', () => {
  test('for one client', { timeout: fuzzTimeout() }, async () => {
    await same(
      fc.record({
        setup: setups(fc.constant(1)),
        conversations: fc.tuple(conversation(0, 1, fc.constant(false), talk(true))),
        rounds: fc.constant(null),
      }),
    )
  })

  test('for clients with tables of their own that share servers', { timeout: fuzzTimeout() }, async () => {
    const one = (client: number) => conversation(client, 4, fc.constant(false), talk(false))
    await same(
      fc.record({
        setup: setups(fc.constantFrom(1, 2)),
        conversations: fc.tuple(one(0), one(1)),
        rounds: fc.constant(null),
      }),
    )
  })
})
