/**
 * checkListening: what is wrong with the settings that say where clients are accepted, taken together. Called by
 * config.ts once all of [pooler] is read.
 */
import { isIPv6 } from 'node:net'
import { listenAddress } from './listen-address.ts'
import type { Report } from './read-section.ts'
import type { SettingsOf } from './settings.ts'
import { unixSocketPath } from './unix-socket-path.ts'

/** What sun_path of unix(7) holds besides its zero byte; the BSDs have four bytes less than Linux. */
const MaxPathBytes = process.platform === 'linux' ? 107 : 103
const HighestPort = 65_535

export function checkListening(pooler: SettingsOf<'pooler'>, report: Report): void {
  const { listen_addr, listen_port, unix_socket_dir, unix_socket_mode, unix_socket_group } = pooler
  const problem = (key: string, message: string): void => report(['pooler', key], message)
  checkHttp(pooler, problem)
  if (unix_socket_dir === undefined) {
    if (listen_addr.length === 0) {
      problem('listen_addr', 'expected an address, or a unix_socket_dir beside it: nobody could connect')
    }
    const noEffect = 'has no effect without unix_socket_dir; set that, or remove the line'
    if (unix_socket_mode !== undefined) problem('unix_socket_mode', noEffect)
    if (unix_socket_group !== undefined) problem('unix_socket_group', noEffect)
    return
  }
  if (listen_addr.length === 0 && listen_port === 0) {
    problem(
      'listen_port',
      'expected a port: it names the unix socket, and there is no address to find one on',
    )
  }
  const path = unixSocketPath(unix_socket_dir, listen_port === 0 ? HighestPort : listen_port)
  const bytes = Buffer.byteLength(path)
  if (bytes > MaxPathBytes) {
    problem(
      'unix_socket_dir',
      `the path of the socket would be ${bytes} bytes long, and this system takes at most ${MaxPathBytes}: ` +
        'choose a folder with a shorter path',
    )
  }
}

function checkHttp(
  { http_listen, metrics_max_pools }: SettingsOf<'pooler'>,
  problem: (key: string, message: string) => void,
): void {
  if (http_listen === undefined) {
    if (metrics_max_pools !== undefined)
      problem('metrics_max_pools', 'has no effect without http_listen; set that, or remove the line')
    return
  }
  const { host, port } = listenAddress(http_listen)
  if (port > HighestPort) problem('http_listen', `expected a port from 0 to ${HighestPort}`)
  if (http_listen.startsWith('[') && !isIPv6(host))
    problem('http_listen', `expected an IPv6 address in the brackets, not ${host}`)
}
