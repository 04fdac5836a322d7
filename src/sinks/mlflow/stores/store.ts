/** Where artifacts go, whatever it is made of. */
import type { HttpBody, Refusal } from '../../http.ts'

/** What is stored: bytes at hand, or a file of the run. */
export type Content = { readonly type: string } & (
  | { readonly bytes: Buffer }
  | { readonly location: string; readonly size: number }
)

/**
 * Parts of a large file, as far as they have arrived. Only ever in memory: whoever has the address of a part may
 * write to the store.
 */
export interface PartsState {
  readonly uploadId: string
  readonly partBytes: number
  /** Where each part goes, good for an hour, and its answer once it is there: '' where a store gives none. */
  readonly parts: readonly {
    readonly number: number
    readonly url: string
    readonly headers?: Readonly<Record<string, string>>
    readonly etag?: string
  }[]
  /** Wall ms. */
  readonly since: number
}

export interface Transfer {
  readonly signal: AbortSignal
  /** So many more bytes have gone out. */
  readonly sent: (bytes: number) => void
  /** What an earlier attempt of this process at this path has reached. */
  readonly parts?: PartsState | undefined
  /** Upload of an earlier process that was never completed: its parts are to be given up. */
  readonly abandoned?: string | undefined
  /** Keeps it; undefined when it is over. */
  readonly keepParts?: (parts: PartsState | undefined) => void
}

export interface ArtifactStore {
  /** Stores content under a path below the root, whole or not at all; what was there is replaced. */
  put(path: string, content: Content, transfer: Transfer): Promise<Refusal | undefined>
}

export function sizeOf(content: Content): number {
  return 'bytes' in content ? content.bytes.length : content.size
}

export function bodyOf(content: Content, { sent }: Transfer): HttpBody {
  const type = content.type || 'application/octet-stream'
  if ('bytes' in content) return { type, bytes: content.bytes }
  return { type, file: { location: content.location, from: 0, bytes: content.size, sent } }
}
