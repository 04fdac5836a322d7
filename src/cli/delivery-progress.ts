/** The foot of the terminal while a run is delivered: points and records, then the bytes of files. */
import type { DestinationStats } from '../core/types.ts'
import { ProgressBar, type ProgressOutput } from './progress.ts'
import { count } from './text.ts'

const LOOK_MS = 100

export type ReadStats = () => Readonly<Record<string, DestinationStats>>

export class DeliveryProgress {
  readonly #output: ProgressOutput
  #bar: ProgressBar | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(output: ProgressOutput) {
    this.#output = output
  }

  /** Twice is harmless where `stop` was between. */
  start(read: ReadStats): void {
    if (!this.#output.isTTY) return
    const look = progressOf(read)
    let shown = ''
    this.#timer = setInterval(() => {
      const { label, unit, done, total, more } = look()
      if (unit !== shown) {
        this.#bar?.clear()
        this.#bar = new ProgressBar(label, total, unit, this.#output)
        shown = unit
      }
      this.#bar!.update(done, total, more)
    }, LOOK_MS)
  }

  /** Takes the line away until the next look. */
  clear(): void {
    this.#bar?.clear()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.clear()
    this.#bar = undefined
  }
}

export interface Progress {
  readonly label: string
  readonly unit: 'items' | 'bytes'
  readonly done: number
  readonly total: number
  readonly more: string
}

/** What there is to say at each call; it counts from what was there at the first one, when cursors have been read. */
export function progressOf(read: ReadStats): () => Progress {
  let first: ReturnType<typeof sums> | undefined
  let isUploading = false
  return () => {
    const now = sums(read())
    first ??= now
    const files = now.filesKnown > 0 ? `${count(now.filesSent)}/${count(now.filesKnown)} files` : ''
    // What is left once the items are through are the records whose files are still on their way.
    isUploading = now.pendingPoints === 0 && (isUploading || now.bytesKnown > now.bytesSent)
    if (isUploading) {
      const total = now.bytesKnown - first.bytesSent
      return { label: 'uploading', unit: 'bytes', done: now.bytesSent - first.bytesSent, total, more: files }
    }
    const total = first.pending
    return { label: 'delivering', unit: 'items', done: Math.max(0, total - now.pending), total, more: files }
  }
}

function sums(destinations: Readonly<Record<string, DestinationStats>>) {
  const all = Object.values(destinations)
  const sum = (pick: (one: DestinationStats) => number) => all.reduce((total, one) => total + pick(one), 0)
  return {
    pendingPoints: sum(({ pending }) => pending),
    pending: sum(({ pending, records }) => pending + records.pending),
    filesSent: sum(({ uploads }) => uploads.files.sent),
    filesKnown: sum(({ uploads }) => uploads.files.known),
    bytesSent: sum(({ uploads }) => uploads.bytes.sent),
    bytesKnown: sum(({ uploads }) => uploads.bytes.known),
  }
}
