/** Files of runs in a folder of this machine, or of one that is mounted here. */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { Refusal } from './http.ts'

/** Bytes at hand, or a file of the run. */
export type FileContent = { readonly bytes: Buffer } | { readonly location: string; readonly size: number }
export interface FileTransfer {
  readonly signal: AbortSignal
  /** So many more bytes have gone out. */
  readonly sent: (bytes: number) => void
}

const READ_BYTES = 1024 * 1024

/** The folder that an artifact URI names on the machine of the server; undefined when it names something else. */
export function folderOf(uri: string): string | undefined {
  // Another system's absolute path would be taken for one below the working directory.
  if (/^(\/|[A-Za-z]:[\\/])/.test(uri)) return isAbsolute(uri) ? uri : undefined
  if (!uri.startsWith('file:')) return undefined
  try {
    return fileURLToPath(uri)
  } catch {
    return undefined
  }
}

/** Whole or not at all; what was there is replaced. */
export class FolderStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async put(path: string, content: FileContent, transfer: FileTransfer): Promise<Refusal | undefined> {
    const target = join(this.#folder, path)
    // Named after the target's end only: the whole of it may already be as long as a name can be.
    const partial = join(dirname(target), `.tracelet-${process.pid}-${(serial++).toString(36)}.part`)
    try {
      await mkdir(dirname(target), { recursive: true })
      await copy(content, partial, transfer)
      await rename(partial, target)
      return undefined
    } catch (error) {
      await rm(partial, { force: true }).catch(() => {})
      return this.#refusal(path, error)
    }
  }

  #refusal(path: string, error: unknown): Refusal {
    const code = (error as NodeJS.ErrnoException).code ?? ''
    const reason = `'${path}' cannot be written to the folder ${this.#folder} (${code || String(error)})`
    if (NEVER.has(code)) return { status: 'split', code: 'ERR_REFUSED', reason }
    return { status: 'retry', code: 'ERR_SERVER', reason }
  }
}
let serial = 0

/** What no waiting will change: a file where a folder must be or the other way round, a name too long. */
const NEVER: ReadonlySet<string> = new Set([
  'ENOTDIR',
  'EEXIST',
  'EISDIR',
  'ENOTEMPTY',
  'ENAMETOOLONG',
  'EINVAL',
])

async function copy(content: FileContent, target: string, { signal, sent }: FileTransfer): Promise<void> {
  if ('bytes' in content) {
    await writeFile(target, content.bytes, { signal })
    sent(content.bytes.length)
    return
  }
  let copied = 0
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      copied += chunk.length
      sent(chunk.length)
      yield chunk
    }
  }
  const from = createReadStream(content.location, { highWaterMark: READ_BYTES })
  await pipeline(from, counted, createWriteStream(target), { signal })
  if (copied !== content.size) throw new Error(`${content.location} changed while it was copied`)
}
