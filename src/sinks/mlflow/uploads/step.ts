/** What every kind of upload works with: the run, its stores, and the answer to a step. */
import { createHash } from 'node:crypto'
import type { RunInfo, Upload, WriteResult } from '../../../core/types.ts'
import type { Refusal } from '../../http.ts'
import { type Notices, shown } from '../../notices.ts'
import { fitText, MAX_TAG_CHARS } from '../encode.ts'
import { type OpenedRun, sendEntries } from '../send-entries.ts'
import type { ArtifactStore, Content } from '../stores/store.ts'
import type { Stores } from '../stores/stores.ts'
import type { Progress } from './progress.ts'

export interface UploadContext {
  readonly run: RunInfo
  readonly remote: OpenedRun & { readonly experimentId: string }
  readonly stores: Stores
  readonly notices: Notices
  /** What MLflow is known to hold already, so that it is said once: tags, names. */
  readonly told: Set<string>
}

/** One step and the record it belongs to. */
export interface Step {
  readonly upload: Upload
  readonly progress: Progress
  readonly signal: AbortSignal
}

/**
 * Stores content below a root, with progress and the parts of earlier attempts.
 * @param share part of the step's bytes that this is, where they are sent more than once
 */
export function put(
  store: ArtifactStore,
  path: string,
  content: Content,
  { upload, progress, signal }: Step,
  share = 1,
): Promise<Refusal | undefined> {
  return store.put(path, content, {
    signal,
    // What is made at the end of a record is none of its files.
    sent: (bytes) => upload.sent(upload.file ? bytes * share : 0),
    parts: progress.parts(path),
    abandoned: progress.state.begun?.[path],
    keepParts: (parts) => progress.setParts(path, parts, upload),
  })
}

export function contentOf({ file }: Upload): Content {
  const { blob, location } = file!
  return { type: blob.type, location, size: blob.bytes }
}

export function jsonContent(value: unknown): Content {
  return { type: 'application/json', bytes: Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`) }
}

/** Sets a tag of the run, once per value while the process lives. */
export async function setTag(
  { remote, told }: UploadContext,
  key: string,
  value: string,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const mark = `tag ${key} ${value}`
  if (told.has(mark)) return undefined
  const sent = await sendEntries(
    remote,
    'tags',
    [{ index: 0, key, value: fitText(value, MAX_TAG_CHARS) }],
    signal,
  )
  if ('refusal' in sent) return sent.refusal
  const [rejected] = sent.rejected
  if (rejected) return { status: 'split', code: rejected.code, reason: rejected.reason }
  told.add(mark)
  return undefined
}

/** Says, and writes down at MLflow, what a name that no path can have stands for. */
export async function rememberName(
  context: UploadContext,
  name: string,
  path: string,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  context.notices.tell(
    'path',
    `MLflow has no artifact path '${shown(name)}': stored as '${path}', see the run's tags`,
  )
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 16)
  return setTag(context, `tracelet.path.${hash}`, JSON.stringify([name, path]), signal)
}

export function done(refusal: Refusal | undefined, { progress }: Step): WriteResult {
  const state = progress.kept()
  if (refusal === undefined) return { status: 'accepted', ...(state && { state }) }
  return refusal.status === 'retry' && state ? { ...refusal, state } : refusal
}

/** The same for the same item of the same run, so that what is sent again replaces itself; a UUID of version 8. */
export function itemUuid(...parts: readonly (string | number)[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  const variant = '89ab'[Number.parseInt(hex[16]!, 16) & 3]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
