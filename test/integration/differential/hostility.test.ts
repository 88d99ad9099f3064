import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { conversation } from '../../support/differential-conversation.ts'
import {
  attackBeside,
  attacks,
  smallerAttacks,
  writtenAttacks,
} from '../../support/differential-hostility.ts'
import { checkFor, fuzzTimeout } from '../../support/differential-property.ts'
import type { Setup } from '../../support/differential-scene.ts'
import { Scene } from '../../support/differential-scene.ts'
import type { TestPooler } from '../../support/pooler.ts'
import { RawClient } from '../../support/raw-client.ts'

const USUAL_RUNS = 30
/** Of memory that is still in use when all attackers are gone. */
const MAX_GROWTH_BYTES = 64 * 1024 * 1024

const SETUP: Setup = {
  poolSize: 2,
  maxPrepared: 5,
  prepareUnnamed: true,
  lazyBegin: true,
  mode: 'transaction',
}

let scene: Scene
let pooler: TestPooler
let neighbour: RawClient

beforeAll(async () => {
  scene = await Scene.open()
  await scene.reset()
  pooler = await scene.startPooler(SETUP)
  neighbour = await RawClient.connect(scene.through(pooler, null))
})

afterAll(async () => {
  neighbour.destroy()
  await pooler.stop()
  await scene.close()
})

test('a neighbour notices nothing of clients that send nonsense, and nothing is left of them', {
  timeout: fuzzTimeout(),
}, async () => {
  const before = inUse()
  const count = await checkFor(USUAL_RUNS, {
    values: attacks(conversation(1, 1, fc.constant(false))),
    problems: (list) => attackBeside(scene, pooler, neighbour, list),
    smaller: smallerAttacks,
    written: writtenAttacks,
  })
  expect(count).toBeGreaterThan(0)
  expect(inUse() - before, 'bytes in use').toBeLessThan(MAX_GROWTH_BYTES)
  neighbour.end()
  await neighbour.closed()
  expect(await scene.inspect(pooler, SETUP)).toEqual([])
  await pooler.stop()
  expect(pooler.stats.statements).toBe(0)
})

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
