/**
 * parseConnectionString: the value of an entry of [databases], [users] or [peers] in a pgbouncer.ini -> its pairs.
 * `key=value key='va''lue'`, blanks around the equals sign allowed. Called by ini-input.ts.
 */

export type Pair = readonly [key: string, value: string]

const KEY = /[ \t]*([^ \t=]+)[ \t]*=[ \t]*/y
/** The last quote is none of a doubled pair. */
const QUOTED = /'((?:[^']|'')*)'(?!')/y
const BARE = /[^ \t'][^ \t]*/y

/** Either the pairs in their order, or what is wrong: without a part of the text, for it may hold a password. */
export function parseConnectionString(text: string): readonly Pair[] | { readonly problem: string } {
  const pairs: Pair[] = []
  let at = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match === null) return undefined
    at = pattern.lastIndex
    return match[1] ?? match[0]
  }
  while (/[^ \t]/.test(text.slice(at))) {
    const key = take(KEY)
    if (key === undefined) return { problem: `expected key=value ${after(pairs)}` }
    if (text[at] === "'") {
      const value = take(QUOTED)
      if (value === undefined)
        return { problem: `the quoted value of ${key} does not end; a quote in it is doubled` }
      if (value === '') return { problem: empty(key) }
      pairs.push([key, value.replaceAll("''", "'")])
    } else {
      const value = take(BARE)
      if (value === undefined) return { problem: empty(key) }
      pairs.push([key, value])
    }
  }
  return pairs
}

function after(pairs: readonly Pair[]): string {
  const last = pairs.at(-1)
  return last === undefined ? 'pairs with blanks between them' : `behind the value of ${last[0]}`
}

function empty(key: string): string {
  return `the value of ${key} is empty; leave the key out where there is none`
}
