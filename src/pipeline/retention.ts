/**
 * Removes what every destination of a run has: whole segments, the oldest first, never the one that is written.
 *
 *  T1  A segment goes when the cursors that are on disk, and the copies before them, have settled all of it: rows as
 *      far back as open rows need, and uploads.
 *  T2  A destination of run.json that has no cursor yet keeps everything, and so does one whose data is the journal.
 *  T3  Readers that are in a removed segment read it to its end; the next one they meet tells what is between.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cursor, DestinationName } from '../core/types.ts'
import { local } from '../sinks/local/sink.ts'
import { segmentName } from './journal/format.ts'
import { listSegments, SegmentFile } from './journal/segment-file.ts'
import { cursorPath, previousPath, uploadsName } from './store/cursor.ts'
import { Damage, decodeCursor, type SavedCursor } from './store/cursor-format.ts'
import { type RunDestination, readRunFile } from './store/run-file.ts'

/**
 * @param folder the run's folder
 * @param below number of a segment: it and later ones stay
 * @returns bytes removed
 * @throws TraceletError ERR_RUN_UNKNOWN, ERR_JOURNAL_FORMAT; Error of the system
 */
export function removeDelivered(folder: string, below: number): number {
  const settled = settledEverywhere(folder)
  const numbers = listSegments(folder)
  let bytes = 0
  for (let at = 0; at + 1 < numbers.length && numbers[at]! < below; at++) {
    const next = firstSeqOf(folder, numbers[at + 1]!)
    if (next === undefined || next > settled) break
    const path = join(folder, segmentName(numbers[at]!))
    const { size } = statSync(path)
    rmSync(path)
    bytes += size
  }
  return bytes
}

/** Everything below is needed by nobody. */
function settledEverywhere(folder: string): number {
  const { destinations } = readRunFile(folder)
  if (destinations.length === 0) return 0
  return Math.min(...destinations.map((destination) => settledBy(folder, destination)))
}

function settledBy(folder: string, { name, kind, module, address }: RunDestination): number {
  if (module === undefined) return kind === local.kind ? 0 : settledAt(folder, name, address)
  // where a module's sink goes is known to it alone: all its cursors count
  const addresses = addressesOf(folder, name)
  return addresses.length === 0 ? 0 : Math.min(...addresses.map((one) => settledAt(folder, name, one)))
}

function settledAt(folder: string, name: DestinationName, address: string): number {
  const rows = readBoth(cursorPath(folder, name, address))
  if (rows === undefined) return 0
  const { elsewhere } = rows.settled
  if (elsewhere === 0) return rows.back
  const uploads = readBoth(cursorPath(folder, uploadsName(name), address))
  if (uploads === undefined) return 0
  const { recordsDelivered, recordsRejected, recordsCorrupt } = uploads.settled
  // one that has nothing left to do stands where its last record was
  const hasAll = recordsDelivered + recordsRejected + recordsCorrupt >= elsewhere
  return hasAll ? rows.back : Math.min(rows.back, uploads.seq)
}

function addressesOf(folder: string, name: DestinationName): string[] {
  const cursors = dirname(cursorPath(folder, name, ''))
  if (!existsSync(cursors)) return []
  const saved = readdirSync(cursors)
    .filter((file) => file.endsWith('.json'))
    .map((file) => readSaved(join(cursors, file)))
  return [...new Set(saved.flatMap((one) => (one?.destination === name ? [one.address] : [])))]
}

/** The one that is behind of a cursor and the copy before it, which counts when the cursor is damaged. */
function readBoth(path: string): Cursor | undefined {
  const present = readCursor(path)
  const previous = readCursor(previousPath(path))
  if (present === undefined || previous === undefined) return present
  return previous.back < present.back ? previous : present
}

function readCursor(path: string): Cursor | undefined {
  return readSaved(path)?.cursor
}

function readSaved(path: string): SavedCursor | undefined {
  let content: Buffer
  try {
    content = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const saved = decodeCursor(content, path)
  return saved instanceof Damage ? undefined : saved
}

function firstSeqOf(folder: string, number: number): number | undefined {
  const file = new SegmentFile(folder, number)
  try {
    const at = file.search(0, Infinity)
    return at < 0 ? undefined : file.header(at)!.firstSeq
  } finally {
    file.close()
  }
}
