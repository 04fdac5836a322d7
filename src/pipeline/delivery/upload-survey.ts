/**
 * Reads ahead what is to be uploaded: whether there is anything, and how much. It keeps none of it: the sender reads
 * each record again when its turn comes.
 */
import type { Cursor, RunRecord } from '../../core/types.ts'
import type { RecordsReader } from '../journal/reader.ts'
import { type IsUpload, recordToUpload } from './upload-feed.ts'
import { filesOf, isStored } from './upload-files.ts'
import type { UploadProgress } from './upload-progress.ts'

const MAX_ENTRIES_PER_LOOK = 128

export interface SurveyParts {
  readonly isUpload: IsUpload
  readonly runFolder: string
  readonly progress: UploadProgress
  readonly openRecords: (from: number) => RecordsReader
}

export class UploadSurvey {
  /** Sequence number of the last record to upload that was met; -1 for none. */
  lastMet = -1
  readonly #parts: SurveyParts
  /** Where it began. */
  readonly #from: Pick<Cursor, 'seq' | 'files'>
  #reader: RecordsReader | undefined
  #seq: number

  constructor(parts: SurveyParts, from: Pick<Cursor, 'seq' | 'files'>) {
    this.#parts = parts
    this.#from = from
    this.#seq = from.seq
    parts.progress.reset()
  }

  /** Reads on for a while. False: there is more. */
  look(): boolean {
    const { openRecords, isUpload } = this.#parts
    this.#reader ??= openRecords(this.#seq)
    for (let entries = 0; entries < MAX_ENTRIES_PER_LOOK; entries++) {
      const entry = this.#reader.next()
      this.#seq = this.#reader.seq
      if (entry === undefined) return true
      const found = recordToUpload(entry, isUpload)
      if (found === undefined || found.seq < this.#from.seq) continue
      this.lastMet = found.seq
      this.#count(found.seq, found.record)
    }
    return false
  }

  /** Holds no file until the next look. */
  rest(): void {
    this.#reader?.close()
    this.#reader = undefined
  }

  #count(seq: number, record: RunRecord): void {
    const { runFolder, progress } = this.#parts
    const { seq: cursorSeq, files: settled = 0 } = this.#from
    try {
      const files = filesOf(record, runFolder)
      const all = sizeOf(files.filter(isStored))
      progress.know(all.files, all.bytes)
      if (seq !== cursorSeq || settled === 0) return
      const done = sizeOf(files.slice(0, settled).filter(isStored))
      progress.settle(done.files, done.bytes)
    } catch {
      // The sender will say what is wrong with it.
    }
  }
}

function sizeOf(files: readonly { blob: { bytes: number } }[]): { files: number; bytes: number } {
  return { files: files.length, bytes: files.reduce((sum, { blob }) => sum + blob.bytes, 0) }
}
