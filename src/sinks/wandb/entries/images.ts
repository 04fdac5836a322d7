/**
 * Images, each a file of the run:
 *
 *   one       {"_type":"image-file","path","sha256","size","width","height","format","caption"}
 *   several   {"_type":"images/separated","width","height","format","count","filenames":[…],"captions":[…]}
 *
 * `width`, `height` and `format` of several are those of the first; captions are there where one of them has a
 * caption, null for the rest.
 */
import type { BlobRef, LoggedImage, Placed } from '../../../core/types.ts'
import { mediaPath } from './media-path.ts'

const ENDINGS: Readonly<Record<string, string>> = {
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'image/webp': 'webp',
}

/** Path of an image among the files of the run. */
export function imagePath(place: Placed, { image }: Pick<LoggedImage, 'image'>): string {
  return mediaPath('images', place, image.digest, formatOf(image))
}

export function imagesJson(place: Placed, images: readonly LoggedImage[]): string {
  const [first] = images
  if (images.length === 1) {
    const { image, caption } = first!
    return JSON.stringify({
      _type: 'image-file',
      path: imagePath(place, first!),
      sha256: image.digest,
      size: image.bytes,
      ...sizeOf(first!),
      format: formatOf(image),
      ...(caption !== undefined && { caption }),
    })
  }
  return JSON.stringify({
    _type: 'images/separated',
    ...(first && { ...sizeOf(first), format: formatOf(first.image) }),
    count: images.length,
    filenames: images.map((one) => imagePath(place, one)),
    ...(images.some(({ caption }) => caption !== undefined) && {
      captions: images.map(({ caption }) => caption ?? null),
    }),
  })
}

function sizeOf({ width, height }: LoggedImage) {
  return width > 0 && height > 0 ? { width, height } : {}
}

function formatOf({ type }: BlobRef): string {
  return ENDINGS[type] ?? 'png'
}
