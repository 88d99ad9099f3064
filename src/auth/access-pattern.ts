import { AccessLineError, shown } from './access-file-problems.ts'
import { type Node, PatternParser } from './access-pattern-parser.ts'

/**
 * AccessPattern: a regular expression of pg_hba.conf or pg_ident.conf. What it is matched with comes from
 * whoever connects, and an engine that backtracks can be kept busy for hours by a well-chosen name; this one
 * visits each instruction at most once per character. Made while the files are parsed. Immutable.
 */

/** Repetitions are written out, so that a few characters can ask for a huge program. */
const MAX_INSTRUCTIONS = 5000
/** Names have 63 bytes at most, and common names of certificates 64 characters. */
const MAX_CHARACTERS = 256

type Instruction =
  | { readonly op: 'character'; readonly accepts: (character: string) => boolean }
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'group'; readonly end: boolean }
  | { readonly op: 'condition'; readonly holds: (text: readonly string[], at: number) => boolean }
  | { readonly op: 'match' }

/** A place in the program and in the text, and where the first group began and ended on the way there. */
interface Thread {
  readonly pc: number
  readonly at: number
  readonly from: number
  readonly to: number
}

/** `group` is what the first parenthesis matched; undefined when it did not take part. */
export interface PatternMatch {
  readonly group: string | undefined
}

export class AccessPattern {
  readonly #program: Instruction[] = []
  readonly hasGroup: boolean
  /**
   * What the first group matches may depend on which alternative is taken: PostgreSQL takes the longest one, this
   * the first that fits.
   */
  readonly groupIsAmbiguous: boolean

  /** Throws AccessLineError when `source`, the text behind the slash, is malformed or not supported. */
  constructor(source: string) {
    const parser = new PatternParser(source)
    this.#emit(parser.parse(), source)
    this.#push({ op: 'match' }, source)
    this.hasGroup = parser.groups > 0
    this.groupIsAmbiguous = parser.groupFollowsChoice
  }

  /** Where in `text` it matches first, as PostgreSQL anywhere unless ^ and $ say otherwise. */
  match(text: string): PatternMatch | undefined {
    const characters = Array.from(text)
    if (characters.length > MAX_CHARACTERS) return undefined
    const visited = new Uint8Array(this.#program.length * (characters.length + 1))
    for (let start = 0; start <= characters.length; start++) {
      const match = this.#matchAt(characters, start, visited)
      if (match !== undefined) return match
    }
    return undefined
  }

  #matchAt(text: readonly string[], start: number, visited: Uint8Array): PatternMatch | undefined {
    const threads: Thread[] = [{ pc: 0, at: start, from: -1, to: -1 }]
    for (let thread = threads.pop(); thread !== undefined; thread = threads.pop()) {
      const { pc, at, from, to } = thread
      // Who was here before failed or is still on the stack: the way from here on is the same.
      const visit = pc * (text.length + 1) + at
      if (visited[visit] === 1) continue
      visited[visit] = 1
      const instruction = this.#program[pc] as Instruction
      switch (instruction.op) {
        case 'match':
          return { group: to < 0 ? undefined : text.slice(from, to).join('') }
        case 'character':
          if (at < text.length && instruction.accepts(text[at] as string)) {
            threads.push({ pc: pc + 1, at: at + 1, from, to })
          }
          break
        case 'condition':
          if (instruction.holds(text, at)) threads.push({ pc: pc + 1, at, from, to })
          break
        case 'group':
          threads.push(instruction.end ? { pc: pc + 1, at, from, to: at } : { pc: pc + 1, at, from: at, to })
          break
        case 'split':
          // Pushed last, popped first: the preferred way goes on before the other is tried.
          threads.push({ pc: instruction.second, at, from, to }, { pc: instruction.first, at, from, to })
          break
      }
    }
    return undefined
  }

  #emit(node: Node, source: string): void {
    switch (node.kind) {
      case 'character':
        this.#push({ op: 'character', accepts: node.accepts }, source)
        break
      case 'condition':
        this.#push({ op: 'condition', holds: node.holds }, source)
        break
      case 'sequence':
        for (const item of node.items) this.#emit(item, source)
        break
      case 'group':
        this.#push({ op: 'group', end: false }, source)
        this.#emit(node.node, source)
        this.#push({ op: 'group', end: true }, source)
        break
      case 'choice':
        this.#emitChoice(node.branches, source)
        break
      case 'repeat':
        this.#emitRepeat(node, source)
        break
    }
  }

  /** split(branch, next); branch; jump to the end; next ... */
  #emitChoice(branches: readonly Node[], source: string): void {
    const jumps: { first: number; second: number }[] = []
    for (const [index, branch] of branches.entries()) {
      if (index === branches.length - 1) {
        this.#emit(branch, source)
        break
      }
      const split = this.#split(source)
      this.#emit(branch, source)
      jumps.push(this.#split(source))
      split.second = this.#program.length
    }
    for (const jump of jumps) jump.first = jump.second = this.#program.length
  }

  #emitRepeat({ node, min, max, greedy }: Node & { kind: 'repeat' }, source: string): void {
    for (let count = 0; count < min; count++) this.#emit(node, source)
    const endless = max === Number.POSITIVE_INFINITY
    const splits: { first: number; second: number }[] = []
    for (let count = min; endless ? count === min : count < max; count++) {
      const start = this.#program.length
      const split = this.#split(source)
      splits.push(split)
      this.#emit(node, source)
      if (!endless) continue
      const back = this.#split(source)
      back.first = back.second = start
    }
    for (const split of splits) {
      const end = this.#program.length
      if (greedy) split.second = end
      else [split.first, split.second] = [end, split.first]
    }
  }

  /** A split whose preferred way is the next instruction; the caller sets the other one. */
  #split(source: string): { first: number; second: number } {
    const next = this.#program.length + 1
    const split = { op: 'split' as const, first: next, second: next }
    this.#push(split, source)
    return split
  }

  #push(instruction: Instruction, source: string): void {
    this.#program.push(instruction)
    if (this.#program.length <= MAX_INSTRUCTIONS) return
    throw new AccessLineError(`the regular expression ${shown(source)} is too large: shorten its repetitions`)
  }
}
