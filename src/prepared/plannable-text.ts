/** First words of statements that PostgreSQL plans. The rest are utility statements, which have no plan to keep. */
const PLANNED = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[^*/]*\*\/)*(select|insert|update|delete|merge|values|with)\b/i

/** Literals that mean the time of the Parse, for ever if that is kept; now() means that of its execution. */
const NAMES_A_TIME = /\b(?:today|tomorrow|yesterday|now(?!\s*\())\b/i

/**
 * True for a text that may be prepared in the place of an unnamed statement. It errs on the safe side: a
 * nested comment, a bracket in front, INTO anywhere in a query (SELECT INTO makes a table), set_config and
 * 'now' are refused. `text` is Latin-1, with or without what follows its NUL.
 */
export function isPlannable(text: string): boolean {
  const first = PLANNED.exec(text)?.[1]?.toLowerCase()
  if (first === undefined || /set_config/i.test(text) || NAMES_A_TIME.test(text)) return false
  return first === 'insert' || first === 'merge' || !/\binto\b/i.test(text)
}
