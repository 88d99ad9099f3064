/**
 * nearestName: the known name that someone who wrote an unknown one probably meant. Used for the messages
 * about unknown keys and sections of a configuration.
 */

/**
 * The candidate that a few typing mistakes turn into `name`, or undefined. Upper case, dashes and
 * underscores count for nothing (`maxClientConn`, `max-client-conn`); up to five letters one mistake is
 * allowed, above that two.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const written = normalized(name)
  const allowed = written.length <= 5 ? 1 : 2
  let nearest: string | undefined
  let fewest = allowed + 1
  for (const candidate of candidates) {
    const known = normalized(candidate)
    // A hostile key may be very long: the quadratic part only ever sees strings of about the same length.
    if (Math.abs(known.length - written.length) >= fewest) continue
    const mistakes = typingMistakes(written, known)
    if (mistakes < fewest) {
      nearest = candidate
      fewest = mistakes
    }
  }
  return nearest
}

function normalized(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '')
}

/**
 * Damerau-Levenshtein distance in its restricted form: letters missing, added, replaced, or two neighbours
 * swapped, no part edited twice. Each row of the usual table needs only the two rows above it.
 */
function typingMistakes(a: string, b: string): number {
  let twoAbove: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let least = Math.min(
        at(above, column) + 1,
        at(current, column - 1) + 1,
        at(above, column - 1) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, at(twoAbove, column - 2) + 1)
      }
      current.push(least)
    }
    twoAbove = above
    above = current
  }
  return at(above, b.length)
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY
}
