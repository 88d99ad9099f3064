import { PoolerError, SqlState } from '../errors.ts'

/**
 * The `options` startup parameter: command-line switches for the session, of which those that set
 * parameters are understood. Source: PostgreSQL documentation, "Message Formats", StartupMessage: words are
 * separated by white space, a backslash takes the next character as it is; `-c name=value`, `--name=value`.
 */
export function parseStartupOptions(options: string): Map<string, string> {
  const parameters = new Map<string, string>()
  const words = splitWords(options)
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string
    let assignment: string | undefined
    if (word === '-c') {
      i += 1
      assignment = words[i]
    } else if (word.startsWith('-c') || word.startsWith('--')) {
      assignment = word.slice(2)
    } else {
      throw new PoolerError(
        SqlState.FeatureNotSupported,
        `unsupported switch "${word}" in startup parameter "options": only -c name=value and --name=value are allowed`,
      )
    }
    const equals = assignment === undefined ? -1 : assignment.indexOf('=')
    if (assignment === undefined || equals < 1) {
      throw new PoolerError(
        '42601',
        `${word.startsWith('--') ? word : `-c ${assignment ?? ''}`} requires a value`,
      )
    }
    const name = assignment.slice(0, equals).replaceAll('-', '_')
    parameters.set(name.toLowerCase(), assignment.slice(equals + 1))
  }
  return parameters
}

function splitWords(options: string): string[] {
  const words: string[] = []
  let word: string | null = null
  for (let i = 0; i < options.length; i++) {
    const character = options[i] as string
    if (/\s/.test(character)) {
      if (word !== null) words.push(word)
      word = null
    } else if (character === '\\' && i + 1 < options.length) {
      i += 1
      word = (word ?? '') + options[i]
    } else if (character !== '\\') {
      word = (word ?? '') + character
    }
  }
  if (word !== null) words.push(word)
  return words
}
