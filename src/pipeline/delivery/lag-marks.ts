/** When a journal had come how far: tells since when something in it has been waiting. */

/** As many are kept; when there are more, every second goes. Ages are then known to 1 part in 32. */
const MAX_MARKS = 64
const FIRST_APART_MS = 20

export class LagMarks {
  #seqs: number[] = []
  #ats: number[] = []
  #apartMs = FIRST_APART_MS

  /**
   * @param seq how far the journal has come by now
   * @param waitingFrom everything below is settled
   * @param now monotonic ms
   */
  mark(seq: number, waitingFrom: number, now: number): void {
    let settled = 0
    while (settled < this.#seqs.length && this.#seqs[settled]! <= waitingFrom) settled++
    if (settled > 0) {
      this.#seqs.splice(0, settled)
      this.#ats.splice(0, settled)
    }
    if (seq <= waitingFrom) {
      this.#apartMs = FIRST_APART_MS
      return
    }
    const last = this.#seqs.length - 1
    if (last >= 0 && (seq <= this.#seqs[last]! || now - this.#ats[last]! < this.#apartMs)) return
    this.#seqs.push(seq)
    this.#ats.push(now)
    if (this.#seqs.length > MAX_MARKS) this.#thin()
  }

  /** Monotonic ms when what stands at `seq` was there at the latest; undefined when that is not known. */
  sinceOf(seq: number): number | undefined {
    const at = this.#seqs.findIndex((mark) => mark > seq)
    return at < 0 ? undefined : this.#ats[at]
  }

  /** What was journaled between two marks then counts as journaled by the later one. */
  #thin(): void {
    const isKept = (_: number, index: number) => index % 2 === 0
    this.#seqs = this.#seqs.filter(isKept)
    this.#ats = this.#ats.filter(isKept)
    this.#apartMs *= 2
  }
}
