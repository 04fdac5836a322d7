/**
 * What the numbers that a lane gives to its series mean: whose each is, and its number in that run's journal. One
 * table for all runs of the lane, since the numbers go on from run to run: with a table each, a thousand runs would
 * have a thousand tables of a thousand runs' series.
 *
 *  words  │ owner │ id │ owner │ id │ …     of the series base, base + 1, …; owner 0: nobody's
 */

const FIRST_SERIES = 64

export class LaneSeries {
  /** For the loop that every point goes through; replaced when it grows. */
  words: Int32Array = new Int32Array(2 * FIRST_SERIES)
  /** The lane's number of the first series in `words`. */
  base = 0
  readonly #free: number[] = []
  /** Of each owner, by its number: its lowest and highest series. */
  readonly #lowest: number[] = [0]
  readonly #highest: number[] = [0]

  /** A number, above 0, for one whose series stand here. */
  takeOwner(): number {
    const owner = this.#free.pop() ?? this.#lowest.length
    this.#lowest[owner] = Infinity
    this.#highest[owner] = -1
    return owner
  }

  /** The owner's series are nobody's; another may get its number. */
  giveOwner(owner: number): void {
    const { words, base } = this
    for (let series = Math.max(base, this.#lowest[owner]!); series <= this.#highest[owner]!; series++) {
      if (words[2 * (series - base)] === owner) words[2 * (series - base)] = 0
    }
    this.#free.push(owner)
  }

  /** @param id of the series in the owner's journal */
  define(series: number, owner: number, id: number): void {
    if (series < this.base) this.#move(series)
    else if (2 * (series - this.base) >= this.words.length) this.#makeRoom(series)
    const at = 2 * (series - this.base)
    this.words[at] = owner
    this.words[at + 1] = id
    this.#lowest[owner] = Math.min(this.#lowest[owner]!, series)
    this.#highest[owner] = Math.max(this.#highest[owner]!, series)
  }

  /** 0 where it is nobody's. */
  ownerOf(series: number): number {
    return this.words[2 * (series - this.base)] ?? 0
  }

  /** Leaves out what is before the first series in use: runs come and go. */
  #makeRoom(series: number): void {
    let first = 0
    while (first < this.words.length && this.words[first] === 0) first += 2
    this.#move(Math.min(series, this.base + first / 2), series)
  }

  #move(base: number, last: number = this.base + this.words.length / 2 - 1): void {
    const count = Math.max(FIRST_SERIES, last - base + 1)
    const moved = new Int32Array(2 * 2 ** Math.ceil(Math.log2(count)))
    const from = 2 * (base - this.base)
    if (from >= 0) moved.set(this.words.subarray(from, from + moved.length))
    else moved.set(this.words.subarray(0, moved.length + from), -from)
    this.words = moved
    this.base = base
  }
}
