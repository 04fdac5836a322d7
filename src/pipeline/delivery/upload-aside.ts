/** When a record that the backend fails at makes room for those that come after it. */
import type { WriteResult } from '../../core/types.ts'
import type { UploadJob } from './upload-job.ts'

const FAULTS = 8
const AFTER_MS = 300_000
const ASIDE_MS = 600_000
/** A backend that cuts connections may be down altogether: what it fails at then is not to come late for it. */
const UNREACHED_MS = 120_000
/** At the end of the run each is to have its try before the deadline. */
const FAULTS_AT_END = 3
const AT_END_MS = 30_000

export interface Aside {
  readonly forMs: number
  /** An outage is told of anyway, and at the end there is no later. */
  readonly isTold: boolean
}

/** Counts the fault; undefined while the record is to be tried again first. */
export function asideAfter(
  job: UploadJob,
  { code = 'ERR_UNREACHABLE', unsent }: Extract<WriteResult, { status: 'retry' }>,
  isEnding: boolean,
  now: number,
): Aside | undefined {
  // these say nothing of what was to be sent
  if (unsent || code === 'ERR_RATE_LIMITED') return undefined
  if (job.faults++ === 0) job.faultySince = now
  if (isEnding) return job.faults < FAULTS_AT_END ? undefined : { forMs: AT_END_MS, isTold: false }
  if (job.faults < FAULTS || now - job.faultySince < AFTER_MS) return undefined
  const isUnreached = code === 'ERR_UNREACHABLE'
  return { forMs: isUnreached ? UNREACHED_MS : ASIDE_MS, isTold: !isUnreached }
}
