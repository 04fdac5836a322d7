/**
 * Images as `MlflowClient.log_image` lays them out, so that MLflow's page draws them over steps:
 *
 *   images/<key>+step+<n>+timestamp+<ms>+<uuid>.png                 as it was logged
 *   images/<key>+step+<n>+timestamp+<ms>+<uuid>+compressed.webp     what the page's grid shows
 *
 * - In <key> `~` stands for `/`. A `+` or `%` would be taken for a separator, and one name that the page cannot
 *   read makes it show no image of the run at all.
 * - The grid shows the second file only, which MLflow makes smaller by a WebP encoder. Node has none, so the same
 *   image stands under both names: browsers, and Pillow, go by what is in a file, not by what it is called.
 *   Likewise a JPEG or GIF is called `.png`, since the page looks for `.png` and `.webp` alone.
 * - The page shows one image a key and step: the second of one call gets the key `<name>/1`, and so on.
 */
import type { RunRecord, WriteResult } from '../../../core/types.ts'
import { mapSegment } from './paths.ts'
import {
  contentOf,
  done,
  itemUuid,
  put,
  rememberName,
  type Step,
  setTag,
  type UploadContext,
} from './step.ts'

const LOGGED_TAG = 'mlflow.loggedImages'
/** A file name has 255 bytes, of which the rest of the scheme takes up to 105. */
const MAX_KEY_BYTES = 150
const BAD_IN_KEY = /[+~%#]/gu

export async function uploadImages(
  record: Extract<RunRecord, { kind: 'images' }>,
  context: UploadContext,
  step: Step,
): Promise<WriteResult> {
  const { upload, signal } = step
  // Python's spelling of true.
  if (!upload.file) return done(await setTag(context, LOGGED_TAG, 'True', signal), step)
  const store = await context.stores.ofRun(signal)
  if ('status' in store) return store
  const { index, blob } = upload.file
  const given = index === 0 ? record.name : `${record.name}/${index}`
  const key = imageKey(given)
  if (key.replaceAll('~', '/') !== given) {
    const refusal = await rememberName(context, given, `images/${key}`, signal)
    if (refusal) return refusal
  }
  if (record.images[index]?.caption) {
    context.notices.tell('caption', "MLflow has no captions of images; the run's own folder keeps them")
  }
  const uuid = itemUuid(context.run.nonce, upload.seq, index, blob.digest)
  const time = Math.max(0, Math.floor(record.time))
  const path = `images/${key}+step+${record.step}+timestamp+${time}+${uuid}`
  const ending = blob.type === 'image/webp' ? 'webp' : 'png'
  const content = contentOf(upload)
  const refusal =
    (await put(store, `${path}.${ending}`, content, step, 0.5)) ??
    (await put(store, `${path}+compressed.webp`, content, step, 0.5))
  return done(refusal, step)
}

/** A name as one segment of a path, in which `~` stands for `/`. */
export function imageKey(name: string): string {
  const parts = name.split('/').map((part) => mapSegment(part, MAX_KEY_BYTES, BAD_IN_KEY))
  const key = parts.join('~')
  return Buffer.byteLength(key) <= MAX_KEY_BYTES ? key : mapSegment(name, MAX_KEY_BYTES, BAD_IN_KEY)
}
