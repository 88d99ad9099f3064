import fc from 'fast-check'
import * as f from './frontend-messages.ts'

/** What random conversations are made of: messages with the label that a report shows, and phrases of several. */

/** One message, and how a report shows it. */
export interface Said {
  readonly label: string
  readonly bytes: Buffer
}

export type Phrase = fc.Arbitrary<readonly Said[]>

const said = (label: string, bytes: Buffer): Said => ({ label, bytes })
const shown = (text: string): string => JSON.stringify(text)

export const say = {
  query: (sql: string) => said(`Query ${shown(sql)}`, f.query(sql)),
  parse: (name: string, sql: string, types: readonly number[] = []) =>
    said(`Parse ${shown(name)} ${shown(sql)} [${types}]`, f.parse(name, sql, types)),
  bind(name: string, options: f.BindOptions = {}): Said {
    const { portal = '', values = [], formats = [], resultFormats = [] } = options
    const rest = `${JSON.stringify(values)} formats [${formats}] results [${resultFormats}]`
    return said(`Bind ${shown(portal)} to ${shown(name)} ${rest}`, f.bind(name, options))
  },
  describe: (target: f.Target, name: string) =>
    said(`Describe ${target} ${shown(name)}`, f.describeMessage(target, name)),
  execute: (portal: string, maxRows = 0) =>
    said(`Execute ${shown(portal)} ${maxRows}`, f.execute(portal, maxRows)),
  close: (target: f.Target, name: string) => said(`Close ${target} ${shown(name)}`, f.close(target, name)),
  sync: said('Sync', f.sync()),
  flush: said('Flush', f.flush()),
  copyData: (text: string) => said(`CopyData ${shown(text)}`, f.copyData(text)),
  copyDone: said('CopyDone', f.copyDone()),
  copyFail: said('CopyFail', f.copyFail('enough')),
  functionCall: (oid: number, a: number, b: number) =>
    said(`FunctionCall ${oid} (${a}, ${b})`, f.functionCall(oid, [f.int4(a), f.int4(b)])),
  terminate: said('Terminate', f.terminate()),
}

export const NOTHING: Phrase = fc.constant([])

/** The messages in order, any of which may rarely be missing. */
export function sentence(...messages: readonly (fc.Arbitrary<Said> | Said)[]): Phrase {
  const parts = messages.map((message) =>
    fc.oneof(
      {
        arbitrary: 'bytes' in message ? fc.constant([message]) : message.map((one) => [one]),
        weight: 25,
      },
      { arbitrary: fc.constant([]), weight: 1 },
    ),
  )
  return fc.tuple(...parts).map((found) => found.flat())
}

export const optionally = (phrase: Phrase): Phrase => fc.oneof(NOTHING, phrase)
