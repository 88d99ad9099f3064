import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as f from '../support/frontend-messages.ts'
import { Scenario } from '../support/scenario.ts'

/** Whatever a stranger sends: nobody gets in, no server hears of it, nothing is left. */

const USER = { user: 'app', database: 'app' }
/** What is read ahead of a client that waits, and one chunk more. */
const MAX_UNREAD_BYTES = 160 * 1024

const bytes = (maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array))

/** A message that says it is longer, or shorter, than it is. */
const misstated = fc
  .tuple(fc.constantFrom('p', 'Q', 'P', 'X', 'd'), fc.integer({ min: -1, max: 2 ** 31 - 1 }), bytes(40))
  .map(([type, length, body]) => {
    const head = Buffer.alloc(5)
    head.write(type, 'latin1')
    head.writeInt32BE(length, 1)
    return Buffer.concat([head, body])
  })

const piece: fc.Arbitrary<Buffer> = fc.oneof(
  bytes(64),
  misstated,
  fc.constant(f.startup(USER)),
  fc.constant(f.sslRequest()),
  fc.constant(f.query('SELECT 1')),
  fc.constant(f.saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abc')),
  fc.constant(f.saslInitialResponse('SCRAM-SHA-256-PLUS', 'p=tls-server-end-point,,n=,r=abc')),
  bytes(64).map((text) => f.saslResponse(text.toString('latin1'))),
  bytes(64).map((text) => f.password(text.toString('latin1').replaceAll('\0', ' '))),
)

test.each(['plain', 'md5', 'scram-sha-256', 'cert'] as const)(
  'with auth_type %s, no bytes let a stranger in, reach a server, or stay in memory',
  async (authType) => {
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.boolean(), async (pieces, startsWell) => {
        const scenario = new Scenario({ auth_type: authType })
        const stranger = scenario.connect()
        if (startsWell) stranger.send(f.startup(USER))
        for (const each of pieces) {
          stranger.send(each)
          await scenario.settle()
        }
        const heard = stranger.takeBytes()
        // A client that is in gets BackendKeyData (K) before ReadyForQuery (Z).
        expect(heard.includes(Buffer.from([0x5a, 0, 0, 0, 5]))).toBe(false)
        expect(scenario.servers).toHaveLength(0)
        stranger.connection.receiveEnd()
        await scenario.settle()
        expect(scenario.multiplexer.clientCount).toBe(0)
        await scenario.stop()
      }),
      { numRuns: 20 },
    )
  },
)

test('a flood while a login waits is not read', async () => {
  const scenario = new Scenario({ auth_type: 'scram-sha-256' })
  const stranger = scenario.connect()
  stranger.send(f.startup(USER))
  stranger.send(f.saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=abc'))
  const chunk = Buffer.alloc(16 * 1024, 'p')
  for (let sent = 0; sent < 2 * MAX_UNREAD_BYTES; sent += chunk.length) stranger.send(chunk)
  expect(stranger.connection.unread * chunk.length).toBeGreaterThanOrEqual(MAX_UNREAD_BYTES)
  await scenario.stop()
})
