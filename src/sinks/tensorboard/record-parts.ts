/** A record of an event file as parts to write one after the other. */

import { chunksOf } from '../run-blobs.ts'
import { crc32c } from './crc32c.ts'
import { recordFooter, recordHeader, recordOf } from './encode.ts'
import { bytesOf, inMemory, type Piece } from './pieces.ts'

/**
 * A part is valid until the next is asked for.
 * @throws BlobError when a file is not as long as its piece says
 */
export async function* recordParts(payload: readonly Piece[]): AsyncGenerator<Uint8Array> {
  if (inMemory(payload)) {
    yield recordOf(payload)
    return
  }
  yield recordHeader(bytesOf(payload))
  let crc = 0
  for (const piece of payload) {
    for await (const chunk of piece instanceof Uint8Array ? [piece] : chunksOf(piece)) {
      crc = crc32c(chunk, 0, chunk.length, crc)
      yield chunk
    }
  }
  yield recordFooter(crc)
}
