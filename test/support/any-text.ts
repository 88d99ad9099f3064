import fc from 'fast-check'

/**
 * Any text: strings of any code points, half surrogate pairs among them. The unit "binary" of fast-check would do,
 * without the halves, but first makes a table of a million strings, which takes longer than the tests that draw them.
 */
export const anyText: fc.Arbitrary<string> = fc.string({
  unit: fc.integer({ min: 0, max: 0x10ffff }).map((codePoint) => String.fromCodePoint(codePoint)),
})
