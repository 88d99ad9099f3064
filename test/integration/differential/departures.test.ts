import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { conversation } from '../../support/differential-conversation.ts'
import {
  departures,
  playDeparture,
  smallerDepartures,
  writtenDeparture,
} from '../../support/differential-departure.ts'
import { checkFor, fuzzTimeout } from '../../support/differential-property.ts'
import type { Setup } from '../../support/differential-scene.ts'
import { Scene } from '../../support/differential-scene.ts'

const USUAL_RUNS = 15

let scene: Scene

beforeAll(async () => {
  scene = await Scene.open()
})

afterAll(() => scene.close())

const setup: fc.Arbitrary<Setup> = fc.record({
  poolSize: fc.constant(1),
  maxPrepared: fc.constantFrom(200, 2),
  prepareUnnamed: fc.boolean(),
  lazyBegin: fc.boolean(),
  mode: fc.oneof(
    { arbitrary: fc.constant('transaction' as const), weight: 3 },
    { arbitrary: fc.constant('session' as const), weight: 1 },
  ),
})

test('whoever leaves at whatever byte, the next client has the answers of PostgreSQL', {
  timeout: fuzzTimeout(),
}, async () => {
  const count = await checkFor(USUAL_RUNS, {
    values: departures(setup, conversation(1, 2, fc.constant(false)), conversation(0, 1, fc.constant(false))),
    problems: (departure, again) => playDeparture(scene, departure, again),
    smaller: smallerDepartures,
    written: writtenDeparture,
  })
  expect(count).toBeGreaterThan(0)
})
