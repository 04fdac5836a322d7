/** How large a run's journal may become (`maxJournalBytes`), and what was not taken for want of room. */
import { TraceletError } from '../core/errors.ts'
import { SEGMENT_BYTES } from './journal/writer.ts'
import type { RunOrder } from './messages.ts'

/** Records may exceed the limit by this much: they are few, and the end of a run is one of them. */
const RECORDS_RESERVE_BYTES: number = 1024 * 1024
/** Parts that a bounded journal is cut into, so that the delivered ones can go. */
const PARTS = 8
const MIN_SEGMENT_BYTES: number = 8 * 1024

/** As much of the writer as matters here. */
interface Measured {
  readonly journalBytes: number
  readonly stagedBytes: number
}

export class JournalRoom {
  readonly segmentBytes: number
  readonly #order: RunOrder
  readonly #maxBytes: number
  #points = 0
  #records = 0

  constructor(order: RunOrder) {
    this.#order = order
    this.#maxBytes = order.maxJournalBytes ?? Infinity
    this.segmentBytes = Math.max(MIN_SEGMENT_BYTES, Math.min(SEGMENT_BYTES, this.#maxBytes / PARTS))
  }

  /** False: the points are to be counted as lost, and are told of by the next append. */
  takesPoints(writer: Measured, bytes: number, points: number): boolean {
    if (writer.journalBytes + writer.stagedBytes + bytes <= this.#maxBytes) return true
    this.#points += points
    return false
  }

  /** As for points. */
  takesRecord(writer: Measured, bytes: number): boolean {
    if (writer.journalBytes + writer.stagedBytes + bytes <= this.#maxBytes + RECORDS_RESERVE_BYTES)
      return true
    this.#records++
    return false
  }

  /** What was not taken since the last call, and why; undefined when everything was. */
  takeRefused():
    | { readonly points: number; readonly records: number; readonly error: TraceletError }
    | undefined {
    const [points, records] = [this.#points, this.#records]
    if (points + records === 0) return undefined
    this.#points = 0
    this.#records = 0
    const { run, retention } = this.#order
    const until =
      retention === 'delivered'
        ? 'until its destinations have taken more of it'
        : 'see the option `retention`'
    const message = `journal of run ${run.id}: it is as large as maxJournalBytes allows (${this.#maxBytes} bytes); new points are lost, ${until}`
    return { points, records, error: new TraceletError('ERR_JOURNAL_WRITE', message) }
  }
}
