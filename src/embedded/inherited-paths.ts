import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { UnprivilegedUser } from './unprivileged-user.ts'

/**
 * Paths that a child process can use although it may not enter the folders above them. We open the file or
 * folder, the child inherits the descriptor and names it /proc/self/fd/N: following that link asks for
 * permissions of the file itself only (proc(5)). This is how PostgreSQL, running as an unprivileged user, works
 * on a data folder below /root or another folder of mode 0700.
 */
export class InheritedPaths {
  readonly #user: UnprivilegedUser | null
  readonly #handles: FileHandle[] = []

  constructor(user: UnprivilegedUser | null) {
    this.#user = user
  }

  /** The open descriptors, in the order in which the child must find them, from 3 on. */
  get descriptors(): number[] {
    return this.#handles.map((handle) => handle.fd)
  }

  /** Opens `path` and returns the name that the child knows it by. */
  async add(path: string): Promise<string> {
    // Without a change of user the child can go wherever we can, and only Linux has these links.
    if (this.#user === null || process.platform !== 'linux') return path
    this.#handles.push(await open(path, constants.O_RDONLY))
    return `/proc/self/fd/${this.#handles.length + 2}`
  }

  /** Closes our side; a child that was spawned keeps its own descriptors. */
  async close(): Promise<void> {
    await Promise.all(this.#handles.splice(0).map((handle) => handle.close()))
  }
}
