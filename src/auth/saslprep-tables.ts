/**
 * The code points that SASLprep treats alike, in hexadecimal, as patterns for one character. RFC 3454 ties it
 * to Unicode 3.2 for ever, so they never change. Used by saslprep.ts alone, for what its library cannot say of
 * a character that normalisation replaces.
 */

/** Characters that normalisation (NFKC) replaces, that exist in Unicode 3.2 and are not prohibited. */
export const REPLACEABLE = codePointPattern(`
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

/** RFC 3454 table B.1 without the zero width space, of which RFC 4013 makes a space. */
export const DROPPED = codePointPattern('ad 34f 1806 180b-180d 200c-200d 2060 fe00-fe0f feff')

/**
 * RFC 3454 table D.1, letters written from right to left. Ranges go on over code points that SASLprep refuses
 * or drops; the same in the next table.
 */
export const RIGHT_TO_LEFT = codePointPattern(`
  5be 5c0 5c3 5d0-5f4 61b-64a 66d-66f 671-6d5 6e5-6e6 6fa-710 712-72c 780-7a5 7b1 fb1d fb1f-fb28 fb2a-fd3d
  fd50-fdfc fe70-fefc
`)

/** RFC 3454 table D.2, letters written from left to right. */
export const LEFT_TO_RIGHT = codePointPattern(`
  41-5a 61-7a aa b5 ba c0-d6 d8-f6 f8-2b8 2bb-2c1 2d0-2d1 2e0-2e4 2ee 37a 386 388-3f5 400-482 48a-589
  903-939 93d-940 949-94c 950 958-961 964-970 982-9b9 9be-9c0 9c7-9cc 9d7-9e1 9e6-9f1 9f4-9fa a05-a39
  a3e-a40 a59-a6f a72-a74 a83-ab9 abd-ac0 ac9-acc ad0-aef b02-b39 b3d-b3e b40 b47-b4c b57-b70 b83-bbf
  bc1-bcc bd7-c39 c41-c44 c60-cbe cc0-cc4 cc7-ccb cd5-d40 d46-d4c d57-dc6 dcf-dd1 dd8-e30 e32-e33 e40-e46
  e4f-eb0 eb2-eb3 ebd-ec6 ed0-f17 f1a-f34 f36 f38 f3e-f6a f7f f85 f88-f8b fbe-fc5 fc7-102c 1031 1038
  1040-1057 10a0-169a 16a0-1711 1720-1731 1735-1751 1760-1770 1780-17b6 17be-17c5 17c7-17c8 17d4-17da
  17dc-17e9 1810-18a8 1e00-1fbc 1fbe 1fc2-1fcc 1fd0-1fdb 1fe0-1fec 1ff2-1ffc 2071 207f 2102 2107 210a-2113
  2115 2119-211d 2124 2126 2128 212a-212d 212f-2131 2133-2139 213d-213f 2145-2149 2160-2183 2336-237a 2395
  249c-24e9 3005-3007 3021-3029 3031-3035 3038-303c 3041-3096 309d-309f 30a1-30fa 30fc-3243 3260-32b0
  32c0-a48c ac00-fb17 ff21-ff3a ff41-ff5a ff66-ffdc 10300-1d166 1d16a-1d172 1d183-1d184 1d18c-1d1a9
  1d1ae-1d7c9 20000-2fa1d
`)

function codePointPattern(ranges: string): RegExp {
  const escaped = ranges.trim().replace(/[0-9a-f]+/g, '\\u{$&}')
  return new RegExp(`^[${escaped.replace(/\s+/g, '')}]$`, 'u')
}
