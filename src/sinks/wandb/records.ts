/**
 * Params, tags, notes and definitions of metrics as updates of the run. Each sends the whole config or all of the
 * tags, and null for the rest, so writers do not clobber each other. It goes by the server's own id of the run alone,
 * as W&B's public API does: an update of a deleted run must not make it anew.
 */
import type { RunRecord, WriteResult } from '../../core/types.ts'
import type { RemoteRun, WandbApi } from './api.ts'
import type { RunConfig } from './config.ts'
import { MAX_TAG_CHARS } from './options.ts'

export interface RecordParts {
  readonly api: WandbApi
  readonly remote: RemoteRun
  readonly config: RunConfig
  /** All tags that the run has there. */
  readonly tags: Set<string>
  readonly notices: { readonly tell: (topic: string, message: string) => void }
}

export interface UpsertInput {
  /** Storage id: of a run that is there. */
  readonly id?: string | null | undefined
  /** The run's id in addresses. */
  readonly name?: string | null | undefined
  readonly project?: string | null | undefined
  readonly entity?: string | null | undefined
  readonly groupName?: string | null | undefined
  readonly displayName?: string | null | undefined
  readonly notes?: string | null | undefined
  readonly description?: string | null | undefined
  readonly tags?: readonly string[] | null | undefined
  readonly jobType?: string | null | undefined
  readonly host?: string | null | undefined
  readonly program?: string | null | undefined
  readonly commit?: string | null | undefined
  readonly repo?: string | null | undefined
  /** JSON text. */
  readonly config?: string | null | undefined
  readonly sweep?: string | null | undefined
}

/** What an upsert answers: `data.upsertBucket`. */
export interface UpsertPayload {
  readonly inserted: boolean | null
  readonly bucket: {
    readonly id: string
    readonly name: string
    readonly displayName: string | null
    readonly config: string | null
    readonly historyLineCount: number | null
    readonly project: { readonly name: string; readonly entity: { readonly name: string } } | null
  } | null
}

const TYPES = {
  ...{ id: 'String', name: 'String', project: 'String', entity: 'String', groupName: 'String' },
  ...{ description: 'String', displayName: 'String', notes: 'String', commit: 'String' },
  ...{ config: 'JSONString', host: 'String', debug: 'Boolean', program: 'String', repo: 'String' },
  ...{ jobType: 'String', state: 'String', sweep: 'String', tags: '[String!]', summaryMetrics: 'JSONString' },
}
/** Variables that the server calls otherwise. */
const INPUT_NAMES: Readonly<Record<string, string>> = {
  ...{ project: 'modelName', entity: 'entityName', program: 'jobProgram', repo: 'jobRepo' },
}
const NAMES = Object.keys(TYPES)

export const UPSERT_BUCKET = `mutation UpsertBucket(${Object.entries(TYPES)
  .map(([name, type]) => `$${name}: ${type}`)
  .join(', ')}) { upsertBucket(input: {${NAMES.map((name) => `${INPUT_NAMES[name] ?? name}: $${name}`).join(
  ', ',
)}}) { bucket { id name displayName description config sweepName project { id name entity { id name } } historyLineCount } inserted } }`

/** As the SDK sends them: null for what is not given, which stays as it is. */
export function upsertVariables(input: UpsertInput): Readonly<Record<string, unknown>> {
  return Object.fromEntries(NAMES.map((name) => [name, input[name as keyof UpsertInput] ?? null]))
}

export type ConfigRecord = Extract<RunRecord, { kind: 'params' | 'tags' | 'notes' | 'metric' }>

/** Accepted only on the server's yes; sending one again changes nothing. */
export async function writeConfigRecord(
  parts: RecordParts,
  record: ConfigRecord,
  signal: AbortSignal,
): Promise<WriteResult> {
  switch (record.kind) {
    case 'params': {
      const undo = parts.config.addParams(record.params)
      return settled(await upsert(parts, { config: parts.config.text() }, signal), undo)
    }
    case 'metric': {
      const undo = parts.config.define(record)
      return settled(await upsert(parts, { config: parts.config.text() }, signal), undo)
    }
    case 'notes':
      return upsert(parts, { notes: record.notes }, signal)
    case 'tags':
      return writeTags(parts, record.tags, signal)
  }
}

async function writeTags(
  parts: RecordParts,
  given: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<WriteResult> {
  const tags = withTags(parts.tags, given, parts.notices.tell)
  const result = await upsert(parts, { tags: [...tags] }, signal)
  if (result.status === 'accepted') {
    parts.tags.clear()
    for (const tag of tags) parts.tags.add(tag)
  }
  return result
}

/** All tags of a run, `name` or `name:value`; a value takes the place of the one that the name had. */
export function withTags(
  before: ReadonlySet<string>,
  given: Readonly<Record<string, string>>,
  tell: (topic: string, message: string) => void,
): ReadonlySet<string> {
  const tags = new Set(before)
  for (const [name, value] of Object.entries(given)) {
    if (value !== '') for (const tag of tags) if (tag === name || tag.startsWith(`${name}:`)) tags.delete(tag)
    const text = value === '' ? name : `${name}:${value}`
    const tag = cut(text)
    if (tag !== text) tell('tag', `W&B holds ${MAX_TAG_CHARS} characters of a tag: '${tag}' is cut`)
    if (tag !== '') tags.add(tag)
  }
  return tags
}

async function upsert(
  { api, remote }: RecordParts,
  input: UpsertInput,
  signal: AbortSignal,
): Promise<WriteResult> {
  const variables = upsertVariables({ id: remote.storageId, ...input })
  const answer = await api.graphql<{ upsertBucket: UpsertPayload | null }>(
    'UpsertBucket',
    UPSERT_BUCKET,
    variables,
    signal,
  )
  if ('refusal' in answer) return answer.refusal
  const { restMs } = answer
  if (answer.data.upsertBucket?.bucket) {
    return { status: 'accepted', ...(restMs !== undefined && { restMs }) }
  }
  const reason = `W&B knows no run '${remote.run}' any more`
  return { status: 'blocked', scope: 'run', code: 'ERR_REMOTE_RUN_GONE', reason }
}

/** What the server does not take must not stand in every update after it. */
function settled(result: WriteResult, undo: () => void): WriteResult {
  if (result.status !== 'accepted') undo()
  return result
}

function cut(text: string): string {
  return text.length <= MAX_TAG_CHARS ? text : text.slice(0, MAX_TAG_CHARS).replace(/[\ud800-\udbff]$/, '')
}
