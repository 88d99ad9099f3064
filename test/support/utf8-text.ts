import fc from 'fast-check'

/** Code points of which half a surrogate pair is none. */
const codePoint = fc.oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))

/** Any text of at least one code point that a file in UTF-8 can hold. See any-text.ts for why not `unit: "binary"`. */
export const utf8Text: fc.Arbitrary<string> = fc.string({
  unit: codePoint.map((code) => String.fromCodePoint(code)),
  minLength: 1,
  maxLength: 20,
})
