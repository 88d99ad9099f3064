import { isUtf8 } from 'node:buffer'
import saslprep from '@mongodb-js/saslprep'

/**
 * Prepares a password for SCRAM as PostgreSQL does, so that both derive the same keys from it. Stateless.
 * Source: RFC 4013; PostgreSQL documentation, "SASL Authentication": a password that cannot be prepared is
 * used as the bytes it has.
 */

/**
 * The code points of Unicode 3.2 that normalisation (NFKC) replaces and that are not prohibited, in
 * hexadecimal. RFC 3454 ties SASLprep to Unicode 3.2 for ever, so this never changes. PostgreSQL looks for
 * unassigned and prohibited characters before it normalises, the library afterwards: a newer character that
 * turns into older ones passes the library, but makes PostgreSQL keep the raw password.
 */
const REPLACEABLE = codePointPattern(`
  a0 a8 aa af b2-b5 b8-ba bc-be 132-133 13f-140 149 17f 1c4-1cc 1f1-1f3 2b0-2b8 2d8-2dd 2e0-2e4 343-344 374
  37a 37e 384-385 387 3d0-3d6 3f0-3f2 3f4-3f5 587 675-678 958-95f 9dc-9dd 9df a33 a36 a59-a5b a5e b5c-b5d
  e33 eb3 edc-edd f0c f43 f4d f52 f57 f5c f69 f73 f75-f79 f81 f93 f9d fa2 fa7 fac fb9 1e9a-1e9b 1f71 1f73
  1f75 1f77 1f79 1f7b 1f7d 1fbb 1fbd-1fc1 1fc9 1fcb 1fcd-1fcf 1fd3 1fdb 1fdd-1fdf 1fe3 1feb 1fed-1fef 1ff9
  1ffb 1ffd-1ffe 2000-200a 2011 2017 2024-2026 202f 2033-2034 2036-2037 203c 203e 2047-2049 2057 205f
  2070-2071 2074-208e 20a8 2100-2103 2105-2107 2109-2113 2115-2116 2119-211d 2120-2122 2124 2126 2128
  212a-212d 212f-2131 2133-2139 213d-2140 2145-2149 2153-217f 222c-222d 222f-2230 2329-232a 2460-24ea 2a0c
  2a74-2a76 2adc 2e9f 2ef3 2f00-2fd5 3000 3036 3038-303a 309b-309c 309f 30ff 3131-318e 3192-319f 3200-321c
  3220-3243 3251-327b 3280-32cb 32d0-32fe 3300-3376 337b-33dd 33e0-33fe f900-fa0d fa10 fa12 fa15-fa1e fa20
  fa22 fa25-fa26 fa2a-fa2d fa30-fa6a fb00-fb06 fb13-fb17 fb1d fb1f-fb36 fb38-fb3c fb3e fb40-fb41 fb43-fb44
  fb46-fbb1 fbd3-fd3d fd50-fd8f fd92-fdc7 fdf0-fdfc fe30-fe44 fe49-fe52 fe54-fe66 fe68-fe6b fe70-fe72 fe74
  fe76-fefc ff01-ffbe ffc2-ffc7 ffca-ffcf ffd2-ffd7 ffda-ffdc ffe0-ffe6 ffe8-ffee 1d15e-1d164 1d1bb-1d1c0
  1d400-1d454 1d456-1d49c 1d49e-1d49f 1d4a2 1d4a5-1d4a6 1d4a9-1d4ac 1d4ae-1d4b9 1d4bb 1d4bd-1d4c0
  1d4c2-1d4c3 1d4c5-1d505 1d507-1d50a 1d50d-1d514 1d516-1d51c 1d51e-1d539 1d53b-1d53e 1d540-1d544 1d546
  1d54a-1d550 1d552-1d6a3 1d6a8-1d7c9 1d7ce-1d7ff 2f800-2fa1d
`)

/** The bytes that go into the key derivation. */
export function preparePassword(password: string | Buffer): Buffer {
  const bytes = typeof password === 'string' ? Buffer.from(password) : password
  if (!isUtf8(bytes)) return bytes
  const text = bytes.toString()
  const ascii = text.length === bytes.length
  if (ascii || hasNewerReplaceable(text)) return bytes
  try {
    const prepared = saslprep(text)
    return prepared === '' ? bytes : Buffer.from(prepared)
  } catch {
    // Prohibited or unassigned characters, a mixture of writing directions, or nothing left after mapping.
    return bytes
  }
}

function hasNewerReplaceable(text: string): boolean {
  for (const character of text) {
    if (character.normalize('NFKC') !== character && !REPLACEABLE.test(character)) return true
  }
  return false
}

function codePointPattern(ranges: string): RegExp {
  return new RegExp(
    `[${ranges
      .trim()
      .replace(/[0-9a-f]+/g, '\\u{$&}')
      .replace(/\s+/g, '')}]`,
    'u',
  )
}
