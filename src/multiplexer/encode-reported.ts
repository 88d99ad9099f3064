import { encodeParameterStatus } from '../protocol/responses.ts'
import type { ParameterSet } from '../server/parameter-set.ts'

interface Encoded {
  readonly reported: ReadonlyMap<string, string>
  readonly count: number
  readonly bytes: Buffer
}

/** The many clients of one kind that log in share a set of parameters, and so the messages. */
const encoded = new WeakMap<ParameterSet, Encoded>()

/** The ParameterStatus messages of a login: those of `parameters` that servers report, in their spelling of the names. */
export function encodeReported(parameters: ParameterSet, reported: ReadonlyMap<string, string>): Buffer {
  const known = encoded.get(parameters)
  // A server that reports one more adds it to the same map.
  if (known !== undefined && known.reported === reported && known.count === reported.size) return known.bytes
  const messages: Buffer[] = []
  for (const [name, spelling] of reported) {
    const value = parameters.get(name)
    if (value !== undefined) messages.push(encodeParameterStatus(spelling, value))
  }
  const bytes = Buffer.concat(messages)
  encoded.set(parameters, { reported, count: reported.size, bytes })
  return bytes
}
