/**
 * inFileOrder: what was found in configuration files, sorted as somebody reads them: those of one file by their lines,
 * the files as they come. `placeOf` says where each was found, as "file:line" or, for the whole file, "file".
 */
export function inFileOrder<Found>(found: readonly Found[], placeOf: (one: Found) => string): Found[] {
  const placed = found.map((one) => {
    const place = placeOf(one)
    const [, file = place, line = '0'] = /^(.*):(\d+)$/.exec(place) ?? []
    return { one, file, line: Number(line) }
  })
  const files = [...new Set(placed.map(({ file }) => file))]
  placed.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line)
  return placed.map(({ one }) => one)
}
