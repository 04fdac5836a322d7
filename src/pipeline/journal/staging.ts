/**
 * Where frames are laid before they are appended: one for the whole process, whatever the number of runs, so its
 * pages stay warm and no frame costs an allocation. Several writers may have frames in it at once.
 */
import type { Memory } from './points.ts'

const FIRST_BYTES = 1024 * 1024
/** Grown beyond this by a burst, it is given back when it is empty. */
const KEPT_BYTES: number = 16 * 1024 * 1024

/** Offsets of a stretch of frames, in order of staging. */
export interface Stretch {
  from: number
  to: number
}

export class Staging {
  memory: Memory = allocate(FIRST_BYTES)
  #top = 0
  #taken = 0

  /** Room for so many bytes (a multiple of 8) after `last` if possible, else a stretch of its own. Not zeroed. */
  take(bytes: number, stretches: Stretch[]): number {
    const at = this.#top
    if (at + bytes > this.memory.bytes.length) this.#grow(at + bytes)
    this.#top = at + bytes
    this.#taken += bytes
    const last = stretches.at(-1)
    if (last?.to === at) last.to += bytes
    else stretches.push({ from: at, to: at + bytes })
    return at
  }

  giveBack(stretches: Stretch[]): void {
    for (const { from, to } of stretches) this.#taken -= to - from
    stretches.length = 0
    if (this.#taken > 0) return
    this.#top = 0
    if (this.memory.bytes.length > KEPT_BYTES) this.memory = allocate(FIRST_BYTES)
  }

  #grow(bytes: number): void {
    const larger = allocate(2 ** Math.ceil(Math.log2(bytes)))
    larger.bytes.set(this.memory.bytes.subarray(0, this.#top))
    this.memory = larger
  }
}

function allocate(length: number): Memory {
  const buffer = new ArrayBuffer(length)
  return {
    bytes: new Uint8Array(buffer),
    view: new DataView(buffer),
    u32: new Uint32Array(buffer),
    f64: new Float64Array(buffer),
  }
}
