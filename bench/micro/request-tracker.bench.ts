import { bench, do_not_optimize, run, summary } from 'mitata'
import { Effect, Reply, ReplyAction, RequestTracker } from '../../src/server/request-tracker.ts'

/** The replies that a server owes: noted with every message of a client, taken away with every reply. */

const PIPELINED = 100

const tracker = new RequestTracker()

/** What one transaction of the prepared protocol owes. */
function pushPrepared(): void {
  tracker.push(Reply.Bind, ReplyAction.Forward).effect = Effect.Use
  tracker.push(Reply.Describe, ReplyAction.Forward)
  tracker.push(Reply.Execute, ReplyAction.Forward)
  tracker.push(Reply.Sync, ReplyAction.Forward)
}

summary(() => {
  bench('one Query', () => {
    tracker.push(Reply.Query, ReplyAction.Forward)
    do_not_optimize(tracker.shift())
  })
  bench('Bind Describe Execute Sync', () => {
    pushPrepared()
    for (let i = 0; i < 4; i++) do_not_optimize(tracker.shift())
  })
  bench(`${PIPELINED} times Bind Describe Execute Sync in a pipeline`, () => {
    for (let i = 0; i < PIPELINED; i++) pushPrepared()
    while (tracker.length > 0) do_not_optimize(tracker.shift())
  })
})

await run()
