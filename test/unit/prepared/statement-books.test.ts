import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ClientStatement, ClientStatements } from '../../../src/prepared/client-statements.ts'
import { type ServerStatement, ServerStatements } from '../../../src/prepared/server-statements.ts'
import type { Statement } from '../../../src/prepared/statement.ts'
import { StatementRegistry } from '../../../src/prepared/statement-registry.ts'
import * as frontend from '../../support/frontend-messages.ts'

const text = (sql: string): Buffer => Buffer.from(`${sql}\0\0\0`)
const find = (statements: ClientStatements, name: string): ClientStatement | undefined => {
  const bytes = Buffer.from(`#${name}#`)
  return statements.find(bytes, 1, bytes.length - 1)
}

describe('the registry', () => {
  test('gives one statement per text, parameter types and environment', () => {
    const registry = new StatementRegistry()
    const one = registry.acquire(text('SELECT 1'), 'public')
    expect(registry.acquire(text('SELECT 1'), 'public')).toBe(one)
    const others = [
      registry.acquire(text('SELECT 2'), 'public'),
      registry.acquire(text('SELECT 1'), 'private'),
      registry.acquire(Buffer.from('SELECT 1\0\0\x01\0\0\0\x17', 'latin1'), 'public'),
    ]
    expect(new Set([one, ...others].map(({ name }) => name)).size).toBe(4)
    expect(registry.size).toBe(4)
  })

  test('tells apart texts whose bytes are no UTF-8', () => {
    const registry = new StatementRegistry()
    const one = registry.acquire(Buffer.from([0x80, 0, 0, 0]), '')
    expect(registry.acquire(Buffer.from([0x81, 0, 0, 0]), '')).not.toBe(one)
    expect(one.parse.subarray(-4)).toEqual(Buffer.from([0x80, 0, 0, 0]))
  })

  test('has the whole Parse message of a statement', () => {
    const { name, parse } = new StatementRegistry().acquire(text('SELECT 1'), '')
    expect(parse).toEqual(frontend.parse(name, 'SELECT 1'))
  })

  test('forgets a statement with its last reference, and never gives its name again', () => {
    const registry = new StatementRegistry()
    const one = registry.acquire(text('SELECT 1'), '')
    registry.acquire(text('SELECT 1'), '')
    registry.releaseName(one)
    expect(registry.size).toBe(1)
    registry.releaseName(one)
    expect(registry.size).toBe(0)
    expect(registry.acquire(text('SELECT 1'), '').name).not.toBe(one.name)
  })
})

describe('a client’s names', () => {
  test('are found by their bytes, the same name again and others in between', () => {
    const registry = new StatementRegistry()
    const statements = new ClientStatements(registry)
    const a = statements.add(Buffer.from('a'), registry.acquire(text('1'), ''))
    const ab = statements.add(Buffer.from('ab'), registry.acquire(text('2'), ''))
    expect(['a', 'a', 'ab', 'a', 'b', ''].map((name) => find(statements, name))).toEqual([
      a,
      a,
      ab,
      a,
      undefined,
      undefined,
    ])
    expect(statements.get('ab')).toBe(ab)
    expect(statements.size).toBe(2)
  })

  test('a closed name is found as such, restored by an undo, and gone when its Close is final', () => {
    const registry = new StatementRegistry()
    const statements = new ClientStatements(registry)
    const entry = statements.add(Buffer.from('a'), registry.acquire(text('1'), ''))
    entry.closed = true
    expect(find(statements, 'a')?.closed).toBe(true)
    expect(statements.size).toBe(0)
    statements.restore(entry)
    expect(find(statements, 'a')?.closed).toBe(false)
    entry.closed = true
    statements.remove(entry)
    expect(find(statements, 'a')).toBeUndefined()
    expect(registry.size).toBe(0)
  })

  test('a name closed and given again in one batch is the old one again when the batch is undone', () => {
    const registry = new StatementRegistry()
    const statements = new ClientStatements(registry)
    const old = statements.add(Buffer.from('a'), registry.acquire(text('old'), ''))
    old.closed = true
    const recent = statements.add(Buffer.from('a'), registry.acquire(text('new'), ''))
    expect(find(statements, 'a')).toBe(recent)
    // Newest first.
    statements.remove(recent)
    statements.restore(old)
    expect(find(statements, 'a')).toBe(old)
    expect(registry.size).toBe(1)
  })

  test('DEALLOCATE ALL takes the settled names only', () => {
    const registry = new StatementRegistry()
    const statements = new ClientStatements(registry)
    const pending = statements.add(Buffer.from('pending'), registry.acquire(text('1'), ''))
    pending.outstanding = 1
    statements.add(Buffer.from('settled'), registry.acquire(text('2'), ''))
    statements.clearSettled()
    expect(find(statements, 'settled')).toBeUndefined()
    expect(find(statements, 'pending')).toBe(pending)
    expect(registry.size).toBe(1)
  })

  test('a Close that is undone after the client has gone gives its reference back', () => {
    const registry = new StatementRegistry()
    const statements = new ClientStatements(registry)
    const entry = statements.add(Buffer.from('a'), registry.acquire(text('1'), ''))
    entry.closed = true
    statements.add(Buffer.from('a'), registry.acquire(text('2'), ''))
    statements.clear()
    statements.restore(entry)
    expect(registry.size).toBe(0)
  })
})

