/**
 * Ends a run whose process died without saying so: `killed`, at the time of the last thing it logged. It is said in
 * the journal, as the run itself would have, so every destination hears of it with the next delivery.
 */
import { TraceletError } from '../../core/errors.ts'
import type { RunOutcome, WallMs } from '../../core/types.ts'
import { openJournal, openRecords } from '../journal/reader.ts'
import { listSegments } from '../journal/segment-file.ts'
import { readTail } from '../journal/tail.ts'
import { appendRecord } from './append-record.ts'
import { type Guard, takeGuard } from './guard.ts'
import { isCopyOfLive, isHeld } from './guard-look.ts'
import { readRunFile, writeRunFile } from './run-file.ts'

/**
 * 'closed': it was dead and is closed now. 'ended': it had ended already. 'alive': a process writes it, here or
 * elsewhere, or the folder is a copy of one that is being written. 'empty': nothing of it was ever journaled.
 */
export type DeadRunAnswer = 'closed' | 'ended' | 'alive' | 'empty'

/** The last frames of points to be tried: their payload may be damaged. */
const FRAMES_TRIED = 8

/**
 * Costs one short read for a run that has ended. Again, or beside another process that does the same, it is harmless.
 * @param folder the run's folder
 * @throws TraceletError ERR_JOURNAL_FORMAT for a newer format; ERR_JOURNAL_WRITE when the folder cannot be written
 */
export function closeDeadRun(folder: string): DeadRunAnswer {
  if (listSegments(folder).length === 0) return 'empty'
  const before = readTail(folder)
  if (before.state !== 'running') return 'ended'
  if (isCopyOfLive(folder, 'writer') || isHeld(folder, 'writer')) return 'alive'
  // a long journal takes a while, and a program that is started again just now must find the guard free
  let last = readLast(folder)
  const guard = takeIfDead(folder)
  if (guard === undefined) return 'alive'
  try {
    // only now is the journal nobody else's
    const { points, records } = readTail(folder)
    if (points !== before.points || records !== before.records) last = readLast(folder)
    if (last.state !== 'running') return 'ended'
    appendKilled(folder, last.time)
    return 'closed'
  } finally {
    guard.release()
  }
}

function takeIfDead(folder: string): Guard | undefined {
  try {
    return takeGuard(folder, 'writer')
  } catch (error) {
    if (error instanceof TraceletError && error.code === 'ERR_RUN_BUSY') return undefined
    throw error
  }
}

function appendKilled(folder: string, time: WallMs): void {
  const file = readRunFile(folder)
  appendRecord(folder, file.run.id, { kind: 'state', state: 'killed', time })
  writeRunFile(folder, { ...file, state: 'killed' })
}

/** The last state that the run said, and when it said anything last: not before that state, not after now. */
function readLast(folder: string): { readonly state: 'running' | RunOutcome; readonly time: WallMs } {
  let state: 'running' | RunOutcome = 'running'
  let startedAt = readRunFile(folder).openedAt
  let record = { seq: -1, time: startedAt }
  let frames: { readonly seq: number; readonly end: number }[] = []
  const reader = openRecords(folder, { live: false })
  try {
    for (let entry = reader.next(); entry; entry = reader.next()) {
      if (entry.kind === 'skipped') {
        frames.push({ seq: entry.seq, end: entry.seq + entry.points })
        if (frames.length > 2 * FRAMES_TRIED) frames = frames.slice(-FRAMES_TRIED)
      }
      if (entry.kind !== 'record') continue
      if (entry.record.kind === 'state') {
        state = entry.record.state
        startedAt = entry.record.time
      }
      if ('time' in entry.record) record = { seq: entry.seq, time: entry.record.time }
    }
  } finally {
    reader.close()
  }
  const points = frames.slice(-FRAMES_TRIED).filter(({ seq }) => seq > record.seq)
  const time = timeOfLastPoint(folder, points) ?? record.time
  return { state, time: Math.min(Math.max(time, startedAt), Date.now()) }
}

function timeOfLastPoint(
  folder: string,
  frames: readonly { readonly seq: number; readonly end: number }[],
): WallMs | undefined {
  for (const { end } of [...frames].reverse()) {
    const reader = openJournal(folder, { live: false, fromSeq: end - 1 })
    try {
      for (let entry = reader.next(); entry && entry.seq < end; entry = reader.next()) {
        if (entry.kind === 'points' && entry.points.length > 0) return entry.points.time.at(-1)!
      }
    } finally {
      reader.close()
    }
  }
  return undefined
}
