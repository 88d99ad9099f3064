import { join } from 'node:path'
import type { AccessFiles } from '../../../src/auth/access-files.ts'

/** Files in memory, by path. */
export function filesOf(files: Readonly<Record<string, string>>): AccessFiles {
  return {
    read: (path) => files[path],
    list: (folder) => {
      const inside = Object.keys(files).filter((path) => join(path, '..') === folder)
      return inside.length === 0 ? undefined : inside.map((path) => path.slice(folder.length + 1))
    },
  }
}
