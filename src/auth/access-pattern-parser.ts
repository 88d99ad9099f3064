import { AccessLineError, shown } from './access-file-problems.ts'

/**
 * PatternParser: the text of a regular expression -> its tree. Used by AccessPattern alone. It reads
 * PostgreSQL's advanced regular expressions without what needs backtracking (back references, look-around)
 * and without collating elements and embedded options; those are refused.
 * Source: PostgreSQL documentation, "POSIX Regular Expressions".
 */
export type Node =
  | { readonly kind: 'character'; readonly accepts: (character: string) => boolean }
  | { readonly kind: 'condition'; readonly holds: (text: readonly string[], at: number) => boolean }
  | { readonly kind: 'sequence'; readonly items: readonly Node[] }
  | { readonly kind: 'choice'; readonly branches: readonly Node[] }
  /** The first capturing parenthesis. */
  | { readonly kind: 'group'; readonly node: Node }
  | {
      readonly kind: 'repeat'
      readonly node: Node
      readonly min: number
      readonly max: number
      readonly greedy: boolean
    }

type Accepts = (character: string) => boolean

/** DUPMAX of PostgreSQL. */
const MAX_REPETITIONS = 255
const MAX_NESTING = 50

const CLASS_ESCAPES: Readonly<Record<string, RegExp>> = {
  d: /^\p{Nd}$/u,
  s: /^\s$/u,
  w: /^[\p{L}\p{N}_]$/u,
  D: /^\P{Nd}$/u,
  S: /^\S$/u,
  W: /^[^\p{L}\p{N}_]$/u,
}
const CHARACTER_ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  e: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}
const NAMED_CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /^[\p{L}\p{N}]$/u,
  alpha: /^\p{L}$/u,
  blank: /^[ \t]$/,
  cntrl: /^\p{Cc}$/u,
  digit: /^\p{Nd}$/u,
  graph: /^[^\s\p{C}]$/u,
  lower: /^\p{Ll}$/u,
  print: /^[^\p{C}]$/u,
  punct: /^[\p{P}\p{S}]$/u,
  space: /^\s$/u,
  upper: /^\p{Lu}$/u,
  word: /^[\p{L}\p{N}_]$/u,
  xdigit: /^[0-9A-Fa-f]$/,
}
const CONDITION_ESCAPES: Readonly<Record<string, (text: readonly string[], at: number) => boolean>> = {
  A: (_text, at) => at === 0,
  Z: (text, at) => at === text.length,
  m: (text, at) => !isWord(text[at - 1]) && isWord(text[at]),
  M: (text, at) => isWord(text[at - 1]) && !isWord(text[at]),
  y: (text, at) => isWord(text[at - 1]) !== isWord(text[at]),
  Y: (text, at) => isWord(text[at - 1]) === isWord(text[at]),
}

export class PatternParser {
  readonly #source: string
  readonly #characters: readonly string[]
  #at = 0
  #depth = 0
  groups = 0
  /** There is a | inside the first group or in front of it. */
  groupFollowsChoice = false
  #choices = 0

  constructor(source: string) {
    this.#source = source
    this.#characters = Array.from(source)
  }

