/** Follows a run's journal, whichever process writes it, until the run has ended. */
import { existsSync } from 'node:fs'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { JournalEntry, RunOutcome, Series, SeriesId } from '../../core/types.ts'
import { openJournal } from '../../pipeline/journal/reader.ts'
import { scanJournal } from '../../pipeline/journal/scan.ts'
import { readTail } from '../../pipeline/journal/tail.ts'
import { isHeld } from '../../pipeline/store/guard-look.ts'

/** The journal grows every 20 ms at most; nobody reads a line faster than this. */
const POLL_MS = 100
/** How often a quiet journal's writer is looked for. */
const GUARD_LOOK_MS = 500
const ENTRIES_AT_ONCE = 16

export interface FollowOptions {
  readonly fromStart: boolean
  readonly onEntry: (entry: JournalEntry, describe: (id: SeriesId) => Series) => void
}

/**
 * @returns how the run ended; 'died' when its process is gone and has said nothing
 * @throws TraceletError ERR_JOURNAL_FORMAT
 */
export async function followRun(
  folder: string,
  { fromStart, onEntry }: FollowOptions,
): Promise<RunOutcome | 'died'> {
  const fromSeq = fromStart ? 0 : scanJournal(folder, 0).seq
  let { state } = readTail(folder)
  const take = (entry: JournalEntry) => {
    if (entry.kind === 'record' && entry.record.kind === 'state') state = entry.record.state
    onEntry(entry, (id) => reader.series(id))
  }
  const reader = openJournal(folder, { live: true, fromSeq })
  try {
    let lookedAt = -Infinity
    for (;;) {
      await readOn(reader, take)
      const now = performance.now()
      if (state !== 'running' || now - lookedAt >= GUARD_LOOK_MS) {
        lookedAt = now
        // A finished run lets go of its guard when its journal is closed: what came between is still read.
        if (!isHeld(folder, 'writer')) break
      }
      await sleep(POLL_MS)
    }
  } finally {
    reader.close()
  }
  // pruned while it was followed
  if (!existsSync(folder)) return state === 'running' ? 'died' : state
  // At rest, what cannot be read at the end is passed over instead of waited for.
  const rest = openJournal(folder, { live: false, fromSeq: reader.seq })
  try {
    await readOn(rest, (entry) => {
      if (entry.kind === 'record' && entry.record.kind === 'state') state = entry.record.state
      onEntry(entry, (id) => rest.series(id))
    })
  } finally {
    rest.close()
  }
  return state === 'running' ? 'died' : state
}

/** Gives way to other events at times: a reader that has closed the pipe is heard then. */
async function readOn(
  reader: ReturnType<typeof openJournal>,
  take: (entry: JournalEntry) => void,
): Promise<void> {
  let read = 0
  for (let entry = reader.next(); entry; entry = reader.next()) {
    take(entry)
    if (++read % ENTRIES_AT_ONCE === 0) await nextTurn()
  }
}
