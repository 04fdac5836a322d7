/**
 * Images. One is laid as `Image`, which `EventAccumulator.Images` and the Images tab read; several of one step as
 * the tensor [width, height, image, …], which the tab shows side by side and other readers find among the tensors:
 * an `Image` each would need a tag each. The encoded bytes stay as they were logged: browsers show PNG, JPEG, GIF
 * and WebP.
 */

import { stringField, varintField } from '../protobuf.ts'
import type { FilePiece } from '../run-blobs.ts'
import { DATA_CLASS_BLOB_SEQUENCE, DT_STRING, pluginMetadata, shapeField } from './messages.ts'
import { nested, type Piece } from './pieces.ts'

export interface SizedImage {
  readonly width: number
  readonly height: number
  readonly file: FilePiece
}

/** @param images one at least */
export function imagesValue(tag: string, images: readonly SizedImage[]): Piece[] {
  const { width, height, file } = images[0]!
  if (images.length === 1) {
    return [
      stringField(1, tag),
      ...nested(4, [presentVarint(1, height), presentVarint(2, width), ...nested(4, [file])]),
    ]
  }
  return [
    stringField(1, tag),
    ...nested(8, [
      varintField(1, DT_STRING),
      shapeField([images.length + 2]),
      stringField(8, String(width)),
      stringField(8, String(height)),
      ...images.flatMap((image) => nested(8, [image.file])),
    ]),
    pluginMetadata('images', DATA_CLASS_BLOB_SEQUENCE),
  ]
}

/** Protocol Buffers leave out a 0: a size that the image did not say. */
function presentVarint(field: number, value: number): Uint8Array {
  return value === 0 ? new Uint8Array(0) : varintField(field, value)
}
