/** What there is to deliver of a run to a place that it does not know of: all of it. Its folder is only read. */
import { createCounters, RUN, runCounters } from '../../core/counters.ts'
import type { RunInfo } from '../../core/types.ts'
import { scanJournal } from '../journal/scan.ts'
import { readTail } from '../journal/tail.ts'
import type { DestinationSpec } from '../messages.ts'
import { isCopyOfLive, isHeld } from '../store/guard-look.ts'
import type { SyncPlan } from './sync-plan.ts'

export interface ExportPlan extends SyncPlan {
  /** A process writes the run: what was journaled by now is delivered. */
  readonly isLive: boolean
  /** Its process has died without a word, so the journal has no end of it. */
  readonly isUnended: boolean
}

/** @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote the journal */
export function planExport(run: RunInfo, spec: DestinationSpec): ExportPlan {
  const { folder } = run
  const { state } = readTail(folder)
  const isLive = isHeld(folder, 'writer') || isCopyOfLive(folder, 'writer')
  const { seq, points } = scanJournal(folder, 0, run.id)
  const counters = createCounters(1)
  const words = runCounters(counters)
  words[RUN.pointsBefore] = points
  words[RUN.recordsBefore] = seq - points
  words[RUN.seq] = seq
  return {
    ...{ run, counters, specs: [spec], owing: [spec], points, records: seq - points },
    ...{ inJournal: new Set(), settled: new Map(), urls: new Map(), hasDied: false },
    isLive,
    isUnended: state === 'running' && !isLive,
  }
}
