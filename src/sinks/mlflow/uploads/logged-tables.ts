/** The tag by which MLflow knows which artifacts are tables: `load_table` and the web page look there. */
import type { Refusal } from '../../http.ts'
import { MAX_TAG_CHARS } from '../encode.ts'
import { getRun } from '../remote-run.ts'
import { setTag, type UploadContext } from './step.ts'

const TAG = 'mlflow.loggedArtifacts'

/** Adds a table to what stands there already; once, however often it is logged. */
export async function addLoggedTable(
  context: UploadContext,
  path: string,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { remote, notices, told } = context
  const mark = `table ${path}`
  if (told.has(mark)) return undefined
  const run = await getRun(remote.api, remote.runId, signal)
  if ('refusal' in run) return run.refusal
  const held = run.found.data?.tags?.find(({ key }) => key === TAG)?.value
  const listed = parseList(held)
  if (!listed.some((entry) => (entry as { path?: unknown } | null)?.path === path)) {
    const text = JSON.stringify([...listed, { path, type: 'table' }])
    if (text.length > MAX_TAG_CHARS) {
      notices.tell(
        'tables',
        `MLflow lists no more tables of this run; '${path}' and later ones are among its artifacts`,
      )
    } else {
      const refusal = await setTag(context, TAG, text, signal)
      if (refusal) return refusal
    }
  }
  told.add(mark)
  return undefined
}

function parseList(text: string | undefined): readonly unknown[] {
  try {
    const list: unknown = JSON.parse(text ?? '[]')
    return Array.isArray(list) ? list : []
  } catch {
    return []
  }
}
