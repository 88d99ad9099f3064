import { describe, expect, test } from 'vitest'
import { actions, shows } from '../../../src/admin/command-list.ts'
import { ColumnType } from '../../../src/protocol/result-set.ts'

/** Tools read these by name and by place: they are PgBouncer's, letter by letter. */
const LETTERS = new Map<unknown, string>([
  [ColumnType.text, 's'],
  [ColumnType.int4, 'i'],
  [ColumnType.int8, 'q'],
  [ColumnType.numeric, 'n'],
])

function columnsOf(name: string): string {
  const show = shows.find((one) => one.name === name)
  if (show === undefined) throw new Error(`there is no SHOW ${name}`)
  return show.columns.map((column) => `${column.name} ${LETTERS.get(column.type)}`).join(', ')
}

const CONNECTION =
  'type s, user s, database s, replication s, state s, addr s, port i, local_addr s, local_port i, connect_time s, ' +
  'request_time s, wait i, wait_us i, close_needed i, ptr s, link s, remote_pid i, tls s, application_name s, ' +
  'prepared_statements i, id i'
const TOTALS =
  'total_server_assignment_count n, total_xact_count n, total_query_count n, total_received n, total_sent n, ' +
  'total_xact_time n, total_query_time n, total_wait_time n, total_client_parse_count n, ' +
  'total_server_parse_count n, total_bind_count n, total_client_login_count n'
const AVERAGES =
  'avg_server_assignment_count n, avg_xact_count n, avg_query_count n, avg_recv n, avg_sent n, avg_xact_time n, ' +
  'avg_query_time n, avg_wait_time n, avg_client_parse_count n, avg_server_parse_count n, avg_bind_count n, ' +
  'avg_client_login_count n'
const PLAIN =
  'server_assignment_count n, xact_count n, query_count n, bytes_received n, bytes_sent n, xact_time n, query_time n, ' +
  'wait_time n'

describe('the columns of', () => {
  const listed = new Set<string>()

  test.each([
    [
      'DATABASES',
      'name s, host s, port i, database s, force_user s, pool_size i, min_pool_size i, reserve_pool_size i, ' +
        'server_lifetime i, pool_mode s, load_balance_hosts s, max_connections i, current_connections i, ' +
        'max_client_connections i, current_client_connections i, paused i, disabled i',
    ],
    [
      'POOLS',
      'database s, user s, cl_active i, cl_waiting i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active i, ' +
        'sv_active_cancel i, sv_being_canceled i, sv_idle i, sv_used i, sv_tested i, sv_login i, maxwait i, ' +
        'maxwait_us i, pool_mode s, load_balance_hosts s, concurrency i, concurrency_note s',
    ],
    ['CLIENTS', CONNECTION],
    ['SERVERS', CONNECTION],
    [
      'SOCKETS',
      `${CONNECTION}, recv_pos i, pkt_pos i, pkt_remain i, send_pos i, send_remain i, pkt_avail i, send_avail i`,
    ],
    [
      'ACTIVE_SOCKETS',
      `${CONNECTION}, recv_pos i, pkt_pos i, pkt_remain i, send_pos i, send_remain i, pkt_avail i, send_avail i`,
    ],
    ['STATS', `database s, ${TOTALS}, ${AVERAGES}`],
    [
      'STATS_TOTALS',
      `database s, ${PLAIN}, client_parse_count n, server_parse_count n, bind_count n, client_login_count n`,
    ],
    [
      'STATS_AVERAGES',
      `database s, ${PLAIN}, avg_client_parse_count n, avg_server_parse_count n, avg_bind_count n, ` +
        'avg_client_login_count n',
    ],
    ['TOTALS', 'name s, value n'],
    [
      'USERS',
      'name s, pool_size s, reserve_pool_size s, pool_mode s, max_user_connections i, current_connections i, ' +
        'max_user_client_connections i, current_client_connections i',
    ],
    ['LISTS', 'list s, items i'],
    ['CONFIG', 'key s, value s, default s, changeable s'],
    ['PEERS', 'peer_id i, host s, port i, pool_size i'],
    [
      'PEER_POOLS',
      'peer_id i, cl_active_cancel_req i, cl_waiting_cancel_req i, sv_active_cancel i, sv_login i',
    ],
    ['DNS_HOSTS', 'hostname s, ttl q, addrs s'],
    ['DNS_ZONES', 'zonename s, serial q, count i'],
    ['MEM', 'name s, size i, used i, free i, memtotal i'],
    ['STATE', 'key s, value s'],
    ['VERSION', 'version s'],
  ])('SHOW %s are those of PgBouncer', (name, columns) => {
    listed.add(name)
    expect(columnsOf(name)).toBe(columns)
  })

  test.each([
    ['WAITERS', 'database s, user s, addr s, application_name s, wait_ms q, id i'],
    ['ERRORS', 'sqlstate s, message s, count q'],
    ['PREPARED_STATEMENTS', 'name s, clients i, references i, bytes q, query s, promoted i'],
    ['SAVINGS', 'key s, count q'],
    // It is refused.
    ['FDS', 'fd i'],
  ])('SHOW %s, which only the pooler has or refuses, stay as they are', (name, columns) => {
    listed.add(name)
    expect(columnsOf(name)).toBe(columns)
  })

  test('every SHOW are listed here', () => {
    expect([...listed].sort()).toEqual(shows.map(({ name }) => name).sort())
  })
})

test('every command of PgBouncer is there', () => {
  expect(actions.map(({ name }) => name).sort()).toEqual([
    'DISABLE',
    'ENABLE',
    'KILL',
    'KILL_CLIENT',
    'PAUSE',
    'RECONNECT',
    'RELOAD',
    'RESUME',
    'SHUTDOWN',
    'SUSPEND',
    'WAIT_CLOSE',
  ])
})