describe('a server’s statements', () => {
  interface Books {
    registry: StatementRegistry
    server: ServerStatements
    make: (sql: string) => Statement
    /** Adds a statement and settles it; returns what has to be closed for it. */
    settled: (statement: Statement) => readonly ServerStatement[]
  }

  const setUp = (max: number): Books => {
    const registry = new StatementRegistry()
    const server = new ServerStatements(registry, max)
    const settled = (statement: Statement): readonly ServerStatement[] => {
      server.add(statement, 1).outstanding = false
      return server.takeEvicted(1)
    }
    return { registry, server, make: (sql) => registry.acquire(text(sql), ''), settled }
  }

  test('the least recently used is pushed out', () => {
    const { server, make, settled } = setUp(2)
    const [a, b, c] = [make('a'), make('b'), make('c')] as const
    expect(settled(a)).toEqual([])
    expect(settled(b)).toEqual([])
    server.find(a)
    expect(settled(c).map(({ statement }) => statement)).toEqual([b])
    expect(server.find(b)).toBeUndefined()
    expect(server.size).toBe(2)
  })

  test('whether a statement is there is open while its Parse or Close of another batch is owed', () => {
    const { server, make } = setUp(1)
    const [a, b] = [make('a'), make('b')] as const
    const entry = server.add(a, 7)
    expect([server.isUnsettled(a, 7), server.isUnsettled(a, 8)]).toEqual([false, true])
    entry.outstanding = false
    expect(server.isUnsettled(a, 8)).toBe(false)
    const added = server.add(b, 8)
    const [leaving] = server.takeEvicted(8)
    expect([server.isUnsettled(a, 8), server.isUnsettled(a, 9)]).toEqual([false, true])
    server.forget(leaving as ServerStatement)
    expect(server.isUnsettled(a, 9), 'as long as that of what it would push out is').toBe(true)
    added.outstanding = false
    expect(server.isUnsettled(a, 9)).toBe(false)
  })

  test('an entry remembers the epoch at which it was parsed', () => {
    const { server, make } = setUp(2)
    const a = make('a')
    server.add(a, 1)
    a.epoch += 1
    expect(server.find(a)?.epoch).toBe(0)
  })

  test('undoing an addition and the eviction it caused, newest first, is as if nothing had happened', () => {
    const { registry, server, make, settled } = setUp(1)
    const [a, b] = [make('a'), make('b')] as const
    settled(a)
    const added = server.add(b, 2)
    const [evicted] = server.takeEvicted(2)
    server.undo(added)
    server.restore(evicted as ServerStatement)
    expect(server.find(a)).toBe(evicted)
    expect(server.find(b)).toBeUndefined()
    registry.releaseName(a)
    registry.releaseName(b)
    expect(registry.size).toBe(1)
    server.clear()
    expect(registry.size).toBe(0)
  })

  test('an entry that is pushed out before its Parse fails is not restored', () => {
    const { registry, server, make } = setUp(1)
    const [a, b] = [make('a'), make('b')] as const
    const lost = server.add(a, 1)
    server.add(b, 2)
    const [evicted] = server.takeEvicted(2)
    server.undo(lost)
    server.restore(evicted as ServerStatement)
    expect(server.find(a)).toBeUndefined()
    registry.releaseName(a)
    expect(registry.size).toBe(1)
  })

  test('DEALLOCATE ALL takes what was there before, not what was sent after it', () => {
    const { server, make, settled } = setUp(3)
    const [a, b] = [make('a'), make('b')] as const
    settled(a)
    server.add(b, 2)
    server.clearSettled()
    expect(server.find(a)).toBeUndefined()
    expect(server.find(b)).toBeDefined()
  })
})

