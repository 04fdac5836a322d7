/**
 * The one run at W&B that a sink writes to: looked for first, then made, found again or joined.
 *
 *   cursor    there               then
 *   nothing   no run              made, with an id of ours and our nonce in its config
 *   nothing   with our nonce      ours: an answer was lost
 *   nothing   of somebody else    refused, unless the user asked to join it: then ours begins behind what is there
 *   state     no run              gone; never made again
 *   state     as many lines       gone on with
 *   state     more lines          an answer was lost, or there is another writer: see tail.ts
 *   state     fewer lines         asked again a few times, since answers may be old; then refused
 */
import type { RunInfo, SinkState } from '../../core/types.ts'
import { ofRun, type RemoteRun, type RunRefusal, type WandbApi } from './api.ts'
import type { RunConfig } from './config.ts'
import { isObject, type Json, parseJson } from './extended-json.ts'
import { remoteRunId } from './keys.ts'
import { givenName, givenRunId, groupOf, type PreparedOptions, projectOf } from './options.ts'
import { UPSERT_BUCKET, type UpsertPayload, upsertVariables } from './records.ts'
import type { LineCounts, WandbState } from './state.ts'
import { lastStepOf, readTail, Tail } from './tail.ts'

export interface OpenParts {
  readonly api: WandbApi
  readonly run: RunInfo
  readonly options: PreparedOptions
  readonly config: RunConfig
}
export interface OpenedRun {
  readonly remote: RemoteRun
  readonly state: WandbState
  /** Lines that the state does not know of. */
  readonly tail?: Tail
  /** The summary as the server has it: JSON text. */
  readonly summary: string | null | undefined
  readonly tags: readonly string[]
}

interface Bucket {
  readonly id: string
  readonly name: string
  readonly historyLineCount?: number | null
  readonly eventsLineCount?: number | null
  readonly logLineCount?: number | null
  readonly historyTail?: string | null
  readonly summaryMetrics?: string | null
  readonly config?: string | null
  readonly tags?: readonly string[] | null
}
type Made = UpsertPayload & { readonly bucket: NonNullable<UpsertPayload['bucket']> }
interface Looked {
  readonly model?: {
    readonly name?: string
    readonly entity?: { readonly name?: string } | null
    readonly bucket?: Bucket | null
  } | null
}

const RUN_RESUME_STATUS = `query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) {
    id name entity { id name }
    bucket(name: $name, missingOk: true) {
      id name summaryMetrics historyLineCount eventsLineCount logLineCount historyTail eventsTail
      config tags notes wandbConfig(keys: ["t"])
    }
  }
}`

/** Answers that show less than there was: so many are taken for old ones. */
const MAX_STALE_ANSWERS = 5
/** By nonce. Outlives a sink, which is made anew for each attempt to open. */
const staleAnswers = new Map<string, number>()

export async function openRun(
  parts: OpenParts,
  state: WandbState | undefined,
  signal: AbortSignal,
): Promise<OpenedRun | RunRefusal> {
  const { options, run } = parts
  const where = {
    entity: state?.entity ?? (options.entity || null),
    project: state?.project ?? projectOf(options, run),
    name: state?.run ?? givenRunId(options, run) ?? remoteRunId(run.id),
  }
  const looked = await parts.api.graphql<Looked>('RunResumeStatus', RUN_RESUME_STATUS, where, signal)
  const isMissing = 'refusal' in looked && (looked.code === 404 || looked.code === 410)
  if ('refusal' in looked && !isMissing) return ofRun(looked.refusal)
  const model = 'data' in looked ? looked.data.model : undefined
  const bucket = model?.bucket ?? undefined
  if (state !== undefined) {
    if (bucket === undefined) return gone(where)
    return goOn(parts, state, bucket, signal)
  }
  if (bucket === undefined) {
    if (options.resume === 'must' && givenRunId(options, run) !== undefined) {
      const reason = `there is no run '${where.name}' in the project '${where.project}', and \`resume\` says that it must be`
      return { status: 'blocked', scope: 'run', code: 'ERR_REMOTE_RUN_GONE', reason }
    }
    return make(parts, where, signal)
  }
  const isOurs = nonceIn(bucket.config) === run.nonce
  if (isOurs) {
    const [entity, project] = [model?.entity?.name ?? where.entity ?? '', model?.name ?? where.project]
    const remote = { entity, project, run: bucket.name, storageId: bucket.id }
    return goOn(parts, { ...remote, lines: NO_LINES, lastStep: -1, renumbered: 0 }, bucket, signal)
  }
  if (options.resume === 'never') {
    return otherWriter(
      `there is a run '${where.name}' in the project '${where.project}' that somebody else has made; ` +
        "resume: 'allow' (or WANDB_RESUME) joins it, another runId leaves it alone",
    )
  }
  return join(parts, where, bucket, signal)
}

