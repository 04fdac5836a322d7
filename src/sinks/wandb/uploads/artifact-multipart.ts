/**
 * A large file in parts: each is put to an address of its own, and what is there when a step is given up, or after a
 * crash, is not sent again. `completeParts` names what the store called each part, which is its MD5 for most.
 */
import type { Refusal } from '../../http.ts'
import {
  type ArtifactCallParts,
  completeParts,
  type FileNode,
  type PartInput,
  type PartUrl,
  refreshParts,
} from './artifact-calls.ts'
import type { OpenStore } from './store-doors.ts'
import { addressFrom, putTo } from './store-put.ts'

/** The SDK's: smaller files go out whole. */
const MIN_BYTES = 2 * 1024 ** 3
const PART_BYTES = 100 * 1024 * 1024
/** What S3 hands out addresses for in one call. */
const MAX_PARTS = 1000
const ROUNDED_TO_BYTES = 4096

export interface MultipartLimits {
  readonly minBytes: number
  readonly partBytes: number
}
export const MULTIPART_LIMITS: MultipartLimits = { minBytes: MIN_BYTES, partBytes: PART_BYTES }

/** undefined: it goes out whole. */
export function partBytesOf(bytes: number, { minBytes, partBytes }: MultipartLimits): number | undefined {
  if (bytes < minBytes || bytes === 0) return undefined
  if (bytes <= partBytes * MAX_PARTS) return partBytes
  return Math.ceil(bytes / MAX_PARTS / ROUNDED_TO_BYTES) * ROUNDED_TO_BYTES
}

/** Stands in a cursor. */
export interface PartsState {
  readonly uploadId: string
  readonly storagePath: string
  /** By number, what the store called each part that is there; null where that is its MD5. */
  readonly done: Readonly<Record<string, string | null>>
}

export interface PartsJob {
  readonly parts: ArtifactCallParts & { readonly openStore: OpenStore }
  readonly artifact: string
  readonly path: string
  readonly location: string
  readonly bytes: number
  readonly partBytes: number
  /** MD5 of each, hexadecimal. */
  readonly md5s: readonly string[]
  readonly sent: (bytes: number) => void
  readonly signal: AbortSignal
  readonly keep: (state: PartsState | undefined) => void
}

/** 'void': the parts of before are of no use any more, and the file begins anew. */
export async function putParts(
  job: PartsJob,
  before: PartsState,
  urls: readonly PartUrl[] | undefined,
): Promise<Refusal | 'void' | undefined> {
  const { parts, artifact, md5s, signal } = job
  let state = before
  let addresses = new Map((urls ?? []).map(({ partNumber, uploadUrl }) => [partNumber, uploadUrl]))
  const place = { artifact, uploadId: state.uploadId, storagePath: state.storagePath }
  const missing = () => numbered(md5s).filter(({ partNumber }) => !(partNumber in state.done))
  for (const { partNumber } of numbered(md5s)) {
    if (partNumber in state.done) {
      job.sent(sizeOf(job, partNumber))
      continue
    }
    for (let isFresh = false; ; isFresh = true) {
      if (isFresh || !addresses.has(partNumber)) {
        const found = await refreshParts(parts, place, missing(), signal)
        if ('status' in found) return found.status === 'split' ? 'void' : found
        addresses = new Map(found.found.map((one) => [one.partNumber, one.uploadUrl]))
        isFresh = true
      }
      const put = await putPart(job, partNumber, addresses.get(partNumber))
      if (!('refusal' in put)) {
        const isMd5 = put.etag === undefined || put.etag === md5s[partNumber - 1]
        state = { ...state, done: { ...state.done, [partNumber]: isMd5 ? null : put.etag } }
        job.keep(state)
        break
      }
      if (!put.isExpired || isFresh) return put.refusal
    }
  }
  const completed = numbered(md5s).map((one) => ({
    ...one,
    // as the store said it, with its quotes
    hexMD5: `"${state.done[one.partNumber] ?? one.hexMD5}"`,
  }))
  const answer = await completeParts(parts, place, completed, signal)
  if (!('status' in answer)) {
    job.keep(undefined)
    return undefined
  }
  // those of before may be gone, or complete without our having heard of it
  return answer.status === 'split' && Object.keys(before.done).length > 0 ? 'void' : answer
}

export function partsState({ uploadMultipartUrls, storagePath }: FileNode): PartsState | undefined {
  if (!uploadMultipartUrls || storagePath === null) return undefined
  return { uploadId: uploadMultipartUrls.uploadID, storagePath, done: {} }
}

function numbered(md5s: readonly string[]): readonly PartInput[] {
  return md5s.map((hexMD5, at) => ({ partNumber: at + 1, hexMD5 }))
}

function sizeOf({ bytes, partBytes }: PartsJob, partNumber: number): number {
  return Math.min(partBytes, bytes - (partNumber - 1) * partBytes)
}

async function putPart(job: PartsJob, partNumber: number, url: string | undefined) {
  const { parts, md5s, path, location, partBytes, sent, signal } = job
  const md5 = Buffer.from(md5s[partNumber - 1]!, 'hex').toString('base64')
  const address = addressFrom(url, [`content-md5:${md5}`], parts.api.baseUrl)
  if (address === undefined) {
    const reason = `W&B gave no address for part ${partNumber} of '${path}'`
    return { refusal: { status: 'retry', code: 'ERR_SERVER', reason } as Refusal, isExpired: false }
  }
  const file = { location, from: (partNumber - 1) * partBytes, bytes: sizeOf(job, partNumber), sent }
  return putTo(parts.openStore, address, { file }, `${path}, part ${partNumber}`, signal)
}
