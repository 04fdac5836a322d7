/** Finds the records to upload in a journal, and counts what lies between them: the rows' delivery settles that. */
import type { Cursor, RunRecord } from '../../core/types.ts'
import type { RecordsEntry, RecordsReader } from '../journal/reader.ts'

const MAX_ENTRIES_PER_CALL = 128

export interface FoundRecord {
  readonly seq: number
  readonly record: RunRecord
}

/** Whether a record is to be uploaded: rows and uploads must give the same answer. */
export type IsUpload = (seq: number, record: RunRecord) => boolean

export function recordToUpload(entry: RecordsEntry, isUpload: IsUpload): FoundRecord | undefined {
  if (entry.kind !== 'record' || entry.record.kind === 'unknown') return undefined
  const { seq, record } = entry
  return isUpload(seq, record) ? { seq, record } : undefined
}

export class UploadFeed {
  /** Whether the last `next` read all that is written. */
  isAtEnd = false
  /** Everything below is passed or was handed out. */
  seq: number
  /** How many of the sequence numbers below `seq` are points. */
  points: number
  readonly #reader: RecordsReader
  readonly #isUpload: IsUpload
  readonly #onPassed: (count: number) => void

  /**
   * @param onPassed told how many points and records are not ours
   */
  constructor(
    reader: RecordsReader,
    isUpload: IsUpload,
    from: Pick<Cursor, 'seq' | 'points'>,
    onPassed: (count: number) => void,
  ) {
    this.#reader = reader
    this.#isUpload = isUpload
    this.#onPassed = onPassed
    this.seq = from.seq
    this.points = from.points ?? 0
  }

  /** The next record to upload; undefined when the journal has no more or the turn has been long enough. */
  next(): FoundRecord | undefined {
    this.isAtEnd = false
    let passed = 0
    let found: FoundRecord | undefined
    for (let entries = 0; found === undefined && entries < MAX_ENTRIES_PER_CALL; entries++) {
      const entry = this.#reader.next()
      if (entry === undefined) {
        this.isAtEnd = true
        break
      }
      const [points, records] = this.#countsOf(entry)
      this.points += points
      this.seq += points + records
      found = records > 0 ? recordToUpload(entry, this.#isUpload) : undefined
      if (found === undefined) passed += points + records
    }
    if (passed > 0) this.#onPassed(passed)
    return found
  }

  close(): void {
    this.#reader.close()
  }

  /** Points and records of the entry from `seq` on: it may begin before. */
  #countsOf(entry: RecordsEntry): [points: number, records: number] {
    if (entry.kind === 'session') return [0, 0]
    const points = entry.kind === 'record' ? 0 : entry.points
    const records = entry.kind === 'record' ? 1 : 'records' in entry ? entry.records : 0
    const below = Math.max(0, this.seq - entry.seq)
    const pointsLeft = Math.max(0, points - below)
    return [pointsLeft, Math.max(0, points + records - below) - pointsLeft]
  }
}