/** What the cursor holds, if it is a run of ours. */
export function stateOf(saved: SinkState): WandbState | undefined {
  return typeof saved?.storageId === 'string' ? (saved as unknown as WandbState) : undefined
}

const NO_LINES: LineCounts = { history: 0, events: 0, output: 0 }

async function goOn(
  { api, config, run }: OpenParts,
  state: WandbState,
  bucket: Bucket,
  signal: AbortSignal,
): Promise<OpenedRun | RunRefusal> {
  config.restore(bucket.config)
  const { entity, project, storageId } = state
  const remote = { entity, project, run: state.run, storageId }
  const opened = { remote, state, summary: bucket.summaryMetrics, tags: bucket.tags ?? [] }
  const theirs = bucket.historyLineCount ?? 0
  const ours = state.lines.history
  if (theirs === ours) return fresh(run, opened)
  const shown = theirs > ours ? await linesSince(api, state, theirs - ours, signal) : []
  if (shown !== undefined && 'status' in shown) return shown
  const tail = new Tail(theirs, shown ?? readTail(bucket.historyTail), ours, state.lastStep)
  if (theirs > ours && !tail.isEmpty) return fresh(run, { ...opened, tail })
  const reason =
    theirs > ours
      ? `W&B has ${theirs} lines of the run, and shows none of those behind the ${ours} that are ours`
      : `W&B has ${theirs} lines of the run, and has taken ${ours} of ours`
  const seen = (staleAnswers.get(run.nonce) ?? 0) + 1
  if (seen > MAX_STALE_ANSWERS) return otherWriter(reason)
  staleAnswers.set(run.nonce, seen)
  return { status: 'retry', code: 'ERR_SERVER', reason: `${reason}: perhaps an old answer` }
}

/** As the SDK's reader asks for a page. */
const HISTORY_PAGE = `query HistoryPage($entity: String!, $project: String!, $run: String!, $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!) {
  project(name: $project, entityName: $entity) {
    run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
  }
}`
/** More were never under way at once. */
const MAX_LINES_READ = 50_000

/** The lines that the state does not know of; undefined where the server does not show just these. */
async function linesSince(
  api: WandbApi,
  { entity, project, run, lastStep }: WandbState,
  count: number,
  signal: AbortSignal,
): Promise<readonly string[] | undefined | RunRefusal> {
  if (count > MAX_LINES_READ) return undefined
  const variables = {
    ...{ entity, project, run, minStep: lastStep + 1 },
    ...{ maxStep: Number.MAX_SAFE_INTEGER, pageSize: count },
  }
  const answer = await api.graphql<Page>('HistoryPage', HISTORY_PAGE, variables, signal)
  // what a tail shows is less, and may be too little
  if ('refusal' in answer && answer.refusal.status === 'retry') return answer.refusal
  const lines = 'data' in answer ? answer.data.project?.run?.history : undefined
  return Array.isArray(lines) && lines.length === count ? lines.map(String) : undefined
}

interface Page {
  readonly project?: { readonly run?: { readonly history?: readonly string[] | null } | null } | null
}

function fresh(run: RunInfo, opened: OpenedRun): OpenedRun {
  staleAnswers.delete(run.nonce)
  return opened
}

interface Where {
  readonly entity: string | null
  readonly project: string
  readonly name: string
}

