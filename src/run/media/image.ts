/** Images as users give them: encoded bytes or pixels, checked and copied at the call. */
import type { ErrorRecord } from '../../core/errors.ts'
import type { Content, Pixels } from '../../pipeline/parking/messages.ts'
import { describe } from '../producer.ts'
import { readImageHeader } from './image-header.ts'

/** Uncompressed. */
export interface PixelImage {
  /** 0 to 255, or reals from 0 to 1 (what lies beyond is cut, NaN is 0). Row by row, from the top left. */
  readonly data: Uint8Array | Uint8ClampedArray | Float32Array | Float64Array
  /** `[height, width]`, `[height, width, channels]` or `[channels, height, width]`; 1 to 4 channels. */
  readonly shape: readonly number[]
  /** Default 'HW' for two numbers, 'HWC' for three. */
  readonly dataFormat?: 'HW' | 'HWC' | 'CHW' | undefined
  readonly caption?: string | undefined
}
/** PNG, JPEG, GIF or WebP; kept byte by byte. */
export interface EncodedImage {
  readonly bytes: Uint8Array
  readonly caption?: string | undefined
}
export type ImageInput = Uint8Array | PixelImage | EncodedImage

/** An image that nobody else can change any more. */
export interface TakenImage {
  readonly content: Content
  /** Memory of the copy. */
  readonly bytes: number
  readonly width: number
  readonly height: number
  readonly caption?: string
}

const FORMATS = ['HW', 'HWC', 'CHW']
const MAX_CHANNELS = 4

export function isImageInput(value: unknown): value is ImageInput {
  if (value instanceof Uint8Array) return true
  if (typeof value !== 'object' || value === null) return false
  return 'bytes' in value || ('shape' in value && 'data' in value)
}

/** The image with another caption, where there is one. */
export function captioned(image: ImageInput, caption: string | undefined): ImageInput {
  if (caption === undefined) return image
  return image instanceof Uint8Array ? { bytes: image, caption } : { ...image, caption }
}

export function takeImage(input: ImageInput): TakenImage | ErrorRecord {
  if (input instanceof Uint8Array) return takeEncoded(input, undefined)
  if (typeof input !== 'object' || input === null) return noImage(describe(input))
  const { caption } = input
  if (caption !== undefined && typeof caption !== 'string') {
    return { code: 'ERR_VALUE', message: `an image's caption must be a text, but is ${describe(caption)}` }
  }
  if ('bytes' in input) {
    if (!(input.bytes instanceof Uint8Array)) return noImage(`bytes: ${describe(input.bytes)}`)
    return takeEncoded(input.bytes, caption)
  }
  return takePixels(input, caption)
}

function takeEncoded(bytes: Uint8Array, caption: string | undefined): TakenImage | ErrorRecord {
  const header = readImageHeader(bytes)
  if (!header) return noImage(`${bytes.length} bytes that are none of these`)
  const { type, width, height } = header
  const content: Content = { type, bytes: new Uint8Array(bytes) }
  return { content, bytes: bytes.length, width, height, ...(caption !== undefined && { caption }) }
}

function takePixels(input: PixelImage, caption: string | undefined): TakenImage | ErrorRecord {
  const { data, shape, dataFormat } = input
  if (!isPixelData(data)) return noImage(`data: ${describe(data)}`)
  if (!Array.isArray(shape)) return misshapen(`its shape is ${describe(shape)}`)
  const format = dataFormat ?? (shape.length === 2 ? 'HW' : 'HWC')
  if (!FORMATS.includes(format) || shape.length !== format.length) {
    return misshapen(`its shape [${shape.join(', ')}] is not one of dataFormat '${String(format)}'`)
  }
  const [height, width, channels] = (
    format === 'CHW' ? [shape[1], shape[2], shape[0]] : [shape[0], shape[1], shape[2] ?? 1]
  ) as [number, number, number]
  const areCounts = [height, width, channels].every((count) => Number.isInteger(count) && count > 0)
  if (!areCounts || channels > MAX_CHANNELS) {
    const hint = channels > MAX_CHANNELS && format === 'HWC' ? "; is its dataFormat 'CHW'?" : ''
    return misshapen(
      `its shape [${shape.join(', ')}] (${format}) has no 1 to ${MAX_CHANNELS} channels of whole pixels${hint}`,
    )
  }
  if (data.length !== height * width * channels) {
    return misshapen(`its shape [${shape.join(', ')}] has another length than its ${data.length} values`)
  }
  const pixels: Pixels = { data: copied(data), width, height, channels, isPlanar: format === 'CHW' }
  const content: Content = { type: 'image/png', pixels }
  return { content, bytes: data.byteLength, width, height, ...(caption !== undefined && { caption }) }
}

function isPixelData(data: unknown): data is PixelImage['data'] {
  return (
    data instanceof Uint8Array ||
    data instanceof Uint8ClampedArray ||
    data instanceof Float32Array ||
    data instanceof Float64Array
  )
}

/** In memory of its own, not in a pool's or in shared memory. */
function copied(data: PixelImage['data']): PixelImage['data'] {
  if (data instanceof Float32Array) return new Float32Array(data)
  if (data instanceof Float64Array) return new Float64Array(data)
  return new Uint8Array(data)
}

function noImage(given: string): ErrorRecord {
  return {
    code: 'ERR_VALUE',
    message: `an image is the bytes of a PNG, JPEG, GIF or WebP, or { data, shape } with pixels in a Uint8Array, Uint8ClampedArray, Float32Array or Float64Array, but was ${given}`,
  }
}
function misshapen(why: string): ErrorRecord {
  return { code: 'ERR_VALUE', message: `an image cannot be made of these pixels: ${why}` }
}
