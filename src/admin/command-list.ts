import type { ActionCommand, ShowCommand } from './command.ts'
import { disable } from './commands/disable.ts'
import { enable } from './commands/enable.ts'
import { kill } from './commands/kill.ts'
import { killClient } from './commands/kill-client.ts'
import { pause } from './commands/pause.ts'
import { reconnect } from './commands/reconnect.ts'
import { reload } from './commands/reload.ts'
import { resume } from './commands/resume.ts'
import { showClients } from './commands/show-clients.ts'
import { showConfig } from './commands/show-config.ts'
import { showDatabases } from './commands/show-databases.ts'
import { showDnsHosts } from './commands/show-dns-hosts.ts'
import { showErrors } from './commands/show-errors.ts'
import { showFds } from './commands/show-fds.ts'
import { showLists } from './commands/show-lists.ts'
import { showMem } from './commands/show-mem.ts'
import { showDnsZones, showPeerPools, showPeers } from './commands/show-nothing.ts'
import { showPools } from './commands/show-pools.ts'
import { showPreparedStatements } from './commands/show-prepared-statements.ts'
import { showSavings } from './commands/show-savings.ts'
import { showServers } from './commands/show-servers.ts'
import { showActiveSockets, showSockets } from './commands/show-sockets.ts'
import { showState } from './commands/show-state.ts'
import { showStats, showStatsAverages, showStatsTotals, showTotals } from './commands/show-stats.ts'
import { showUsers } from './commands/show-users.ts'
import { showVersion } from './commands/show-version.ts'
import { showWaiters } from './commands/show-waiters.ts'
import { shutdown } from './commands/shutdown.ts'
import { suspend } from './commands/suspend.ts'
import { waitClose } from './commands/wait-close.ts'

/** The commands of the console, in the order of SHOW HELP. */
export const shows: readonly ShowCommand[] = [
  showConfig,
  showDatabases,
  showPools,
  showClients,
  showServers,
  showUsers,
  showVersion,
  showPeers,
  showPeerPools,
  showFds,
  showSockets,
  showActiveSockets,
  showLists,
  showMem,
  showState,
  showDnsHosts,
  showDnsZones,
  showStats,
  showStatsTotals,
  showStatsAverages,
  showTotals,
  showPreparedStatements,
  showSavings,
  showWaiters,
  showErrors,
]

export const actions: readonly ActionCommand[] = [
  reload,
  pause,
  resume,
  disable,
  enable,
  reconnect,
  kill,
  killClient,
  suspend,
  waitClose,
  shutdown,
]
