import type { MessageCounts, TrafficCounts } from '../protocol/message-counts.ts'
import { UNTYPED } from '../protocol/message-counts.ts'
import { backendTypeName, frontendTypeName } from '../protocol/message-type.ts'
import type { NumberMetric, Sample } from './metric.ts'

type Unit = 'messages' | 'bytes'

const FROM_CLIENT = 'from_client'
const TO_SERVER = 'to_server'
const FROM_SERVER = 'from_server'
const TO_CLIENT = 'to_client'
const TYPES = 256

/** Where each direction's messages are counted: the sum of some books less the sum of others. */
function directions(traffic: TrafficCounts): readonly {
  readonly direction: string
  readonly typeName: (type: number) => string
  readonly plus: readonly MessageCounts[]
  readonly minus: readonly MessageCounts[]
}[] {
  const { fromClients, fromServers, repeated, ownToClients, ownToServers } = traffic
  return [
    { direction: FROM_CLIENT, typeName: frontendTypeName, plus: [fromClients.read], minus: [] },
    {
      direction: TO_SERVER,
      typeName: frontendTypeName,
      plus: [fromClients.read, repeated.read, ownToServers],
      minus: [fromClients.dropped, repeated.dropped],
    },
    { direction: FROM_SERVER, typeName: backendTypeName, plus: [fromServers.read], minus: [] },
    {
      direction: TO_CLIENT,
      typeName: backendTypeName,
      plus: [fromServers.read, ownToClients],
      minus: [fromServers.dropped],
    },
  ]
}

function traffic(unit: Unit, name: string, help: string): NumberMetric {
  return {
    name,
    type: 'counter',
    help,
    labels: ['direction', 'type'],
    *samples({ counts }) {
      for (const { direction, typeName, plus, minus } of directions(counts.traffic)) {
        for (let type = 0; type < TYPES; type++) {
          const at = (books: readonly MessageCounts[]): number =>
            books.reduce((sum, book) => sum + book[unit](type), 0)
          const value = at(plus) - at(minus)
          if (at(plus) === 0) continue
          const sample: Sample<number> = [[direction, type === UNTYPED ? 'untyped' : typeName(type)], value]
          yield sample
        }
      }
    },
  }
}

/** Messages by direction and type. */
export const trafficMetrics: readonly NumberMetric[] = [
  traffic(
    'messages',
    'pooler_messages_total',
    'Messages of the wire protocol by direction (from_client, to_server, from_server, to_client) and type; "untyped" is what comes before the first type byte.',
  ),
  traffic(
    'bytes',
    'pooler_message_bytes_total',
    'Bytes of those messages, without TLS; a message counts as a whole when its beginning has come.',
  ),
]
