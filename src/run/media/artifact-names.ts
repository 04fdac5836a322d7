/**
 * Names of files as an artifact keeps them: relative paths with `/`, that every system can hold and no reader can
 * take for something else. What does not stand for itself is `%xx` for each byte, as in URLs.
 */
import { isUtf8 } from 'node:buffer'

export interface KeptName {
  readonly name: string
  /** What was wrong with it; undefined when it stands for itself. */
  readonly fault?: string
}

/** One part of a path, as the file system gave it. */
export function keptName(bytes: Buffer): KeptName {
  if (!isUtf8(bytes)) return { name: escapeBytes(bytes), fault: 'is not UTF-8' }
  const text = bytes.toString()
  if (text === '' || text === '.' || text === '..') {
    return { name: text.replaceAll('.', '%2e') || '%', fault: 'is no name of a file' }
  }
  const name = text.replace(/[/\\\p{Cc}]/gu, (character) => escapeBytes(Buffer.from(character), true))
  return name === text ? { name } : { name, fault: 'holds \\ or control characters' }
}

/** Makes paths of one artifact different from each other. */
export class UniquePaths {
  readonly #taken = new Set<string>()

  take(path: string): string {
    let unique = path
    while (this.#taken.has(unique)) unique += '%'
    this.#taken.add(unique)
    return unique
  }
}

/** Printable ASCII stays unless `all`. */
function escapeBytes(bytes: Buffer, all = false): string {
  let text = ''
  for (const byte of bytes) {
    const stays = !all && byte > 0x20 && byte < 0x7f && byte !== 0x5c && byte !== 0x2f
    text += stays ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`
  }
  return text
}
