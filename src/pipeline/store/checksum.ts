/** What the small files of a run hold against damage: the CRC-32 of all other bytes of the file. */
import { crc32 } from 'node:zlib'

export const CHECKSUM_DIGITS = 8

/**
 * In lower case, as it stands between them.
 * @param head bytes of the file before it; text as UTF-8
 * @param tail bytes of the file after it
 */
export function checksum(head: Uint8Array | string, tail: Uint8Array | string): string {
  return crc32(tail, crc32(head)).toString(16).padStart(CHECKSUM_DIGITS, '0')
}
