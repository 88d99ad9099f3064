/**
 * readConfigText: a configuration file -> its text. Called by the loaders of both dialects.
 */
import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { ConfigError } from './config-error.ts'

/** Throws a ConfigError with one problem where the file cannot be read or is not UTF-8. */
export async function readConfigText(path: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    throw problem(path, unreadable(error))
  }
  if (!isUtf8(bytes)) {
    const line = firstLineNotUtf8(bytes)
    throw problem(path, `line ${line}: expected text in UTF-8; save the file in that encoding`)
  }
  // The decoder also drops a byte order mark.
  return new TextDecoder().decode(bytes)
}

function unreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
  switch (code) {
    case 'ENOENT':
      return 'no such configuration file; check the path'
    case 'EISDIR':
      return 'expected a configuration file, found a directory'
    case 'EACCES':
      return 'this user may not read the configuration file; check its permissions and those of its folder'
    default:
      return `the configuration file cannot be read (${code}); check the path`
  }
}

function firstLineNotUtf8(bytes: Buffer): number {
  let line = 1
  let start = 0
  for (;;) {
    const newline = bytes.indexOf(0x0a, start)
    // A line feed is never a part of a longer UTF-8 character, so each line can be judged alone.
    if (newline === -1 || !isUtf8(bytes.subarray(start, newline))) return line
    start = newline + 1
    line++
  }
}

function problem(file: string, message: string): ConfigError {
  return new ConfigError([{ file, key: '', message }])
}
