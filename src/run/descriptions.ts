/** What a run says about itself: notes, how its metrics are to be read, the datasets it used. */
import type { ErrorCode, ErrorRecord } from '../core/errors.ts'
import { redact, redactText } from '../core/redact.ts'
import type { MetricSummary, RunRecord } from '../core/types.ts'
import { describe, nameIssue, type RunProducer } from './producer.ts'

/** How the series of a name are to be read. */
export interface MetricOptions {
  /** Name of the series that is the x-axis instead of the step, such as `epoch`. */
  readonly axis?: string | undefined
  /** What stands for the series in a table of runs; 'best' goes by `goal`. Default 'last'. */
  readonly summary?: MetricSummary | readonly MetricSummary[] | undefined
  readonly goal?: 'minimize' | 'maximize' | undefined
}

/** A dataset that the run reads. */
export interface Dataset {
  readonly name: string
  /** Your own fingerprint of the data: 1 to 36 characters, MLflow's limit. */
  readonly digest: string
  /** Where it lies: a path or an address. */
  readonly source: string
  /** Default: what the address says, `http`, `s3`, `gs`, `hugging_face` …; a path is `local`. */
  readonly sourceType?: string | undefined
  /** JSON text, or what is to be written as JSON. */
  readonly schema?: unknown
  readonly profile?: unknown
  /** What it is read for: `training`, `validation` … */
  readonly context?: string | undefined
}

/** MLflow's longest digest of a dataset (MAX_DATASET_DIGEST_SIZE in its store). */
const MAX_DIGEST_LENGTH = 36
const SUMMARIES: readonly MetricSummary[] = ['min', 'max', 'mean', 'last', 'best']
const GOALS = ['minimize', 'maximize']
const SOURCE_TYPES: Readonly<Record<string, string>> = { https: 'http', hf: 'hugging_face', file: 'local' }

type Tell = (issue: ErrorRecord) => void

export function setNotes(producer: RunProducer, notes: string, report: Tell): void {
  if (typeof notes !== 'string') {
    return report(wrong(`setNotes() takes a text, but was given ${describe(notes)}`))
  }
  send(producer, { kind: 'notes', notes: redactText(notes) }, 'the notes', report)
}

export function defineMetric(
  producer: RunProducer,
  name: string,
  options: MetricOptions | undefined,
  report: Tell,
): void {
  const { axis, goal } = options ?? {}
  const issue = nameIssue(name) ?? (axis === undefined ? undefined : nameIssue(axis))
  if (issue) return report(issue)
  const summary = wordsOf(options?.summary)
  const unknown = summary?.find((word) => !SUMMARIES.includes(word))
  if (unknown !== undefined) {
    const words = SUMMARIES.join(', ')
    return report(
      wrong(`defineMetric('${name}'): a summary is one of ${words}, but was ${describe(unknown)}`),
    )
  }
  if (goal !== undefined && !GOALS.includes(goal)) {
    const words = GOALS.join(' or ')
    return report(wrong(`defineMetric('${name}'): the goal is ${words}, but was ${describe(goal)}`))
  }
  if (summary?.includes('best') && goal === undefined) {
    return report(wrong(`defineMetric('${name}'): what is best needs a goal: 'minimize' or 'maximize'`))
  }
  const record: RunRecord = {
    kind: 'metric',
    name,
    ...(axis !== undefined && { axis }),
    ...(summary !== undefined && { summary }),
    ...(goal !== undefined && { goal }),
  }
  send(producer, record, `the definition of '${name}'`, report)
}

export function logDataset(producer: RunProducer, dataset: Dataset, report: Tell): void {
  if (typeof dataset !== 'object' || dataset === null) {
    return report(wrong(`logDataset() takes an object, but was given ${describe(dataset)}`))
  }
  const { name, digest, source, sourceType, context } = dataset
  const issue = nameIssue(name)
  if (issue) return report(issue)
  for (const [field, value] of Object.entries({ digest, source, sourceType, context })) {
    const isOptional = field === 'sourceType' || field === 'context'
    if (isOptional && value === undefined) continue
    if (typeof value !== 'string' || value === '')
      return report(wrong(`the dataset '${name}': ${field} must be a text, but is ${describe(value)}`))
  }
  if (digest.length > MAX_DIGEST_LENGTH) {
    const message = `the dataset '${name}': a digest has at most ${MAX_DIGEST_LENGTH} characters, but this has ${digest.length}`
    return report({ code: 'ERR_VALUE_TOO_LONG', message })
  }
  let schema: string | undefined
  let profile: string | undefined
  try {
    schema = jsonText(dataset.schema)
    profile = jsonText(dataset.profile)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return report(wrong(`the dataset '${name}': schema or profile cannot be written as JSON: ${why}`))
  }
  const record: RunRecord = {
    kind: 'dataset',
    name: redactText(name),
    digest,
    source: redactText(source),
    sourceType: sourceType ?? sourceTypeOf(source),
    ...(schema !== undefined && { schema }),
    ...(profile !== undefined && { profile }),
    ...(context !== undefined && { context }),
  }
  send(producer, record, `the dataset '${name}'`, report)
}

export function useArtifact(
  producer: RunProducer,
  artifact: string,
  options: { readonly type?: string | undefined },
  report: Tell,
): void {
  const { type } = options
  const issue = nameIssue(artifact) ?? (type === undefined ? undefined : nameIssue(type))
  if (issue) return report(issue)
  const record: RunRecord = {
    kind: 'input',
    artifact: redactText(artifact),
    time: Date.now(),
    ...(type !== undefined && { type: redactText(type) }),
  }
  send(producer, record, `the use of '${artifact.slice(0, 100)}'`, report)
}

function send(producer: RunProducer, record: RunRecord, what: string, report: Tell): void {
  if (producer.recordIfFits(record)) return
  const message = `${what} does not fit into a record; log it as a text or an artifact, or raise laneSlots`
  report({ code: 'ERR_VALUE_TOO_LONG', message })
}

function wordsOf(summary: MetricOptions['summary']): readonly MetricSummary[] | undefined {
  return summary === undefined || Array.isArray(summary)
    ? (summary as readonly MetricSummary[])
    : [summary as MetricSummary]
}

/** Texts are taken for JSON as they are. */
function jsonText(value: unknown): string | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string') return redactText(value)
  return JSON.stringify(value, (key, inner: unknown) =>
    typeof inner === 'bigint' ? inner.toString() : redact(key, inner),
  )
}

function sourceTypeOf(source: string): string {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(source)?.[1]?.toLowerCase()
  return scheme === undefined ? 'local' : (SOURCE_TYPES[scheme] ?? scheme)
}

function wrong(message: string): ErrorRecord {
  return { code: 'ERR_VALUE' satisfies ErrorCode, message }
}