  /** Throws AccessLineError. */
  parse(): Node {
    if (this.#source.startsWith('***') || /^\(\?[a-z]+\)/.test(this.#source)) {
      throw this.#error('embedded options are not supported')
    }
    const node = this.#choice()
    if (this.#at < this.#characters.length) throw this.#error('a ) without (')
    return node
  }

  #choice(): Node {
    const branches = [this.#branch()]
    while (this.#skip('|')) {
      this.#choices++
      branches.push(this.#branch())
    }
    return branches.length === 1 ? (branches[0] as Node) : { kind: 'choice', branches }
  }

  #branch(): Node {
    const items: Node[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      items.push(this.#repeated(this.#atom()))
    }
    return { kind: 'sequence', items }
  }

  #repeated(node: Node): Node {
    const bounds = this.#bounds()
    if (bounds === undefined) return node
    if (node.kind === 'condition') throw this.#error('a repetition of nothing')
    const greedy = !this.#skip('?')
    if (this.#bounds() !== undefined) throw this.#error('a repetition of a repetition')
    return { kind: 'repeat', node, ...bounds, greedy }
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#skip('*')) return { min: 0, max: Number.POSITIVE_INFINITY }
    if (this.#skip('+')) return { min: 1, max: Number.POSITIVE_INFINITY }
    if (this.#skip('?')) return { min: 0, max: 1 }
    if (!this.#atBounds()) return undefined
    const rest = this.#characters.slice(this.#at, this.#at + 12).join('')
    const match = /^\{(\d{1,3})(?:(,)(\d{1,3})?)?\}/.exec(rest)
    if (match === null) throw this.#error('a malformed {}')
    this.#at += match[0].length
    const min = Number(match[1])
    const max =
      match[2] === undefined ? min : match[3] === undefined ? Number.POSITIVE_INFINITY : Number(match[3])
    const highest = max === Number.POSITIVE_INFINITY ? min : max
    if (max < min || highest > MAX_REPETITIONS) throw this.#error('a {} out of range')
    return { min, max }
  }

  /** A brace is a bound if a digit follows, and else an ordinary character. */
  #atBounds(): boolean {
    return this.#peek() === '{' && /^\d$/.test(this.#characters[this.#at + 1] ?? '')
  }

  #atom(): Node {
    if (this.#atBounds()) throw this.#error('a repetition of nothing')
    const character = this.#next()
    switch (character) {
      case '(':
        return this.#parenthesis()
      case '[':
        return { kind: 'character', accepts: this.#bracket() }
      case '.':
        return { kind: 'character', accepts: () => true }
      case '^':
        return { kind: 'condition', holds: (_text, at) => at === 0 }
      case '$':
        return { kind: 'condition', holds: (text, at) => at === text.length }
      case '*':
      case '+':
      case '?':
        throw this.#error('a repetition of nothing')
      case '\\': {
        const condition = CONDITION_ESCAPES[this.#peek() ?? '']
        if (condition === undefined) return { kind: 'character', accepts: this.#escape() }
        this.#at++
        return { kind: 'condition', holds: condition }
      }
      default:
        return { kind: 'character', accepts: only(character) }
    }
  }

  #parenthesis(): Node {
    if (++this.#depth > MAX_NESTING) throw this.#error('too many nested parentheses')
    let first = false
    if (this.#skip('?')) {
      if (!this.#skip(':')) throw this.#error('look-around is not supported')
    } else first = ++this.groups === 1
    const node = this.#choice()
    if (!this.#skip(')')) throw this.#error('a ( without )')
    this.#depth--
    if (first) this.groupFollowsChoice = this.#choices > 0
    return first ? { kind: 'group', node } : { kind: 'sequence', items: [node] }
  }

  #escape(): Accepts {
    const literal = this.#escapedCharacter()
    if (literal !== undefined) return only(literal)
    const character = this.#next()
    const known = CLASS_ESCAPES[character]
    if (known !== undefined) return (other) => known.test(other)
    throw this.#error(`\\${character} is not supported`)
  }

  /** Behind a backslash: the one character that the escape stands for. */
  #escapedCharacter(): string | undefined {
    const character = this.#peek()
    if (character === undefined) throw this.#error('a \\ at the end')
    if (/^[^\p{L}\p{N}]$/u.test(character)) return this.#next()
    if (character === 'u') {
      const digits = this.#characters.slice(this.#at + 1, this.#at + 5).join('')
      if (!/^[0-9a-f]{4}$/i.test(digits)) throw this.#error('\\u without four hexadecimal digits')
      this.#at += 5
      return String.fromCodePoint(Number.parseInt(digits, 16))
    }
    const known = CHARACTER_ESCAPES[character]
    if (known !== undefined) this.#at++
    return known
  }

  #bracket(): Accepts {
    const negated = this.#skip('^')
    const accepted: Accepts[] = []
    do accepted.push(this.#bracketItem())
    while (!this.#skip(']'))
    return (character) => accepted.some((accepts) => accepts(character)) !== negated
  }

  #bracketItem(): Accepts {
    const named = this.#namedClass()
    if (named !== undefined) return named
    const first = this.#bracketEnd()
    if (typeof first !== 'string') return first
    if (this.#peek() !== '-' || this.#characters[this.#at + 1] === ']') return only(first)
    this.#at++
    const last = this.#bracketEnd()
    if (typeof last !== 'string') throw this.#error('a class is no end of a range')
    const [from, to] = [codePoint(first), codePoint(last)]
    if (from > to) throw this.#error('a range that ends before it begins')
    return (character) => codePoint(character) >= from && codePoint(character) <= to
  }

  /** One character of a bracket expression, or a class that \d and the like name. */
  #bracketEnd(): string | Accepts {
    const character = this.#next()
    if (character === '[' && /^[.=:]$/.test(this.#peek() ?? '')) {
      throw this.#error('collating elements and this character class are not supported')
    }
    if (character !== '\\') return character
    return CLASS_ESCAPES[this.#peek() ?? ''] === undefined
      ? (this.#escapedCharacter() ?? this.#escape())
      : this.#escape()
  }

  #namedClass(): Accepts | undefined {
    const match = /^\[:([a-z]+):\]/.exec(this.#characters.slice(this.#at, this.#at + 12).join(''))
    const known = NAMED_CLASSES[match?.[1] ?? '']
    if (match === null || known === undefined) return undefined
    this.#at += match[0].length
    return (character) => known.test(character)
  }

  #peek(): string | undefined {
    return this.#characters[this.#at]
  }

  #next(): string {
    const character = this.#characters[this.#at++]
    if (character === undefined) throw this.#error('it ends too early')
    return character
  }

  #skip(character: string): boolean {
    if (this.#peek() !== character) return false
    this.#at++
    return true
  }

  #error(what: string): AccessLineError {
    return new AccessLineError(`invalid regular expression ${shown(this.#source)}: ${what}`)
  }
}

function only(character: string): Accepts {
  return (other) => other === character
}

function codePoint(character: string): number {
  return character.codePointAt(0) as number
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /^[\p{L}\p{N}_]$/u.test(character)
}
