import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW DNS_HOSTS: the names of servers that were looked up, and for how many seconds the answers are good. */
export const showDnsHosts: ShowCommand = {
  name: 'DNS_HOSTS',
  access: 'stats',
  columns: columnsOf('hostname s, ttl q, addrs s'),
  rows: ({ dns }) =>
    [...dns].map(({ name, ttlMs, addresses }) => [name, Math.ceil(ttlMs / 1000), addresses.join(',')]),
}
