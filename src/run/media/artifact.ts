/** Artifacts and models as users name them: files, folders, references, with what is to be said of them. */
import type { ErrorRecord } from '../../core/errors.ts'
import { redact, redactText } from '../../core/redact.ts'
import type { Snapshot } from '../../pipeline/parking/messages.ts'
import { describe, nameIssue, stepIssue } from '../producer.ts'
import { logFiles } from './log-files.ts'
import type { MediaLog } from './media-log.ts'

export type { Snapshot }

export interface ArtifactOptions {
  /** Default the base name of the path. */
  readonly name?: string | undefined
  /** Your word for what it is: `dataset`, `checkpoint` …; default `artifact`. */
  readonly type?: string | undefined
  /** Aliases that this version takes over, such as `best`, where a backend has versions. */
  readonly alias?: string | readonly string[] | undefined
  readonly description?: string | undefined
  /** Anything that JSON can hold; secrets become `[REDACTED:…]`. */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
}
export interface ModelOptions {
  /** Default the base name of the path. */
  readonly name?: string | undefined
  /** Registered model that this becomes a version of, where a backend has a registry. */
  readonly register?: string | undefined
  /** Aliases that the new version takes over, such as `champion`. */
  readonly alias?: string | readonly string[] | undefined
  readonly description?: string | undefined
  readonly metadata?: Readonly<Record<string, unknown>> | undefined
  /** Integer in ±(2^53 − 1); default none. */
  readonly step?: number | undefined
}

export function logArtifact(
  log: MediaLog,
  pathOrUri: string | URL,
  options: ArtifactOptions,
): Promise<Snapshot> {
  const record = (name: string) => {
    const { type = 'artifact' } = options
    const aliased = aliasesOf(options.alias)
    if ('code' in aliased) return aliased
    const issue = nameIssue(options.name ?? name) ?? nameIssue(type)
    if (issue) return issue
    const about = aboutFiles(options, name)
    if ('code' in about) return about
    return { kind: 'artifact', type: redactText(type), ...about, ...aliased } as const
  }
  return logFiles(log, pathOrUri, { call: 'logArtifact', record })
}

export function logModel(log: MediaLog, pathOrUri: string | URL, options: ModelOptions): Promise<Snapshot> {
  const record = (name: string) => {
    const { step, register } = options
    const aliased = aliasesOf(options.alias)
    if ('code' in aliased) return aliased
    const issue =
      nameIssue(options.name ?? name) ?? (register === undefined ? undefined : nameIssue(register))
    if (issue) return issue
    if (step !== undefined && !Number.isSafeInteger(step)) return stepIssue(step)
    if (register === undefined && aliased.aliases !== undefined) {
      log.tell({
        code: 'ERR_VALUE',
        message: 'logModel(): an alias names a version of `register`, which is missing',
      })
    }
    const about = aboutFiles(options, name)
    if ('code' in about) return about
    return {
      kind: 'model',
      ...about,
      ...(step !== undefined && { step }),
      ...(register !== undefined && { register: redactText(register) }),
      ...aliased,
    } as const
  }
  return logFiles(log, pathOrUri, { call: 'logModel', record })
}

/** Each once; nothing where there is none. */
function aliasesOf(alias: unknown): { readonly aliases?: readonly string[] } | ErrorRecord {
  const given: unknown = typeof alias === 'string' ? [alias] : (alias ?? [])
  if (!Array.isArray(given)) {
    return { code: 'ERR_VALUE', message: `an alias is a text or several, but was ${describe(alias)}` }
  }
  const issue = given.map(nameIssue).find((found) => found !== undefined)
  if (issue) return issue
  return given.length === 0 ? {} : { aliases: [...new Set(given as string[])].map(redactText) }
}

/** What artifacts and models have in common. */
interface About {
  readonly name: string
  readonly time: number
  readonly files: []
  readonly bytes: 0
  readonly description?: string
  readonly metadata?: string
}

function aboutFiles(options: ArtifactOptions | ModelOptions, name: string): About | ErrorRecord {
  const { description, metadata } = options
  if (description !== undefined && typeof description !== 'string') {
    return { code: 'ERR_VALUE', message: `a description is a text, but was ${describe(description)}` }
  }
  let json: string | undefined
  if (metadata !== undefined) {
    if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
      return { code: 'ERR_VALUE', message: `metadata is an object, but was ${describe(metadata)}` }
    }
    json = JSON.stringify(metadata, (key, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : redact(key, value),
    )
  }
  return {
    name: redactText(options.name ?? name),
    time: Date.now(),
    files: [],
    bytes: 0,
    ...(description !== undefined && { description: redactText(description) }),
    ...(json !== undefined && { metadata: json }),
  }
}
