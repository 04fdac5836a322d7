/**
 * Which file holds which segment: the one that its name says, unless its first frame says otherwise (J11). Files are
 * copied and renamed by hand, and one in another's place would hide all segments between.
 */
import { join } from 'node:path'
import { FRAME, segmentName } from './format.ts'
import { decodeSegment, type SegmentStart } from './records.ts'
import { listSegments, nextFrame, SegmentFile, unlessRemoved } from './segment-file.ts'

export interface SegmentPlace {
  readonly number: number
  readonly path: string
}

export class Arrangement {
  readonly #folder: string
  readonly #runId: string | undefined
  /** What files say of themselves, once they do. */
  readonly #said = new Map<number, Pick<SegmentStart, 'number' | 'runId'>>()

  /** @param runId segments of another run are passed over; undefined: none is */
  constructor(folder: string, runId: string | undefined) {
    this.#folder = folder
    this.#runId = runId
  }

  /** By the segments' numbers, ascending. */
  list(): SegmentPlace[] {
    const files = listSegments(this.#folder)
    const places = new Map<number, number>()
    let isDisordered = false
    for (const file of files) {
      const said = this.#ask(file)
      const isOurs = said === undefined || this.#runId === undefined || said.runId === this.#runId
      if (isOurs && (said === undefined || said.number === file)) places.set(file, file)
      else isDisordered = true
    }
    if (!isDisordered) return files.map((file) => this.#place(file, file))
    for (const file of files) {
      const said = this.#said.get(file)
      if (said === undefined || said.number === file) continue
      if (this.#runId !== undefined && said.runId !== this.#runId) continue
      // a copy beside the right one is nothing new; a file that only its name tells of gives way
      const held = places.get(said.number)
      if (held === undefined || !this.#said.has(held)) places.set(said.number, file)
    }
    return [...places].sort(([a], [b]) => a - b).map(([number, file]) => this.#place(number, file))
  }

  #place(number: number, file: number): SegmentPlace {
    return { number, path: join(this.#folder, segmentName(file)) }
  }

  #ask(file: number): Pick<SegmentStart, 'number' | 'runId'> | undefined {
    const known = this.#said.get(file)
    if (known !== undefined) return known
    const segment = unlessRemoved(() => new SegmentFile(this.#folder, file))
    if (segment === undefined) return undefined
    try {
      const start = segmentStart(segment)
      if (start !== undefined) this.#said.set(file, { number: start.number, runId: start.runId })
      return start
    } finally {
      segment.close()
    }
  }
}

/** Whether the file does not say that it holds another segment. */
export function isInPlace({ number, path }: SegmentPlace): boolean {
  const file = new SegmentFile('', number, path)
  try {
    const start = segmentStart(file)
    return start === undefined || start.number === number
  } finally {
    file.close()
  }
}

/**
 * What a file begins with, by either copy; later SEGMENT frames may have come with frames of an earlier segment. One
 * that bears the file's own number counts before another: that may have been put before it.
 */
function segmentStart(file: SegmentFile): SegmentStart | undefined {
  let first: SegmentStart | undefined
  let at = 0
  for (let copy = 0; copy < 2; copy++) {
    const header = file.header(at)
    if (header?.type !== FRAME.segment) break
    const payload = file.payload(at, header)
    const start = typeof payload === 'string' ? undefined : decodeSegment(payload)
    if (start?.number === file.number) return start
    first ??= start
    at = nextFrame(at, header)
  }
  return first
}

/**
 * Where the segment's own frames begin; -1 when it has none. From then on the file knows its stamp. A frame that was
 * copied to its front must not be taken for its beginning.
 */
export function findStart(file: SegmentFile): number {
  let first = -1
  const counts = new Map<number, number>()
  for (let at = file.search(0, Infinity); at >= 0; ) {
    const header = file.header(at)!
    if (first < 0) first = at
    counts.set(header.stamp, (counts.get(header.stamp) ?? 0) + 1)
    if (header.type === FRAME.segment) {
      const payload = file.payload(at, header)
      const isOwn = typeof payload !== 'string' && decodeSegment(payload)?.number === file.number
      if (isOwn) {
        file.stamp = header.stamp
        return at
      }
    }
    const next = nextFrame(at, header)
    at = file.header(next) === undefined ? file.search(at + 1, Infinity) : next
  }
  if (first < 0) return -1
  // Both copies of its beginning are damaged: it is of the process that wrote the most of it.
  file.stamp = [...counts].reduce((most, one) => (one[1] > most[1] ? one : most))[0]
  return file.search(first, Infinity)
}
