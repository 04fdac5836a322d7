/**
 * Artifacts of a server that serves none (`--no-serve-artifacts`) and keeps them in a folder of this machine.
 *
 * That a folder of that name exists here says little: the server may be elsewhere and have one too. So a small file
 * is put there first, and only if the server sees it is the folder taken for the same.
 */
import { access, mkdir, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Refusal } from '../../http.ts'
import type { MlflowApi } from '../api.ts'
import { refusalOf } from '../remote-run.ts'

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
