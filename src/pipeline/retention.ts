/**
 * Removes what every destination of a run has: whole segments, the oldest first, never the one that is written.
 *
 *  T1  A segment goes when the cursors that are on disk, and the copies before them, have settled all of it: rows as
 *      far back as open rows need, and uploads.
 *  T2  A destination of run.json that has no cursor yet keeps everything, and so does one whose data is the journal.
 *  T3  Of a run at rest what it last said of its state stays.
 *  T4  A cursor counts when it is safe from power loss, and a segment only for what it says it is.
 *  T5  Readers that are in a removed segment read it to its end; the next one they meet tells what is between.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cursor, DestinationName, RunInfo, WallMs } from '../core/types.ts'
import { local } from '../sinks/local/sink.ts'
import { findStart, isInPlace } from './journal/arrange.ts'
import { FRAME, segmentName } from './journal/format.ts'
import { decodeRecord, decodeSegment } from './journal/records.ts'
import { frameAfter } from './journal/scan.ts'
import { listSegments, SegmentFile, unlessRemoved } from './journal/segment-file.ts'
import { cursorFiles, cursorPath, previousPath, readSavedCursor, uploadsName } from './store/cursor.ts'
import { type RunDestination, readRunFile, runInfo } from './store/run-file.ts'
import { syncFolder } from './store/sync-folder.ts'

/** Instead of a segment's number: nobody writes the run. */
export const WHOLE_RUN: number = Number.MAX_SAFE_INTEGER

/**
 * @param folder the run's folder
 * @param below number of a segment: it and later ones stay
 * @returns bytes removed
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT; Error of the system
 */
export function removeDelivered(folder: string, below: number): number {
  const numbers = listSegments(folder)
  if (numbers.length < 2 || numbers[0]! >= below) return 0
  const file = readRunFile(folder)
  const run = runInfo(folder, file)
  let count = countSettled(run, numbers, settledEverywhere(run, file.destinations))
  // while the run is written its state is 'running', which is what is assumed where nothing says it
  if (below === WHOLE_RUN && count > 0)
    count = Math.min(
      count,
      numbers.findLastIndex((number) => saysState(folder, number)),
    )
  if (count <= 0) return 0
  syncCursors(folder)
  let bytes = 0
  for (const number of numbers.slice(0, count)) {
    const path = join(folder, segmentName(number))
    if (number >= below || !isInPlace({ number, path })) break
    const { size } = statSync(path)
    rmSync(path)
    bytes += size
  }
  return bytes
}

/**
 * The same for a run at rest, if it was last started with `retention: 'delivered'`. Whoever starts it meanwhile goes
 * on from its last segment, which stays.
 * @throws as `removeDelivered`
 */
export function applyRetention(folder: string): void {
  if (readRunFile(folder).retention === 'delivered') removeDelivered(folder, WHOLE_RUN)
}

/** Those before the last that begins at or below the number; one whose beginning is damaged says nothing. */
function countSettled(run: RunInfo, numbers: readonly number[], settled: number): number {
  let count = 0
  for (let at = 1; at < numbers.length; at++) {
    const first = firstSeqOf(run, numbers[at]!)
    if (first === undefined) continue
    if (first > settled) break
    count = at
  }
  return count
}

/** Whether it tells what became of the run, which else would be taken for one whose process died. */
function saysState(folder: string, number: number): boolean {
  const file = new SegmentFile(folder, number)
  try {
    for (let at = findStart(file); at >= 0; at = frameAfter(file, at, Infinity)) {
      const header = file.header(at)!
      if (header.type !== FRAME.record) continue
      const payload = file.payload(at, header)
      if (typeof payload !== 'string' && decodeRecord(payload)?.kind === 'state') return true
    }
    return false
  } finally {
    file.close()
  }
}

/** Everything below is needed by nobody. */
function settledEverywhere(run: RunInfo, destinations: readonly RunDestination[]): number {
  if (destinations.length === 0) return 0
  return Math.min(...destinations.map((destination) => settledBy(run, destination)))
}

function settledBy(run: RunInfo, { name, kind, module, address, usedAt }: RunDestination): number {
  if (module === undefined) return kind === local.kind ? 0 : settledAt(run, name, address)
  // Where a module's sink goes is known to it alone: all its cursors count, once the present one must be among them.
  const { addresses, savedAt } = cursorsOf(run, name)
  if (addresses.length === 0 || savedAt < usedAt) return 0
  return Math.min(...addresses.map((one) => settledAt(run, name, one)))
}

function settledAt(run: RunInfo, name: DestinationName, address: string): number {
  const rows = readBoth(run, name, address)
  if (rows === undefined) return 0
  const { elsewhere } = rows.settled
  if (elsewhere === 0) return rows.back
  const uploads = readBoth(run, uploadsName(name), address)
  if (uploads === undefined) return 0
  const { recordsDelivered, recordsRejected, recordsCorrupt } = uploads.settled
  // one that has nothing left to do stands where its last record was
  const hasAll = recordsDelivered + recordsRejected + recordsCorrupt >= elsewhere
  return hasAll ? rows.back : Math.min(rows.back, uploads.seq)
}

/** The addresses that a name has had, and when one of their cursors was saved last. */
function cursorsOf(
  { folder, nonce }: RunInfo,
  name: DestinationName,
): { addresses: string[]; savedAt: WallMs } {
  const addresses = new Set<string>()
  let savedAt = 0
  for (const path of cursorFiles(folder)) {
    const saved = readSavedCursor(path, nonce)
    if (saved?.destination !== name) continue
    addresses.add(saved.address)
    savedAt = Math.max(savedAt, statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
  }
  return { addresses: [...addresses], savedAt }
}

/**
 * Cursors are not synced when they are saved: after a power cut an older one would be found, which needs what is
 * removed now.
 */
function syncCursors(folder: string): void {
  for (const path of cursorFiles(folder)) {
    // there is none while its owner is just replacing it
    const fd = unlessRemoved(() => openSync(path, 'r+'))
    if (fd === undefined) continue
    try {
      fdatasyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }
  syncFolder(dirname(cursorPath(folder, '', '')))
}

/** The one that is behind of a cursor and the copy before it, which counts when the cursor is damaged. */
function readBoth({ folder, nonce }: RunInfo, name: DestinationName, address: string): Cursor | undefined {
  const path = cursorPath(folder, name, address)
  const present = readSavedCursor(path, nonce)?.cursor
  const previous = readSavedCursor(previousPath(path), nonce)?.cursor
  if (present === undefined || previous === undefined) return present
  return previous.back < present.back ? previous : present
}

/** Where a segment says that it begins: a frame that strayed into it must not be taken for its beginning. */
function firstSeqOf({ folder, id }: RunInfo, number: number): number | undefined {
  const file = new SegmentFile(folder, number)
  try {
    const at = findStart(file)
    const header = at < 0 ? undefined : file.header(at)
    if (header?.type !== FRAME.segment) return undefined
    const payload = file.payload(at, header)
    const start = typeof payload === 'string' ? undefined : decodeSegment(payload)
    return start?.number === number && start.runId === id ? header.firstSeq : undefined
  } finally {
    file.close()
  }
}
