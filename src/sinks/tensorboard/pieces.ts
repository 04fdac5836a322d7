/** Messages that are too large to lay in memory: bytes, and files that stand in for theirs. Pure. */
import { lengthDelimited } from '../protobuf.ts'
import type { FilePiece } from '../run-blobs.ts'

export type Piece = Uint8Array | FilePiece

export function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + (piece instanceof Uint8Array ? piece.length : piece.bytes), 0)
}

/** A nested message, or bytes, of these pieces. */
export function nested(field: number, pieces: readonly Piece[]): Piece[] {
  return [lengthDelimited(field, bytesOf(pieces)), ...pieces]
}

/** All pieces in memory, when none of them is a file. */
export function inMemory(pieces: readonly Piece[]): pieces is readonly Uint8Array[] {
  return pieces.every((piece) => piece instanceof Uint8Array)
}