async function make(parts: OpenParts, where: Where, signal: AbortSignal): Promise<OpenedRun | RunRefusal> {
  const made = await upsert(parts, where, undefined, signal)
  if ('status' in made) return made
  const { inserted, bucket } = made
  if (inserted === false && (bucket.historyLineCount ?? 0) > 0) {
    return otherWriter(`somebody else has begun the run '${where.name}' in the project '${where.project}'`)
  }
  const remote = remoteOf(made, where)
  const state = { ...remote, lines: NO_LINES, lastStep: -1, renumbered: 0 }
  return { remote, state, summary: undefined, tags: parts.options.tags }
}

/** Our lines begin behind those that are there. */
async function join(
  parts: OpenParts,
  where: Where,
  there: Bucket,
  signal: AbortSignal,
): Promise<OpenedRun | RunRefusal> {
  parts.config.restore(there.config)
  const made = await upsert(parts, where, there.id, signal)
  if ('status' in made) return made
  const remote = remoteOf(made, where)
  const lines: LineCounts = {
    history: there.historyLineCount ?? 0,
    events: there.eventsLineCount ?? 0,
    output: there.logLineCount ?? 0,
  }
  const summed = member(parseJson(there.summaryMetrics), '_step')
  // Either may be old. A run with lines has steps, seen or not.
  const lastStep = Math.max(
    typeof summed === 'number' ? summed : -1,
    lastStepOf(there.historyTail),
    lines.history - 1,
  )
  const state = { ...remote, lines, lastStep, renumbered: 0 }
  return { remote, state, summary: there.summaryMetrics, tags: there.tags ?? [] }
}

async function upsert(
  { api, run, options, config }: OpenParts,
  { entity, project, name }: Where,
  storageId: string | undefined,
  signal: AbortSignal,
): Promise<Made | RunRefusal> {
  const variables = upsertVariables({
    ...(storageId !== undefined && { id: storageId }),
    name,
    project,
    ...(entity !== null && { entity }),
    // a run that is joined keeps its name and its group, but for those that the user has said
    ...(storageId === undefined
      ? {
          displayName: givenName(options, run) ?? run.name,
          ...given('groupName', groupOf(options, run)),
          ...given('notes', options.notes),
          ...(options.tags.length > 0 && { tags: options.tags }),
        }
      : {
          ...given('displayName', givenName(options, run)),
          ...given('groupName', options.group || run.group),
        }),
    ...given('jobType', options.jobType),
    ...given('program', run.program),
    config: config.text(),
  })
  const answer = await api.graphql<Answer>('UpsertBucket', UPSERT_BUCKET, variables, signal)
  if ('refusal' in answer) {
    const { refusal, code } = answer
    // of a run that is being made it cannot be said that it was deleted
    const isMissing = refusal.status === 'blocked' && (code === 404 || code === 410)
    return isMissing ? { ...refusal, code: 'ERR_REFUSED' } : ofRun(refusal)
  }
  const made = answer.data.upsertBucket
  if (made?.bucket?.id) return made as Made
  return { status: 'retry', code: 'ERR_SERVER', reason: 'W&B did not say which run it has made' }
}

interface Answer {
  readonly upsertBucket: UpsertPayload | null
}

function given(name: string, value: string | undefined): object {
  return value === undefined || value === '' ? {} : { [name]: value }
}

/** As the server says: what it was asked for may be an alias. */
function remoteOf({ bucket }: Made, where: Where): RemoteRun {
  return {
    entity: bucket.project?.entity?.name ?? where.entity ?? '',
    project: bucket.project?.name ?? where.project,
    run: bucket.name ?? where.name,
    storageId: bucket.id,
  }
}

/** That of the run of ours, whichever, that the config is of. */
function nonceIn(config: string | null | undefined): unknown {
  const path = ['_wandb', 'value', 'tracelet', 'nonce']
  return path.reduce<Json | undefined>(member, parseJson(config))
}
function member(of: Json | undefined, name: string): Json | undefined {
  return isObject(of) ? of[name] : undefined
}

function gone({ project, name }: Where): RunRefusal {
  const reason = `the run '${name}' is not in the project '${project}' at W&B any more`
  return { status: 'blocked', scope: 'run', code: 'ERR_REMOTE_RUN_GONE', reason }
}

export function otherWriter(reason: string): RunRefusal {
  return { status: 'blocked', scope: 'run', code: 'ERR_OTHER_WRITER', reason }
}
