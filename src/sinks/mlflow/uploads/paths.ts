/**
 * Names and paths of the user → paths of artifacts that every MLflow server stores as they are. Pure.
 *
 * A server decodes a path until it stops changing, refuses `#`, `..` and absolute paths, drops a `?` at the end and
 * escapes control characters; Windows servers have no `:` and no `\`; file systems hold 255 bytes a segment, S3
 * 1024 in all, of which a name, a path below it and what stands before them each have a part.
 * A segment that is none of this stays as it is. Any other, and a path that is too long as a whole, becomes readable
 * and carries its hash; no two share one.
 *
 *   a/b.txt             a/b.txt
 *   50%#.csv            50__-3f1c….csv        hash of the segment: 16 hex digits, before the ending
 */
import { createHash } from 'node:crypto'

const MAX_SEGMENT_BYTES = 255
const MAX_PATH_BYTES = 450
const HASH_CHARS = 16
const BAD = /[\p{Cc}\p{Cs}#%?;:\\/]/gu
const LOOKS_MAPPED = /-[0-9a-f]{16}(\.[A-Za-z0-9]{1,8})?$/
const ENDING = /\.[A-Za-z0-9]{1,8}$/

export interface MappedPath {
  readonly path: string
  /** Whether it differs from what was given. */
  readonly mapped: boolean
}

/**
 * @param maxBytes most bytes of a segment, where something is to be added to it
 * @param taken what segments must not look like, since others are called so
 */
export function mapPath(given: string, maxBytes = MAX_SEGMENT_BYTES, taken?: RegExp): MappedPath {
  const map = (segment: string) =>
    taken?.test(segment) ? hashedSegment(segment, maxBytes) : mapSegment(segment, maxBytes)
  const segments = given.split('/').map(map)
  const whole = segments.join('/')
  const path = Buffer.byteLength(whole) <= MAX_PATH_BYTES ? whole : hashedSegment(given, maxBytes)
  return { path, mapped: path !== given }
}

/**
 * @param alsoBad further characters that the segment must not have
 */
export function mapSegment(segment: string, maxBytes = MAX_SEGMENT_BYTES, alsoBad?: RegExp): string {
  const fits =
    Buffer.byteLength(segment) <= maxBytes &&
    !/^\.{0,2}$|^\s|\s$/.test(segment) &&
    segment.search(BAD) === -1 &&
    !(alsoBad && segment.search(alsoBad) !== -1) &&
    !LOOKS_MAPPED.test(segment)
  return fits ? segment : hashedSegment(segment, maxBytes, alsoBad)
}

/** The mapped form, also of a segment that could stay as it is. */
export function hashedSegment(segment: string, maxBytes = MAX_SEGMENT_BYTES, alsoBad?: RegExp): string {
  const hash = createHash('sha256').update(segment).digest('hex').slice(0, HASH_CHARS)
  const isEndingBad = alsoBad !== undefined && '.'.search(alsoBad) !== -1
  const ending = isEndingBad ? '' : (ENDING.exec(segment)?.[0] ?? '')
  const stem = segment.slice(0, segment.length - ending.length)
  const clean = (alsoBad ? stem.replace(alsoBad, '_') : stem).toWellFormed().replace(BAD, '_').trim()
  return `${cutBytes(clean || '_', maxBytes - HASH_CHARS - 1 - ending.length)}-${hash}${ending}`
}

function cutBytes(text: string, maxBytes: number): string {
  let bytes = 0
  let cut = ''
  for (const letter of text) {
    bytes += Buffer.byteLength(letter)
    if (bytes > maxBytes) break
    cut += letter
  }
  return cut
}

/** Steps sort as text: eight digits. */
export function stepName(step: number): string {
  const digits = String(Math.abs(step)).padStart(8, '0')
  return `step_${step < 0 ? '-' : ''}${digits}`
}
