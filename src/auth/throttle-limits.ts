import type { Config } from '../config/config.ts'
import type { LoginThrottleLimits } from './login-throttle.ts'

/** What the configuration says of logins from one address and of wrong passwords. */
export function throttleLimits({ pooler }: Config): LoginThrottleLimits {
  return {
    maxPendingPerAddress: pooler.max_pending_logins_per_address,
    maxFailedPerAddress: pooler.max_failed_logins_per_address,
    failureDelayMs: pooler.auth_failure_delay,
  }
}
