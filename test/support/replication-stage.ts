import type { BackendMessage } from './backend-message.ts'
import { eventually } from './eventually.ts'
import * as f from './frontend-messages.ts'
import type { Address, RawClientOptions } from './raw-client.ts'
import { RawClient } from './raw-client.ts'
import { keepalive, standbyStatus, type WalData, walData } from './replication-messages.ts'
import type { Row } from './test-cluster.ts'

/** What the tests of replication share: a server that can be streamed from, clients that stream, and who is still there. */

/** Settings of a cluster from which WAL can be streamed, decoded or not. */
export const STREAMING_SETTINGS = {
  wal_level: 'logical',
  max_wal_senders: '10',
  max_replication_slots: '10',
  wal_sender_timeout: '0',
}

/** A replication client of `mode`: 'database' or a boolean, as in the startup parameter. */
export function replicate(
  address: Address,
  mode: string,
  options: Partial<RawClientOptions> = {},
): Promise<RawClient> {
  const { host, port } = address
  return RawClient.connect({
    host,
    port,
    database: 'postgres',
    ...options,
    parameters: { replication: mode, ...options.parameters },
  })
}

/** Creates a temporary slot of its own and starts to stream decoded changes from it. */
export async function streamDecoded(client: RawClient, slot: string): Promise<void> {
  await client.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL test_decoding`)
  client.send(f.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0`))
  await client.receive('W')
}

/** The next WAL that holds `text`; keepalives on the way are answered. */
export async function receiveWal(client: RawClient, text: string): Promise<WalData> {
  for (;;) {
    const message: BackendMessage = await client.receive('d')
    const end = keepalive(message)
    if (end !== undefined) client.send(standbyStatus(end))
    const wal = walData(message)
    if (wal?.data.includes(text)) return wal
  }
}

export interface Server {
  query(sql: string): Promise<Row[]>
}

/** Writes `text` into the WAL, so that a stream of decoded changes has it. */
export async function emit(server: Server, text: string): Promise<void> {
  await server.query(`SELECT pg_logical_emit_message(false, 'test', '${text}')`)
}

/** The processes of PostgreSQL that serve replication clients. */
async function walSenders(server: Server): Promise<number[]> {
  const rows = await server.query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
  return rows.map(({ pid }) => Number(pid))
}

export async function noWalSender(server: Server): Promise<void> {
  await eventually(
    'every WAL sender to be gone',
    () => walSenders(server),
    (pids) => pids.length === 0,
  )
}
