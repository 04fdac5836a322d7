/** The fields that the server answers: those of wandb-core and the official reader, and no others. */
import { notify, type StandInAlert } from './alerts.ts'
import { artifactOf, artifactsOfProject, projectInfo } from './artifact-fields.ts'
import { Artifacts } from './artifact-mutations.ts'
import { artifactMutations, artifactQueries } from './artifact-root.ts'
import type { StandInArtifact } from './artifact-store.ts'
import { connection } from './connection.ts'
import { type Answering, RefusedField } from './graphql.ts'
import { parseJson, rewritten, withWords } from './json.ts'
import {
  filesOf,
  historyBetween,
  historyKeys,
  logLinesOf,
  parquetHistory,
  sampled,
  thinned,
} from './reader.ts'
import { Registries, type RegistryBackend } from './registry.ts'
import type { RunChanges, StandInRun } from './run.ts'

/** What a look at a run shows too little of, in lines. */
export interface Staleness {
  readonly tailLines: number
  readonly countLines: number
}
export interface Backend extends RegistryBackend {
  readonly features: readonly string[]
  readonly alerts: StandInAlert[]
  /** Lines that a tail has. */
  readonly tailLength: number
  readonly uploadHeaders: readonly string[]
  findById(storageId: unknown): StandInRun | undefined
  /** @throws RefusedField where no more runs may be made now */
  create(entity: unknown, project: unknown, run: unknown): StandInRun
  sign(run: StandInRun, path: string): string
}
type Arguments = Readonly<Record<string, unknown>>

export function rootOf(backend: Backend, staleness: Staleness): Answering {
  const project = (args: Arguments) => projectOf(backend, args.entityName, args.name, staleness)
  return {
    __typename: 'Query',
    viewer: viewerOf(backend),
    serverInfo: {
      __typename: 'ServerInfo',
      features: backend.features.map((name) => ({ __typename: 'ServerFeature', name, isEnabled: true })),
    },
    ...artifactQueries(backend),
    model: project,
    project,
  }
}

export function mutationsOf(backend: Backend, staleness: Staleness): Answering {
  return {
    __typename: 'Mutation',
    upsertBucket: ({ input }: Arguments) => upsert(backend, input as Arguments, staleness),
    createRunFiles: ({ input }: Arguments) => createFiles(backend, input as Arguments),
    notifyScriptableRunAlert: ({ input }: Arguments) => {
      const { entityName, projectName, runName, ...alert } = input as Arguments
      return notify(backend.alerts, backend.find(entityName, projectName, runName), alert)
    },
    ...artifactMutations(backend),
  }
}

function viewerOf({ defaultEntity }: Backend): Answering {
  return {
    __typename: 'User',
    id: 'VXNlcjox',
    entity: defaultEntity,
    name: defaultEntity,
    username: defaultEntity,
    email: `${defaultEntity}@example.invalid`,
    admin: false,
    flags: '{}',
    teams: { edges: [{ node: { __typename: 'Entity', id: 'RW50aXR5OjE=', name: defaultEntity } }] },
    apiKeys: { edges: [] },
  }
}

function upsert(backend: Backend, input: Arguments, staleness: Staleness): Answering {
  let run: StandInRun | undefined
  let isInserted = false
  if (input.id != null) {
    run = backend.findById(input.id)
    if (run === undefined) throw new RefusedField('run not found')
  } else {
    run = backend.find(input.entityName, input.modelName, input.name)
    if (run === undefined) {
      run = backend.create(input.entityName, input.modelName, input.name)
      isInserted = true
    }
  }
  for (const field of ['config', 'summaryMetrics'] as const) {
    if (typeof input[field] === 'string') checkJson(field, input[field])
  }
  run.upsert(input as RunChanges)
  return {
    __typename: 'UpsertBucketPayload',
    inserted: isInserted,
    bucket: runOf(backend, run, staleness),
  }
}

function checkJson(field: string, text: string): void {
  try {
    if (parseJson(text) !== null) return
  } catch {
    // as null is: no object
  }
  throw new RefusedField(`${field} is no JSON`)
}

