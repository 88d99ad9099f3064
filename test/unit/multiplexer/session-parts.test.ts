import { describe, expect, test } from 'vitest'
import { BatchRecorder } from '../../../src/multiplexer/batch-recorder.ts'
import { CancelKeys } from '../../../src/multiplexer/cancel-keys.ts'
import { KnownParameters } from '../../../src/multiplexer/known-parameters.ts'
import { ClientStatement } from '../../../src/prepared/client-statements.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import { UnnamedStatement } from '../../../src/prepared/unnamed-statement.ts'
import { ParameterSet } from '../../../src/server/parameter-set.ts'
import { FakeServers } from '../../support/fake-servers.ts'

describe('a recorded batch', () => {
  const add = (recorder: BatchRecorder, text: string): void => {
    const bytes = Buffer.from(`#${text}#`)
    recorder.add(bytes, 1, bytes.length - 1)
    bytes.fill('#')
  }

  test('has the messages in their order, as a copy', () => {
    const recorder = new BatchRecorder()
    recorder.start()
    for (const text of ['one ', 'two ', 'x'.repeat(500)]) add(recorder, text)
    expect(recorder.recording).toBe(true)
    const batch = recorder.take()
    expect(batch.toString()).toBe(`one two ${'x'.repeat(500)}`)
    expect(recorder.recording).toBe(false)
    recorder.start()
    add(recorder, 'other')
    expect(batch.toString()).toMatch(/^one two/)
    expect(recorder.take().toString()).toBe('other')
  })

  test('can be repeated when it is complete and nothing of its reply has gone out', () => {
    const recorder = new BatchRecorder()
    expect(recorder.repeatable).toBe(false)
    recorder.start()
    add(recorder, 'bind')
    expect(recorder.repeatable).toBe(false)
    recorder.complete = true
    expect(recorder.repeatable).toBe(true)
    recorder.replied = true
    expect(recorder.repeatable).toBe(false)
    recorder.start()
    expect([recorder.complete, recorder.replied, recorder.describes, recorder.columnsKnown]).toEqual([
      false,
      false,
      false,
      false,
    ])
  })

  test('that grows longer than 16 KiB is not recorded', () => {
    const recorder = new BatchRecorder()
    recorder.start()
    add(recorder, 'x'.repeat(16 * 1024))
    expect(recorder.recording).toBe(true)
    add(recorder, 'y')
    expect(recorder.recording).toBe(false)
  })

  test('that was never begun is empty', () => {
    expect(new BatchRecorder().take()).toHaveLength(0)
  })
})

describe('the unnamed statement', () => {
  const name = new ClientStatement(
    'a',
    Buffer.from('a'),
    new StatementRegistry().acquire(Buffer.from('x'), ''),
  )

  test('keeps its Parse as a copy', () => {
    const bytes = Buffer.from('#first#')
    const unnamed = new UnnamedStatement(bytes.subarray(1, 6), false)
    bytes.fill('#')
    expect(unnamed.parse?.toString()).toBe('first')
    expect([unnamed.deallocates, unnamed.discards]).toEqual([null, false])
  })

  test('of more than a mebibyte is not kept', () => {
    expect(new UnnamedStatement(Buffer.alloc(1024 * 1024), false).parse).not.toBeNull()
    expect(new UnnamedStatement(Buffer.alloc(1024 * 1024 + 1), false).parse).toBeNull()
  })

  test('may stand for the DEALLOCATE of a name', () => {
    expect(new UnnamedStatement(Buffer.from('x'), true, 'a', name).deallocates).toBe(name)
  })
})

describe('cancel keys', () => {
  test('find their owner, and nobody else does', () => {
    const keys = new CancelKeys<string>()
    const alice = keys.add('alice', 0)
    const bob = keys.add('bob', 0)
    expect(keys.find(alice.processId, alice.secret)).toBe('alice')
    expect(keys.find(bob.processId, bob.secret)).toBe('bob')
    expect(keys.find(alice.processId, bob.secret)).toBeUndefined()
    expect(keys.find(bob.processId + 1, bob.secret)).toBeUndefined()
  })

  test('of another length find nobody, though they begin right', () => {
    const keys = new CancelKeys<string>()
    const { processId, secret } = keys.add('alice', 2)
    expect(keys.find(processId, secret.subarray(0, 4))).toBeUndefined()
    expect(keys.find(processId, Buffer.concat([secret, Buffer.alloc(1)]))).toBeUndefined()
    expect(keys.find(processId, Buffer.alloc(0))).toBeUndefined()
  })

  test('have four secret bytes in protocol 3.0 and 32 in 3.2', () => {
    const keys = new CancelKeys<string>()
    expect([0, 1, 2].map((minor) => keys.add(`minor ${minor}`, minor).secret.length)).toEqual([4, 4, 32])
  })

  test('of somebody who is gone find nobody', () => {
    const keys = new CancelKeys<string>()
    const { processId, secret } = keys.add('alice', 0)
    keys.remove('alice')
    keys.remove('alice')
    expect(keys.find(processId, secret)).toBeUndefined()
  })

  test('carry the number of their worker and fit into 31 bits', () => {
    for (const worker of [0, 1, 127]) {
      const keys = new CancelKeys<number>(worker)
      for (let i = 0; i < 100; i++) {
        const { processId } = keys.add(i, 0)
        expect(processId >> 24).toBe(worker)
        expect(processId).toBeGreaterThan(0)
      }
    }
  })
})

describe('known parameters', () => {
  const { pool } = new FakeServers()

  test('are those that a server of the same pool has accepted, with its spelling', () => {
    const known = new KnownParameters()
    expect(known.find(pool, 'datestyle', 'ISO')).toBeUndefined()
    known.add(pool, 'datestyle', 'ISO', 'ISO, MDY')
    expect(known.find(pool, 'datestyle', 'ISO')).toBe('ISO, MDY')
    expect(known.find(pool, 'datestyle', 'German')).toBeUndefined()
    expect(known.find(new FakeServers().pool, 'datestyle', 'ISO')).toBeUndefined()
  })

  test('a short printable application_name is known without asking, any other is not', () => {
    const known = new KnownParameters()
    expect(known.find(pool, 'application_name', 'psql')).toBe('psql')
    expect(known.find(pool, 'application_name', '')).toBe('')
    for (const value of ['x'.repeat(64), 'café', 'tab\t']) {
      expect(known.find(pool, 'application_name', value)).toBeUndefined()
    }
  })

  test('what the server has anyway is known', () => {
    const known = new KnownParameters()
    const fake = new FakeServers().pool
    fake.generation.welcome = { parameters: ParameterSet.empty.with('timezone', 'UTC'), reported: new Map() }
    expect(known.find(fake, 'timezone', 'UTC')).toBe('UTC')
    expect(known.find(fake, 'timezone', 'CET')).toBeUndefined()
  })

  test('knowledge starts anew after ten thousand values, so that nobody can fill the memory', () => {
    const known = new KnownParameters()
    for (let i = 0; i < 10_000; i++) known.add(pool, 'x', String(i), String(i))
    expect(known.find(pool, 'x', '0')).toBe('0')
    known.add(pool, 'x', 'one more', 'one more')
    expect(known.find(pool, 'x', '0')).toBeUndefined()
    expect(known.find(pool, 'x', 'one more')).toBe('one more')
  })
})
