/**
 * The messages of a `.wandb` file, by the field numbers of `wandb/proto/wandb_internal.proto` (SDK 0.31.0).
 * Each function gives the content of a `Record` but for its number, which `numbered` puts before it.
 */
import { messageField, stringField, varintField } from '../../protobuf.ts'
import { GOAL, type MetricDefinition, optionsOf, withEscapes, writtenName } from '../metric-definitions.ts'
import { DIGEST_ALGORITHM, STORAGE_LAYOUT, STORAGE_POLICY } from '../uploads/artifact-plan.ts'

/** Fields of `Record`. */
const CONFIG = 5
const FILES = 6
const ARTIFACT = 8
const ALERT = 10
const METRIC = 12
const OUTPUT_RAW = 13
const RUN = 17
const EXIT = 18
const ENVIRONMENT = 26

/** Key and JSON text. */
export type Item = readonly [key: string, json: string]

/** A whole `Record`. */
export function numbered(number: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([varintField(1, number), content])
}

export interface RunMessage {
  readonly id: string
  readonly project: string
  readonly startMs: number
  readonly entity?: string | undefined
  readonly group?: string | undefined
  readonly jobType?: string | undefined
  readonly displayName?: string | undefined
  readonly notes?: string | undefined
  readonly tags?: readonly string[]
  readonly host?: string | undefined
  readonly config?: readonly Item[]
}

/** A later one of the same run changes what it has; without its start the run would begin in 1970. */
export function runMessage(run: RunMessage): Uint8Array {
  return messageField(
    RUN,
    stringField(1, run.id),
    ...text(2, run.entity),
    stringField(3, run.project),
    ...(run.config === undefined ? [] : [messageField(4, ...updates(run.config))]),
    ...text(6, run.group),
    ...text(7, run.jobType),
    ...text(8, run.displayName),
    ...text(9, run.notes),
    ...(run.tags ?? []).map((tag) => stringField(10, tag)),
    ...text(13, run.host),
    timestamp(17, run.startMs),
  )
}

export interface EnvironmentMessage {
  readonly os: string
  readonly startMs: number
  readonly program?: string | undefined
  readonly host: string
  readonly user?: string | undefined
  readonly executable: string
  /** Of several that write to a run. */
  readonly writer: string
}

export function environmentMessage(of: EnvironmentMessage): Uint8Array {
  return messageField(
    ENVIRONMENT,
    stringField(1, of.os),
    timestamp(3, of.startMs),
    ...text(6, of.program),
    stringField(12, of.host),
    ...text(13, of.user),
    stringField(14, of.executable),
    stringField(199, of.writer),
  )
}

/** Each takes the place of the whole value under its key. */
export function configMessage(items: readonly Item[]): Uint8Array {
  return messageField(CONFIG, ...updates(items))
}

export function metricMessage(metric: MetricDefinition): Uint8Array {
  const { isGlob, axis, summary, goal } = metric
  const flags = (fields: readonly number[]) => fields.map((field) => varintField(field, 1))
  return messageField(
    METRIC,
    stringField(isGlob ? 2 : 1, writtenName(metric)),
    ...text(4, axis && withEscapes(axis)),
    messageField(6, ...flags(optionsOf(metric))),
    messageField(7, ...flags(summary)),
    ...(goal === undefined ? [] : [varintField(8, GOAL[goal])]),
  )
}

export function outputMessage(stream: 'stdout' | 'stderr', line: string, timeMs: number): Uint8Array {
  return messageField(
    OUTPUT_RAW,
    ...(stream === 'stdout' ? [varintField(1, 1)] : []),
    timestamp(2, timeMs),
    ...text(3, line),
  )
}

/** Paths below the run's `files/`; sync sends them as soon as it reads of them. */
export function filesMessage(paths: readonly string[]): Uint8Array {
  return messageField(FILES, ...paths.map((path) => messageField(1, stringField(1, path))))
}

export function alertMessage(title: string, body: string, level: string, waitMs: number): Uint8Array {
  return messageField(ALERT, ...text(1, title), ...text(2, body), stringField(3, level), ...number(4, waitMs))
}

export interface ArtifactMessage {
  readonly runId: string
  readonly project: string
  readonly entity?: string | undefined
  readonly type: string
  readonly name: string
  /** 32 hexadecimal digits. */
  readonly digest: string
  readonly description?: string | undefined
  readonly metadata?: string | undefined
  readonly aliases: readonly string[]
  readonly clientId: string
  readonly sequenceClientId: string
  readonly entries: readonly ArtifactEntry[]
}

export interface ArtifactEntry {
  readonly path: string
  /** MD5, Base64; of a reference whatever stands for its content. */
  readonly digest: string
  readonly bytes: number
  readonly ref?: string
  /** Sync removes that file when it is done with it, and when it fails. */
  readonly localPath?: string
}

export function artifactMessage(of: ArtifactMessage): Uint8Array {
  const entries = of.entries.map(({ path, digest, ref, bytes, localPath }) =>
    messageField(
      4,
      stringField(1, path),
      stringField(2, digest),
      ...text(3, ref),
      ...number(4, bytes),
      ...text(6, localPath),
    ),
  )
  return messageField(
    ARTIFACT,
    stringField(1, of.runId),
    stringField(2, of.project),
    ...text(3, of.entity),
    stringField(4, of.type),
    stringField(5, of.name),
    stringField(6, of.digest),
    ...text(7, of.description),
    ...text(8, of.metadata),
    ...of.aliases.map((alias) => stringField(11, alias)),
    messageField(
      12,
      varintField(1, 1),
      stringField(2, STORAGE_POLICY),
      messageField(3, stringField(1, 'storageLayout'), stringField(2, JSON.stringify(STORAGE_LAYOUT))),
      ...entries,
    ),
    varintField(14, 1),
    stringField(15, of.clientId),
    stringField(16, of.sequenceClientId),
    stringField(20, DIGEST_ALGORITHM),
  )
}

export function exitMessage(code: number, runtimeS: number): Uint8Array {
  return messageField(EXIT, ...number(1, code), ...number(2, runtimeS))
}

/** Field `field` of a message: a google.protobuf.Timestamp. */
export function timestamp(field: number, timeMs: number): Uint8Array {
  const seconds = Math.floor(timeMs / 1000)
  const nanos = Math.round((timeMs - seconds * 1000) * 1e6)
  return messageField(field, ...number(1, seconds), ...number(2, nanos))
}

function updates(items: readonly Item[]): Uint8Array[] {
  return items.map(([key, json]) => messageField(1, ...text(1, key), stringField(16, json)))
}

/** Absent and empty are the same. */
function text(field: number, value: string | undefined): Uint8Array[] {
  return value === undefined || value === '' ? [] : [stringField(field, value)]
}

/** Absent and 0 are the same. */
function number(field: number, value: number): Uint8Array[] {
  return value === 0 ? [] : [varintField(field, value)]
}
