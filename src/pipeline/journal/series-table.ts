/** The writer's series: name and context → id, and which of them the present segment does not define yet. */
import type { Series, SeriesId } from '../../core/types.ts'

/** Text of one SERIES frame, about: small, since one damaged byte costs a frame. */
const FRAME_CHARACTERS = 16_384

export class SeriesTable {
  readonly #ids = new Map<string, SeriesId>()
  readonly #series: Series[]
  #next: number
  /** Indices into #series: defined by frames that are staged, and by frames on disk. */
  #stagedTo: number
  #writtenTo: number

  constructor(series: Iterable<Series>, next: number) {
    this.#series = [...series].sort((a, b) => a.id - b.id)
    this.#next = next
    for (const one of this.#series) this.#ids.set(key(one.name, one.context), one.id)
    this.#stagedTo = this.#writtenTo = this.#series.length
  }

  /** Every id given so far is below it. */
  get next(): number {
    return this.#next
  }

  id(name: string, context: string): SeriesId {
    const known = this.#ids.get(key(name, context))
    if (known !== undefined) return known
    const id = this.#next++
    this.#series.push({ id, name, context })
    this.#ids.set(key(name, context), id)
    return id
  }

  /** Series to be defined ahead of the next frame, in parts of one frame each; counts as staged. */
  takeUndefined(): Series[][] {
    if (this.#stagedTo === this.#series.length) return []
    const parts = inFrames(this.#series.slice(this.#stagedTo))
    this.#stagedTo = this.#series.length
    return parts
  }

  all(): Series[][] {
    return inFrames(this.#series)
  }
  /** The segment that was just begun defines them all. */
  allWritten(): void {
    this.#stagedTo = this.#writtenTo = this.#series.length
  }
  stagedWritten(): void {
    this.#writtenTo = this.#stagedTo
  }
  stagedLost(): void {
    this.#stagedTo = this.#writtenTo
  }
}

function inFrames(series: readonly Series[]): Series[][] {
  const parts: Series[][] = []
  let characters = Infinity
  for (const one of series) {
    if (characters > FRAME_CHARACTERS) {
      parts.push([])
      characters = 0
    }
    parts.at(-1)!.push(one)
    characters += one.name.length + one.context.length + 16
  }
  return parts
}

function key(name: string, context: string): string {
  return `${name.length}:${name}${context}`
}