function createFiles(backend: Backend, input: Arguments): Answering {
  const run = backend.find(input.entityName, input.projectName, input.runName)
  if (run === undefined) throw new RefusedField('run not found')
  const names = input.files as readonly string[]
  return {
    __typename: 'CreateRunFilesPayload',
    runID: run.storageId,
    uploadHeaders: backend.uploadHeaders,
    files: names.map((name) => ({ __typename: 'File', name, uploadUrl: backend.sign(run, name) })),
  }
}

function projectOf(backend: Backend, entity: unknown, name: unknown, staleness: Staleness): unknown {
  const registry = new Registries(backend, new Artifacts(backend)).registry(entity, name)
  if (registry !== undefined) return registry
  if (!backend.hasProject(entity, name)) return null
  const entityName = String(entity ?? backend.defaultEntity)
  const find = (run: unknown) => {
    const found = backend.find(entity, name, run)
    return found && runOf(backend, found, staleness)
  }
  return {
    ...projectInfo(backend, entityName, String(name)),
    ...artifactsOfProject(backend, entityName, String(name)),
    entityName,
    readOnly: false,
    run: ({ name: run }: Arguments) => find(run),
    bucket: ({ name: run, missingOk }: Arguments) => {
      const found = find(run)
      if (found === undefined && missingOk !== true) throw new RefusedField(`run ${run} not found`)
      return found
    },
  }
}

export function runOf(backend: Backend, run: StandInRun, { tailLines, countLines }: Staleness): Answering {
  const lines = run.historyFile.count
  const tail = (all: readonly string[]) => {
    const end = Math.max(0, all.length - tailLines)
    return JSON.stringify(all.slice(Math.max(0, end - backend.tailLength), end).map(rewritten))
  }
  return {
    __typename: 'Run',
    id: run.storageId,
    name: run.name,
    projectId: '1',
    displayName: run.displayName,
    description: run.description,
    notes: run.notes,
    tags: run.tags,
    group: run.group,
    groupName: run.group,
    jobType: run.jobType,
    sweepName: run.sweep,
    commit: run.commit,
    host: run.host,
    state: run.state,
    stopped: run.isStopRequested,
    readOnly: false,
    createdAt: run.createdAt.toISOString(),
    heartbeatAt: new Date(run.lastSeenMs).toISOString(),
    config: run.configText,
    wandbConfig: ({ keys }: Arguments) =>
      run.configText === null
        ? null
        : JSON.stringify(Object.fromEntries((keys as string[]).map((key) => [key, run.wandb[key]]))),
    summaryMetrics: tailLines === 0 ? run.summaryText : run.summaryAt(lines - tailLines),
    systemMetrics: () => JSON.stringify(withWords(parseJson(run.events.at(-1) ?? '{}'))),
    historyLineCount: Math.max(0, lines - countLines),
    eventsLineCount: Math.max(0, run.eventsFile.count - countLines),
    logLineCount: Math.max(0, run.outputFile.count - countLines),
    historyTail: () => tail(run.history),
    eventsTail: () => tail(run.events),
    historyKeys: () => historyKeys(run),
    parquetHistory: ({ liveKeys }: Arguments) => parquetHistory(run, liveKeys as string[]),
    history: (args: Arguments) => historyBetween(run, args),
    events: ({ samples }: Arguments) => thinned(run.events, Number(samples)),
    sampledHistory: ({ specs }: Arguments) => (specs as string[]).map((spec) => sampled(run, spec)),
    user: { __typename: 'User', name: backend.defaultEntity, username: backend.defaultEntity },
    project: projectInfo(backend, run.entity, run.project),
    fileCount: run.files.size,
    files: (args: Arguments) => filesOf(run, args, (path) => backend.sign(run, path)),
    logLines: (args: Arguments) => logLinesOf(run, args),
    outputArtifacts: (args: Arguments) => artifactsOfRun(backend, args, (one) => one.run === run),
    inputArtifacts: (args: Arguments) => artifactsOfRun(backend, args, (one) => one.usedBy.has(run)),
  }
}

function artifactsOfRun(
  backend: Backend,
  args: Arguments,
  isOf: (artifact: StandInArtifact) => boolean,
): Answering {
  const all = [...backend.store.byId.values()].filter((one) => one.state === 'COMMITTED' && isOf(one))
  return connection(all, args, (one) => artifactOf(backend, one))
}
