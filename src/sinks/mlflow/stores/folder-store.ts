/**
 * Artifacts of a server that serves none (`--no-serve-artifacts`) and keeps them in a folder of this machine.
 *
 * That a folder of that name exists here says little: the server may be elsewhere and have one too. So a small file
 * is put there first, and only if the server sees it is the folder taken for the same.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { access, mkdir, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import type { Refusal } from '../../http.ts'
import type { MlflowApi } from '../api.ts'
import { refusalOf } from '../remote-run.ts'
import type { ArtifactStore, Content, Transfer } from './store.ts'

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
  let made: string | undefined
  try {
    // `<root>/<experiment>/<run>/artifacts`: the server makes the last three, the root must be there.
    await access(dirname(dirname(dirname(folder))))
    made = await mkdir(folder, { recursive: true })
    await writeFile(join(folder, name), '')
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException
    return NOT_OURS.has(code)
      ? false
      : { status: 'retry', code: 'ERR_SERVER', reason: `MLflow's folder ${folder}: ${message}` }
  }
  let isShared = false
  try {
    const reply = await api.get('artifacts/list', { run_id: runId }, signal)
    if (reply.status === 'refused') return refusalOf(reply)
    const files = reply.status === 'ok' ? ((reply.json.files ?? []) as readonly { path: string }[]) : []
    isShared = files.some(({ path }) => path === name)
    return isShared
  } finally {
    await rm(join(folder, name), { force: true })
    if (!isShared && made !== undefined) await removeEmpty(folder, made)
  }
}

/** A folder and those above it up to `top`, as far as nothing is in them. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  try {
    for (let at = folder; at.startsWith(top); at = dirname(at)) await rmdir(at)
  } catch {
    // Somebody uses it.
  }
}

/** Of making a folder: it is not there for us. Anything else, such as a full disk, says nothing and may pass. */
const NOT_OURS: ReadonlySet<string> = new Set([
  'ENOENT',
  'ENOTDIR',
  'EEXIST',
  'EACCES',
  'EPERM',
  'EROFS',
  'ELOOP',
  'ENAMETOOLONG',
])

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

async function copy(content: Content, target: string, { signal, sent }: Transfer): Promise<void> {
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