test('any order of parsing, closing, evicting, failing and clearing leaves no reference', () => {
  // Each step is sent now; its outcome (settled or undone, newest first) comes with the end of its batch.
  const step = fc.oneof(
    fc.record({ kind: fc.constant('parse' as const), name: fc.nat(3), sql: fc.nat(5) }),
    fc.record({ kind: fc.constant('use' as const), name: fc.nat(3), sql: fc.constant(0) }),
    fc.record({ kind: fc.constant('close' as const), name: fc.nat(3), sql: fc.constant(0) }),
    fc.record({
      kind: fc.constantFrom('succeed' as const, 'fail' as const),
      name: fc.constant(0),
      sql: fc.nat(4),
    }),
    fc.record({ kind: fc.constant('deallocate all' as const), name: fc.constant(0), sql: fc.constant(0) }),
  )
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.boolean(),
      fc.boolean(),
      (steps, clientFirst, undoLast) => {
        const registry = new StatementRegistry()
        const client = new ClientStatements(registry)
        const server = new ServerStatements(registry, 2)
        let batch: { settle: () => void; undo: () => void }[] = []
        const toServer = (statement: Statement): void => {
          if (server.find(statement) !== undefined) return
          const added = server.add(statement, 1)
          for (const evicted of server.takeEvicted(1)) {
            batch.push({ settle: () => server.forget(evicted), undo: () => server.restore(evicted) })
          }
          batch.push({
            settle: () => {
              added.outstanding = false
            },
            undo: () => server.undo(added),
          })
        }
        const finish = (succeeded: number): void => {
          for (const { settle } of batch.slice(0, succeeded)) settle()
          for (const { undo } of batch.slice(succeeded).reverse()) undo()
          batch = []
        }
        for (const { kind, name, sql } of steps) {
          const entry = client.get(String(name))
          if (kind === 'parse' && (entry === undefined || entry.closed)) {
            const statement = registry.acquire(text(String(sql)), '')
            const added = client.add(Buffer.from(String(name)), statement)
            added.outstanding += 1
            toServer(statement)
            batch.push({
              settle: () => {
                added.outstanding -= 1
              },
              undo: () => {
                added.outstanding -= 1
                client.remove(added)
              },
            })
          } else if (kind === 'use' && entry !== undefined && !entry.closed) {
            toServer(entry.statement)
          } else if (kind === 'close' && entry !== undefined && !entry.closed) {
            entry.closed = true
            entry.outstanding += 1
            batch.push({
              settle: () => {
                entry.outstanding -= 1
                client.remove(entry)
              },
              undo: () => {
                entry.outstanding -= 1
                client.restore(entry)
              },
            })
          } else if (kind === 'succeed') finish(batch.length)
          else if (kind === 'fail') finish(Math.min(sql, batch.length))
          else if (kind === 'deallocate all' && batch.length === 0) {
            client.clearSettled()
            server.clearSettled()
          }
        }
        // Client and server go, in either order, with replies still owed.
        if (clientFirst) client.clear()
        finish(undoLast ? 0 : batch.length)
        server.clear()
        client.clear()
        expect(registry.size).toBe(0)
      },
    ),
    { numRuns: 60 },
  )
})
