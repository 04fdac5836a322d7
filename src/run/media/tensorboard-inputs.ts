/** What TensorBoard's writers take, as what `run.log…` takes. Bad input is passed on as it is and reported there. */
import type { ImageInput, PixelImage } from './image.ts'

export type ImageFormat = 'CHW' | 'HWC' | 'HW'
export type ImagesFormat = 'NCHW' | 'NHWC' | 'NHW'

/** Pixels of several images of one size, one after the other. */
export interface PixelBatch {
  readonly data: PixelImage['data']
  /** `[n, channels, height, width]`, or as `dataformats` says. */
  readonly shape: readonly number[]
}

/** The image with its format: the one given, its own, or TensorBoard's default, channels first. */
export function formatted(image: ImageInput, format: ImageFormat | undefined): ImageInput {
  if (typeof image !== 'object' || image === null || !('shape' in image)) return image
  const byShape = image.shape?.length === 2 ? 'HW' : 'CHW'
  return { ...image, dataFormat: format ?? image.dataFormat ?? byShape }
}

/** The images of a batch. */
export function separated(
  images: readonly ImageInput[] | PixelBatch,
  format: ImagesFormat | undefined,
): readonly ImageInput[] {
  const one = typeof format === 'string' ? (format.slice(1) as ImageFormat) : undefined
  if (Array.isArray(images)) return images.map((image) => formatted(image, one))
  const { data, shape } = (images ?? {}) as PixelBatch
  const [count, ...size] = Array.isArray(shape) ? shape : []
  // Anything else is no batch; as an image it is refused with the reason.
  if (!ArrayBuffer.isView(data) || !(Number.isInteger(count) && count! > 0 && count! <= data.length)) {
    return [images as PixelImage]
  }
  const each = data.length / count!
  return Array.from({ length: count! }, (_, index) =>
    formatted({ data: data.subarray(index * each, (index + 1) * each), shape: size }, one),
  )
}

/**
 * Bins by their upper limits, as `HistogramProto` has them. Empty buckets below the least and above the greatest
 * value, whose limits may be ±1.8e308, are left out.
 */
export function binsOf(
  least: number,
  greatest: number,
  limits: ArrayLike<number>,
  buckets: ArrayLike<number>,
): { readonly edges: ArrayLike<number>; readonly counts: ArrayLike<number> } {
  if (!isList(limits) || !isList(buckets)) return { edges: limits, counts: buckets }
  const given = Array.from(buckets)
  const first = Math.max(
    0,
    given.findIndex((count) => count !== 0),
  )
  const last = given.findLastIndex((count) => count !== 0)
  const end = last < 0 ? given.length : last + 1
  const counts = given.slice(first, end)
  const rights = Array.from(limits).slice(first, limits.length - given.length + end)
  const lowest = first === 0 ? least : Math.max(least, limits[first - 1]!)
  const highest = rights.at(-1)
  const beforeLast = rights.at(-2) ?? lowest
  if (highest !== undefined && greatest < highest && greatest > beforeLast)
    rights[rights.length - 1] = greatest
  return { edges: [lowest, ...rights], counts }
}

function isList(value: unknown): boolean {
  return Array.isArray(value) || ArrayBuffer.isView(value)
}
