/**
 * Artifacts of a server that serves none (`--no-serve-artifacts`) and keeps them in a folder of this machine.
 *
 * That a folder of that name exists here says little: the server may be elsewhere and have one too. So a small file
 * is put there first, and only if the server sees it is the folder taken for the same.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { Refusal } from '../../http.ts'
import type { MlflowApi } from '../api.ts'
import { refusalOf } from '../remote-run.ts'
import type { ArtifactStore, Content, Transfer } from './store.ts'

const READ_BYTES = 1024 * 1024

/** The folder that an artifact URI names on the machine of the server; undefined when it names something else. */
export function folderOf(uri: string): string | undefined {
  if (uri.startsWith('/') || /^[A-Za-z]:[\\/]/.test(uri)) return uri
  if (!uri.startsWith('file:')) return undefined
  try {
    return fileURLToPath(uri)
  } catch {
    return undefined
  }
}

/**
 * Whether the server sees what is written to its folder of a run's artifacts from here.
 * @param token names the file that is tried with; it is gone afterwards
 */
export async function isSharedFolder(
  api: MlflowApi,
  runId: string,
  folder: string,
  token: string,
  signal: AbortSignal,
): Promise<boolean | Refusal> {
  const name = `.tracelet-${token}`
  try {
    // `<root>/<experiment>/<run>/artifacts`: the server makes the last three, the root must be there.
    await access(dirname(dirname(dirname(folder))))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, name), '')
  } catch {
    return false
  }
  try {
    const reply = await api.get('artifacts/list', { run_id: runId }, signal)
    if (reply.status === 'refused') return refusalOf(reply)
    const files = reply.status === 'ok' ? ((reply.json.files ?? []) as readonly { path: string }[]) : []
    return files.some(({ path }) => path === name)
  } finally {
    await rm(join(folder, name), { force: true })
  }
}

export class FolderStore implements ArtifactStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async put(path: string, content: Content, transfer: Transfer): Promise<Refusal | undefined> {
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
    const reason = `'${path}' cannot be written to MLflow's folder ${this.#folder} (${code || String(error)})`
    if (NEVER.has(code)) return { status: 'split', code: 'ERR_REFUSED', reason }
    return { status: 'retry', reason }
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

async function copy(content: Content, target: string, { signal, sent }: Transfer): Promise<void> {
  if ('bytes' in content) {
    await writeFile(target, content.bytes, { signal })
    sent(content.bytes.length)
    return
  }
  const counted = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      sent(chunk.length)
      yield chunk
    }
  }
  const from = createReadStream(content.location, { highWaterMark: READ_BYTES })
  await pipeline(from, counted, createWriteStream(target), { signal })
}
