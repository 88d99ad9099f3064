import type { LoadAddress, Workload } from '../load/workload.ts'
import type { TargetName } from '../result.ts'

/** Something that answers PostgreSQL's protocol and is measured. */
export interface Target {
  readonly name: TargetName
  readonly address: LoadAddress
  /** The process whose CPU time and memory count; undefined where no single one does (direct). */
  readonly pid: number | undefined
  /** Why this workload is not for it; undefined if it is. */
  refusal(workload: Workload): string | undefined
  stop(): Promise<void>
}
