import { chmod, chown, lstat, mkdtemp, rename, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { PoolerError, SqlState } from '../errors.ts'

/**
 * UnixSocketFile: the file of a unix socket that is listened on. The socket is bound in a folder that nobody
 * else can enter, gets its group and permissions there, and is then moved to its place: never, not for a
 * moment, may connect who shall not. It owns that folder and, until remove(), the file. Used by the transports.
 */
export class UnixSocketFile {
  /** Where clients find it. */
  readonly path: string
  /** Where to bind it. */
  readonly bindPath: string
  /** Which file it is, so that another pooler's in its place is left alone. */
  #inode: bigint | null = null

  private constructor(path: string, bindPath: string) {
    this.path = path
    this.bindPath = bindPath
  }

  /** Rejects with PoolerError F0000 where somebody listens there already, or nothing can be made there. */
  static async prepare(path: string): Promise<UnixSocketFile> {
    await refuseWhatIsInUse(path)
    const folder = dirname(path)
    try {
      // Shorter than the socket's own name, as its path may not be long. No join(): it would drop the dot.
      return new UnixSocketFile(path, join(await mkdtemp(`${folder}/.`), 's'))
    } catch (error) {
      throw misconfigured(`the unix socket ${path} cannot be made: ${reasonOf(error, folder)}`, error)
    }
  }

  /** Moves the bound socket to its place, over one that an earlier process left behind. */
  async publish(mode: number, groupId: number | undefined): Promise<void> {
    try {
      if (groupId !== undefined) await chown(this.bindPath, -1, groupId)
      await chmod(this.bindPath, mode)
      this.#inode = (await lstat(this.bindPath, { bigint: true })).ino
      await rename(this.bindPath, this.path)
    } catch (error) {
      const notAMember = codeOf(error) === 'EPERM' && groupId !== undefined
      const reason = notAMember
        ? `this user may not give it to group ${groupId}: it must be a member of unix_socket_group`
        : reasonOf(error, this.path)
      throw misconfigured(`the unix socket ${this.path} cannot be made: ${reason}`, error)
    } finally {
      await this.#removeFolder()
    }
  }

  /** Removes the file, unless it is no longer the one that was made, and what publish() would have moved. */
  async remove(): Promise<void> {
    await this.#removeFolder()
    if (this.#inode === null) return
    const found = await lstat(this.path, { bigint: true }).catch(() => null)
    if (found?.ino === this.#inode) await rm(this.path, { force: true })
    this.#inode = null
  }

  async #removeFolder(): Promise<void> {
    await rm(dirname(this.bindPath), { recursive: true, force: true })
  }
}

async function refuseWhatIsInUse(path: string): Promise<void> {
  const file = await lstat(path).catch(() => null)
  if (file === null) return
  if (!file.isSocket()) {
    throw misconfigured(`${path} is in the way of the unix socket, and is none itself: remove it`)
  }
  const code = await connectError(path)
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return
  if (code === 'EACCES' || code === 'EPERM') {
    throw misconfigured(
      `another user's program may be listening on the unix socket ${path}: stop it, or remove the file if ` +
        'there is none',
    )
  }
  throw misconfigured(
    `another program listens on the unix socket ${path}: choose another unix_socket_dir or listen_port, or ` +
      'stop that program',
  )
}

/** Why nobody answers there, as the system's code; undefined where somebody does. */
function connectError(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(undefined)
    })
    socket.once('error', (error) => resolve(codeOf(error)))
  })
}

function reasonOf(error: unknown, where: string): string {
  switch (codeOf(error)) {
    case 'ENOENT':
      return `there is no folder ${where}; create it, or choose another unix_socket_dir`
    case 'ENOTDIR':
      return `${where} is no folder; choose another unix_socket_dir`
    case 'EACCES':
    case 'EROFS':
      return `this user may not write to ${where}`
    default:
      return error instanceof Error ? error.message : String(error)
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

function misconfigured(message: string, cause?: unknown): PoolerError {
  return new PoolerError(SqlState.ConfigurationError, message, { cause })
}
