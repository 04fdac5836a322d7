/** Params and tags to a run: all that MLflow takes, and by index what it does not. */
import type { Rejection } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import type { MlflowApi } from './api.ts'
import { chunkEntries, type Entry, encodeEntries } from './encode.ts'
import { deleted, getRun, isFault } from './remote-run.ts'

export interface OpenedRun {
  readonly api: MlflowApi
  readonly runId: string
}
export type Sent = { readonly rejected: readonly Rejection[] } | { readonly refusal: Refusal }

/**
 * MLflow stores all of a request or nothing and says of the whole that something is wrong. A refused request of
 * params is compared with what the run holds, since a changed value is the usual cause; what is refused for
 * another reason is halved down to the entry.
 */
export async function sendEntries(
  { api, runId }: OpenedRun,
  field: 'params' | 'tags',
  entries: readonly Entry[],
  signal: AbortSignal,
): Promise<Sent> {
  const rejected: Rejection[] = []
  const waiting = chunkEntries(entries)
  let compared = field === 'tags'
  for (let chunk = waiting.shift(); chunk !== undefined; chunk = waiting.shift()) {
    const reply = await api.post('runs/log-batch', encodeEntries(runId, field, chunk), signal)
    if (reply.status === 'ok') continue
    if (isFault(reply, 'missing')) return { refusal: deleted(runId) }
    if (reply.status === 'refused') return reply
    const run = await getRun(api, runId, signal)
    if ('refusal' in run) return run
    if (!compared) {
      compared = true
      const held = new Map(run.found.data?.params?.map(({ key, value }) => [key, value]))
      const rest = [...chunk, ...waiting.flat()].filter((entry) => {
        const conflict = conflictOf(entry, held)
        if (conflict) rejected.push(conflict)
        return !conflict
      })
      waiting.splice(0, waiting.length, ...chunkEntries(rest))
    } else if (chunk.length > 1) {
      const half = chunk.length >> 1
      waiting.unshift(chunk.slice(0, half), chunk.slice(half))
    } else {
      rejected.push({ index: chunk[0]!.index, code: 'ERR_REFUSED', reason: reply.reason })
    }
  }
  return { rejected }
}

function conflictOf(entry: Entry, held: ReadonlyMap<string, string>): Rejection | undefined {
  const value = held.get(entry.key)
  if (value === undefined || value === entry.value) return undefined
  const reason = `MLflow holds '${value.slice(0, 50)}' for the parameter '${entry.key}' and never changes one`
  return { index: entry.index, code: 'ERR_PARAM_CONFLICT', reason }
}
