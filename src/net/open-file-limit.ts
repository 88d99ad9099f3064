import { readFileSync } from 'node:fs'

/**
 * openFileLimit: how many descriptors this process may have, or undefined where the system does not say so
 * (outside Linux). Node.js raises its soft limit to the hard one when it starts, so this is the hard one, unless
 * somebody changed it since (prlimit).
 */
export function openFileLimit(): number | undefined {
  let limits: string
  try {
    limits = readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return undefined
  }
  const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}
