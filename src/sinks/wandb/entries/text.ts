/** Texts, also those that are blobs, as much of them as a value may be. */
import type { RunInfo, RunRecord } from '../../../core/types.ts'
import { headOf, verified } from '../../run-blobs.ts'
import type { EntryNotice } from './entry.ts'

/** W&B's documented limit of a single value: below 1 MB. */
export const MAX_VALUE_BYTES = 1_000_000

/** @throws BlobError; errors of node:fs that may pass */
export async function textJson(
  { text, name }: Extract<RunRecord, { kind: 'text' }>,
  { folder }: Pick<RunInfo, 'folder'>,
  tell: EntryNotice,
): Promise<string> {
  if (typeof text === 'string') return fitted(text, name, tell)
  const piece = await verified(text, folder)
  return fitted((await headOf(piece, Infinity)).toString('utf8'), name, tell)
}

function fitted(text: string, name: string, tell: EntryNotice): string {
  const json = JSON.stringify(text)
  if (Buffer.byteLength(json) <= MAX_VALUE_BYTES) return json
  tell('text', `W&B holds ${MAX_VALUE_BYTES} bytes of a text: longer ones are cut (first '${name}')`)
  let from = 0
  let to = Math.min(text.length, MAX_VALUE_BYTES)
  while (from < to) {
    const middle = Math.ceil((from + to) / 2)
    if (Buffer.byteLength(JSON.stringify(text.slice(0, middle))) <= MAX_VALUE_BYTES) from = middle
    else to = middle - 1
  }
  // never within a pair of surrogates: half of one takes more bytes than the whole
  return JSON.stringify(text.slice(0, from))
}
