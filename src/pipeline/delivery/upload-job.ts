/**
 * One record on its way: its files in order, several at once, then the step that comes when all are there.
 *
 *  L1  `settled` counts the files from the first on that need not be sent again; after a crash it goes on there.
 *  L2  A file that comes again is taken before any later one.
 *  L3  A file that is rejected costs the record, not its other files: they are sent, the last step is left out.
 */
import type { Cursor, RefusedFiles, Rejection, RunRecord, SinkState, StoredFile } from '../../core/types.ts'
import { isStored } from './upload-files.ts'

/** How many rejected files are told of by name: they stand in the cursor. */
const MAX_REFUSED = 100
const MAX_REFUSED_CHARS = 300

export interface UploadStep {
  /** Place of the file in the list; its length for the step without a file. */
  readonly index: number
}

export class UploadJob {
  readonly seq: number
  readonly record: RunRecord
  readonly files: readonly StoredFile[]
  /** Why it cannot be sent at all. */
  readonly fault: Rejection | undefined
  state: SinkState
  /** How often a step of it was given up since nothing was heard. */
  silences = 0
  /** Since something of it was taken: how often the backend answered with a fault of its own, and from when on. */
  faults = 0
  faultySince = 0
  #refused: RefusedFiles
  /** All files before it are settled. */
  #settled: number
  readonly #settledAhead = new Set<number>()
  /** First file that has not been taken. */
  #next: number
  /** Taken before and to be taken again, ascending. */
  readonly #again: number[] = []
  #isLastTaken = false

  /** @param from where it was left, if it was begun before */
  constructor(
    seq: number,
    record: RunRecord,
    files: readonly StoredFile[] | Rejection,
    from: Pick<Cursor, 'files' | 'refused'> & { readonly state: SinkState },
  ) {
    this.seq = seq
    this.record = record
    const isFault = 'reason' in files
    this.fault = isFault ? files : undefined
    this.files = isFault ? [] : files
    this.state = from.state
    this.#refused = from.refused ?? { count: 0, first: [] }
    this.#settled = Math.min(from.files ?? 0, this.files.length)
    this.#next = this.#settled
    this.#passReferences()
  }

  /** Of all its files that are stored. */
  get bytes(): number {
    return this.files.reduce((sum, file) => sum + (isStored(file) ? file.blob.bytes : 0), 0)
  }

  get settled(): number {
    return this.#settled
  }

  get refused(): RefusedFiles {
    return this.#refused
  }

  /** It, or some of its files, all of which are settled, cannot be sent: the record is rejected. */
  get isRefused(): boolean {
    if (this.fault !== undefined) return true
    return this.#settled === this.files.length && this.#refused.count > 0
  }

  /** The next step to start; undefined when it is refused and while others must be answered first. */
  take(): UploadStep | undefined {
    const again = this.#again.shift()
    if (again !== undefined) return { index: again }
    if (this.#next < this.files.length) {
      const index = this.#next++
      this.#passReferences()
      return { index }
    }
    if (this.#settled < this.files.length || this.isRefused || this.#isLastTaken) return undefined
    this.#isLastTaken = true
    return { index: this.files.length }
  }

  /** The step was not taken by the backend and comes again. */
  putBack({ index }: UploadStep): void {
    if (index === this.files.length) this.#isLastTaken = false
    else {
      this.#again.push(index)
      this.#again.sort((a, b) => a - b)
    }
  }

  /** The file is there. */
  settle({ index }: UploadStep): void {
    this.faults = 0
    this.#settledAhead.add(index)
    while (this.#settledAhead.delete(this.#settled)) this.#settled++
  }

  /** The file will never be there. */
  refuse(step: UploadStep, code: string, reason: string): void {
    const { count, first } = this.#refused
    const path = this.files[step.index]!.path.slice(0, MAX_REFUSED_CHARS)
    const refusal = { path, code, reason: reason.slice(0, MAX_REFUSED_CHARS) }
    this.#refused = { count: count + 1, first: count < MAX_REFUSED ? [...first, refusal] : first }
    this.settle(step)
  }

  #passReferences(): void {
    while (this.#next < this.files.length && !isStored(this.files[this.#next]!))
      this.settle({ index: this.#next++ })
  }
}
