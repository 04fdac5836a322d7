/** A run, and what changes of it, as records of its file. */
import { arch, hostname, platform, release } from 'node:os'
import type { RunInfo, RunRecord } from '../../../core/types.ts'
import type { RunConfig } from '../config.ts'
import { type Json, jsonText } from '../extended-json.ts'
import { givenName, groupOf, type PreparedOptions, projectOf } from '../options.ts'
import { framed, LOG_HEADER } from './log-format.ts'
import {
  configMessage,
  environmentMessage,
  type Item,
  metricMessage,
  numbered,
  type RunMessage,
  runMessage,
} from './messages.ts'
import { runIdOf } from './options.ts'

/** What the file begins with: no other run's does, as our nonce is among it. */
export interface Begin {
  readonly bytes: Uint8Array
  readonly records: number
}

/** @param config with what the run had before, where it has another file already */
export function beginOf(
  run: RunInfo,
  options: PreparedOptions,
  config: RunConfig,
  tags: readonly string[],
): Begin {
  const first = runMessage({
    ...placeOf(run, options),
    group: groupOf(options, run),
    jobType: options.jobType,
    displayName: givenName(options, run) ?? run.name,
    notes: options.notes,
    tags,
    host: hostname(),
    config: [ownItem(config), ...topTexts(config)],
  })
  const environment = environmentMessage({
    os: `${platform()}-${release()}-${arch()}`,
    startMs: run.createdAt,
    program: run.program,
    host: hostname(),
    user: run.user,
    executable: process.execPath,
    writer: run.nonce,
  })
  const definitions = config.definitions.all().map(metricMessage)
  const contents = [first, environment, ...definitions]
  const records = contents.map((content, at) => numbered(at + 1, content))
  return {
    bytes: Buffer.concat([LOG_HEADER, framed(records, LOG_HEADER.length)]),
    records: records.length,
  }
}

/** What each later Run has, beside what it changes. */
export function placeOf(run: RunInfo, options: PreparedOptions): RunMessage {
  return {
    id: runIdOf(options, run),
    project: projectOf(options, run),
    entity: options.entity,
    startMs: run.createdAt,
  }
}

/** Sync keeps what stands beside the SDK's own fields. */
function ownItem(config: RunConfig): Item {
  // `m` it makes from the definitions, `t` from telemetry
  const { tracelet } = config.ownValue() as { readonly tracelet: Json }
  return ['_wandb', jsonText({ tracelet })]
}

/** The JSON text of each top value of a config. */
export function topTexts(config: RunConfig): ReadonlyMap<string, string> {
  return new Map([...config.tops()].map(([name, value]) => [name, jsonText(value)]))
}

/** What has changed; undefined where nothing has. */
export function changesOf(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Uint8Array | undefined {
  const changed = [...after].filter(([name, text]) => before.get(name) !== text)
  return changed.length === 0 ? undefined : configMessage(changed)
}

export function definitionOf(
  config: RunConfig,
  { name }: Extract<RunRecord, { kind: 'metric' }>,
): Uint8Array {
  return metricMessage(config.definitions.given(name)!)
}
