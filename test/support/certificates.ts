import { execFile, execFileSync } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unprivilegedUser } from '../../src/embedded/unprivileged-user.ts'

/**
 * CertificateAuthority: keys and certificates that a test makes for itself with the openssl command. Each is a
 * pair of PEM files in the authority's folder. Where the command is missing, `hasOpenssl` says so on the console
 * and the tests that need it do not run.
 */

/** Files of one certificate. */
export interface CertificateFiles {
  readonly key: string
  readonly certificate: string
}

export interface CertificateOptions {
  /** Names and addresses that it is for: subjectAltName entries such as `DNS:localhost`, `IP:127.0.0.1`. */
  readonly names?: readonly string[]
  /** From now; -1 for one that has expired. */
  readonly days?: number
  /** Further arguments for the key: EC on P-256 unless given. */
  readonly keyType?: readonly string[]
  /** Further arguments for the signature, such as `-sha384`. */
  readonly signature?: readonly string[]
}

const run = promisify(execFile)
const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']

/** False, with the reason on the console, when the machine lacks the openssl command. */
export function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that does not run must say why
    console.warn('openssl is not installed here: tests that need certificates do not run')
    return false
  }
}

export class CertificateAuthority {
  readonly folder: string
  /** PEM file of the authority's own certificate. */
  readonly certificate: string
  readonly #key: string

  private constructor(folder: string) {
    this.folder = folder
    this.certificate = join(folder, 'authority.crt')
    this.#key = join(folder, 'authority.key')
  }

  /** A new authority in `folder`, which is made if it does not exist. */
  static async create(folder: string, name = 'test authority'): Promise<CertificateAuthority> {
    await mkdir(folder, { recursive: true })
    await chmod(folder, 0o711)
    const authority = new CertificateAuthority(folder)
    const files = ['-keyout', authority.#key, '-out', authority.certificate]
    await run('openssl', [
      'req',
      '-x509',
      ...EC_KEY,
      '-nodes',
      ...files,
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    ])
    return authority
  }

  /** A key and a certificate for `commonName`, signed by this authority. */
  async issue(commonName: string, options: CertificateOptions = {}): Promise<CertificateFiles> {
    const { names = [], days = 1, keyType = EC_KEY, signature = [] } = options
    const base = join(
      this.folder,
      `${commonName.replaceAll(/\W/g, '-')}-${Math.random().toString(36).slice(2)}`,
    )
    const key = `${base}.key`
    const certificate = `${base}.crt`
    const request = ['-keyout', key, '-out', `${base}.csr`, '-subj', `/CN=${commonName}`]
    await run('openssl', ['req', '-new', ...keyType, '-nodes', ...request])
    await writeFile(`${base}.ext`, names.length === 0 ? '' : `subjectAltName=${names.join(',')}\n`)
    await run('openssl', [
      ...[
        'x509',
        '-req',
        '-in',
        `${base}.csr`,
        '-CA',
        this.certificate,
        '-CAkey',
        this.#key,
        '-CAcreateserial',
      ],
      ...['-out', certificate, '-days', String(days), '-extfile', `${base}.ext`, ...signature],
    ])
    return { key, certificate }
  }

  /**
   * Settings of a PostgreSQL that shows this certificate. The server insists on a key that belongs to its own
   * account and that nobody else can read.
   */
  async postgresSettings({ key, certificate }: CertificateFiles): Promise<Record<string, string>> {
    const user = await unprivilegedUser()
    const copy = `${key}.postgres`
    await copyFile(key, copy)
    await chmod(copy, 0o600)
    if (user !== null) await chown(copy, user.uid, user.gid)
    return { ssl: 'on', ssl_cert_file: certificate, ssl_key_file: copy, ssl_ca_file: this.certificate }
  }
}
