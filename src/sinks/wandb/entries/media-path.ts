/** Where the files of what is logged lie among those of the run: the SDK's names, and none that leads elsewhere. */
import type { Placed } from '../../../core/types.ts'
import { isSystem, keyOf } from '../keys.ts'

/** A name of a file has 255 bytes; step, hash and ending take up to 60 of them. */
const MAX_NAME_BYTES = 150
const HASH_CHARS = 20

/** System metrics have a file of their own; what is no number stands in the history, under its own name. */
export function entryKey(name: string): string {
  return isSystem(name) ? name : keyOf(name, '')
}

/** `media/<folder>/<key>_<step>_<20 hex digits of the SHA-256>.<ending>` */
export function mediaPath(folder: string, { name, step }: Placed, sha256: string, ending: string): string {
  return `media/${folder}/${safePath(name)}_${step}_${sha256.slice(0, HASH_CHARS)}.${ending}`
}

/**
 * What a store takes for a path; the SDK, too, makes `..` to `__`. Two names may come to one path: with a hash of the
 * content in it, it then stands for the same bytes.
 */
export function safePath(name: string): string {
  return entryKey(name).split('/').map(segment).join('/')
}

function segment(part: string): string {
  const clean = part.toWellFormed().replace(/\p{Cc}/gu, '_')
  if (/^\.{0,2}$/.test(clean)) return '_'.repeat(Math.max(1, clean.length))
  let cut = ''
  let bytes = 0
  for (const letter of clean) {
    bytes += Buffer.byteLength(letter)
    if (bytes > MAX_NAME_BYTES) break
    cut += letter
  }
  return cut
}
