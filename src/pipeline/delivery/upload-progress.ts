/**
 * Files and bytes of a destination's uploads as `stats()` shows them: `known` as far as the journal has been read,
 * `sent` what is settled, and of the files under way what has gone out. Sent never goes back and never exceeds known.
 */
import { DESTINATION } from '../../core/counters.ts'

/** A file under way. */
export interface Transfer {
  sent(bytes: number): void
  /** @param isSettled false: it comes again from its beginning */
  end(isSettled: boolean): void
}

export class UploadProgress {
  readonly #block: Float64Array
  #settledBytes = 0
  #underWayBytes = 0

  /** @param block the counters of the destination's uploads */
  constructor(block: Float64Array) {
    this.#block = block
  }

  /** Everything is read again. */
  reset(): void {
    this.#settledBytes = 0
    for (const word of ['filesKnown', 'filesSent', 'bytesKnown', 'bytesSent'] as const)
      this.#block[DESTINATION[word]] = 0
  }

  know(files: number, bytes: number): void {
    this.#block[DESTINATION.filesKnown]! += files
    this.#block[DESTINATION.bytesKnown]! += bytes
    this.#publish()
  }

  settle(files: number, bytes: number): void {
    this.#block[DESTINATION.filesSent]! += files
    this.#settledBytes += bytes
    this.#publish()
  }

  /** @param bytes its size */
  begin(bytes: number): Transfer {
    let sentBytes = 0
    const set = (count: number) => {
      this.#underWayBytes += count - sentBytes
      sentBytes = count
      this.#publish()
    }
    return {
      sent: (count) => {
        if (count > 0) set(Math.min(bytes, sentBytes + count))
      },
      end: (isSettled) => {
        set(0)
        if (isSettled) this.settle(1, bytes)
      },
    }
  }

  #publish(): void {
    const block = this.#block
    const sent = this.#settledBytes + this.#underWayBytes
    block[DESTINATION.bytesSent] = Math.max(
      block[DESTINATION.bytesSent]!,
      Math.min(sent, block[DESTINATION.bytesKnown]!),
    )
  }
}
