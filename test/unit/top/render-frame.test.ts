import { describe, expect, test } from 'vitest'
import { renderFrame } from '../../../src/top/render-frame.ts'
import type { Snapshot } from '../../../src/top/snapshot.ts'

const EVERYTHING = { rows: 100, columns: 200, sort: 'waiting' } as const

function totals(database: string, factor: number) {
  const counts = { xact_count: 10, query_count: 30, server_assignment_count: 10 }
  const amounts = { bytes_received: 1500, bytes_sent: 2_500_000 }
  const times = { xact_time: 20_000, query_time: 15_000, wait_time: 1000 }
  const all = Object.entries({ ...counts, ...amounts, ...times })
  return { database, ...Object.fromEntries(all.map(([name, value]) => [name, String(value * factor)])) }
}

function pool(database: string, user: string, waiting: number, maxwaitUs = 0) {
  return {
    database,
    user,
    cl_active: '3',
    cl_waiting: String(waiting),
    sv_active: '2',
    sv_idle: '1',
    sv_login: '0',
    maxwait: String(Math.floor(maxwaitUs / 1_000_000)),
    maxwait_us: String(maxwaitUs % 1_000_000),
  }
}

function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    atMs: 5000,
    version: 'PgBouncer 1.25.0',
    state: [
      { key: 'active', value: 'yes' },
      { key: 'paused', value: 'no' },
      { key: 'suspended', value: 'no' },
    ],
    pools: [pool('app', 'web', 0), pool('shop', 'web', 2, 1_250_000)],
    totals: [totals('app', 1), totals('shop', 5)],
    waiters: [],
    errors: [],
    ...changes,
  }
}

describe('a frame', () => {
  test('has pools, who waits on top, and rates of the period', () => {
    const before = snapshot({ atMs: 3000, totals: [totals('app', 1), totals('shop', 1)] })
    expect(renderFrame(snapshot(), before, EVERYTHING)).toEqual([
      'PgBouncer 1.25.0: active | 2 pools | clients 6 active, 2 waiting | servers 4 active, 2 idle',
      '',
      'DATABASE  USER  ACTIVE  WAITING  SV_ACTIVE  SV_IDLE  SV_LOGIN  MAXWAIT',
      'shop      web        3        2          2        1         0     1.3s',
      'app       web        3        0          2        1         0      0ms',
      '',
      'DATABASE  XACT/S  QUERY/S  IN/S  OUT/S  XACT_MS  QUERY_MS  WAIT_MS',
      'app            0        0     0      0        -         -        -',
      'shop          20       60  3.0k   5.0M      2.0       0.5      0.1',
    ])
  })

  test('has no rates without an earlier one', () => {
    const lines = renderFrame(snapshot(), undefined, EVERYTHING)
    expect(lines.at(-1)).toBe('shop           -        -     -      -        -         -        -')
  })

  test('has the slowest waits and the most frequent errors', () => {
    const waiters = [
      {
        wait_ms: '1250',
        database: 'shop',
        user: 'web',
        application_name: 'cart',
        addr: '10.0.0.1:5',
        id: '7',
      },
    ]
    const errors = [{ count: '4', sqlstate: '08P01', message: 'broken' }]
    expect(renderFrame(snapshot({ waiters, errors }), undefined, EVERYTHING).slice(-5)).toEqual([
      'WAITS  DATABASE  USER  APPLICATION  ADDRESS     ID',
      '1.3s   shop      web   cart         10.0.0.1:5  7',
      '',
      'COUNT  SQLSTATE  MESSAGE',
      '4      08P01     broken',
    ])
  })

  test('says that the pooler is paused or suspended', () => {
    const state = [{ key: 'paused', value: 'yes' }]
    expect(renderFrame(snapshot({ state }), undefined, EVERYTHING)[0]).toContain(': PAUSED |')
    const suspended = [...state, { key: 'suspended', value: 'yes' }]
    expect(renderFrame(snapshot({ state: suspended }), undefined, EVERYTHING)[0]).toContain(': SUSPENDED |')
  })

  test('is sorted by name or by queries when asked', () => {
    const before = snapshot({ atMs: 3000, totals: [totals('app', 0), totals('shop', 4)] })
    const second = (sort: 'name' | 'queries') => {
      const now = snapshot({ totals: [totals('app', 1), totals('shop', 9)] })
      return renderFrame(now, before, { ...EVERYTHING, sort })[3]?.split(' ')[0]
    }
    expect([second('name'), second('queries')]).toEqual(['app', 'shop'])
  })

  test('fits into the terminal', () => {
    const lines = renderFrame(snapshot(), undefined, { rows: 4, columns: 20, sort: 'name' })
    expect(lines).toHaveLength(4)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(20)
  })

  test('shows no control character of a client', () => {
    const waiters = [
      { wait_ms: '1', database: 'd', user: 'u', application_name: '\x1b[2J\u202e', addr: 'a', id: '1' },
    ]
    const text = renderFrame(snapshot({ waiters }), undefined, EVERYTHING).join('\n')
    expect(text).toContain('?[2J?')
    expect(text).not.toContain('\x1b')
  })

  test('has no rate below zero after a restart of the pooler', () => {
    const before = snapshot({ atMs: 3000, totals: [totals('app', 9), totals('shop', 9)] })
    expect(renderFrame(snapshot(), before, EVERYTHING).at(-1)).not.toMatch(/ -\d/)
  })
})
