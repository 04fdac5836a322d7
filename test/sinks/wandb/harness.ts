import { createHash } from 'node:crypto'
import type { RunInfo } from '../../../src/core/types.ts'
import type { SinkDefinition } from '../../../src/sinks/contract.ts'
import { keyOf } from '../../../src/sinks/wandb/keys.ts'
import { wandb } from '../../../src/sinks/wandb/sink.ts'
import { collectionName } from '../../../src/sinks/wandb/uploads/artifact-plan.ts'
import type { Fault, SinkHarness, StoredPoint, StoredRun } from '../harness.ts'
import { type Fault as ServerFault, type StandInRun, WandbStandIn } from './stand-in/stand-in.ts'

const KEY = 'a-key-of-forty-characters-for-the-tests!!'
const POISON = 'refused by this server'

const FAULTS: Partial<Record<Fault, ServerFault>> = {
  cut: { kind: 'cut' },
  lostAnswer: { kind: 'lostAnswer' },
  hang: { kind: 'hang' },
  tooMany: { kind: 'answer', status: 429, headers: { 'retry-after': '2' } },
  unavailable: { kind: 'answer', status: 503, headers: { 'retry-after': '2' } },
  serverError: {
    kind: 'answer',
    status: 500,
    headers: { 'content-type': 'text/html' },
    body: '<title>500 Internal Server Error</title>',
  },
  falseSuccess: { kind: 'falseSuccess' },
  unauthorized: { kind: 'answer', status: 401, body: `{"error":"no such key: ${KEY}"}` },
}

/** Fields of a line that are no series. */
const OWN_FIELDS = new Set(['_step', '_runtime', '_timestamp', 'global_step'])

export async function start(): Promise<SinkHarness> {
  const standIn = await WandbStandIn.start({ apiKey: KEY })
  let isStoreFull = false
  standIn.planFaults({
    ...{ seed: 1, share: 1 },
    faults: [{ kind: 'answer', status: 400, body: '{"error":"a line is refused"}' }],
    matches: ({ kind, body }) =>
      (kind === 'file_stream' && body.includes(POISON)) || (kind === 'upload' && isStoreFull),
  })
  const find = (run: RunInfo): StandInRun | undefined =>
    [...standIn.runs.values()].find(
      ({ wandb: own }) => (own.tracelet as { nonce?: string } | undefined)?.nonce === run.nonce,
    )
  return {
    definition: wandb as unknown as SinkDefinition,
    options: { baseUrl: standIn.url, apiKey: KEY },
    tuning: { intervalMs: 1000 },
    secrets: [KEY, Buffer.from(`api:${KEY}`).toString('base64')],
    faults: [...(Object.keys(FAULTS) as Fault[]), 'gone'],
    failNext(fault, run) {
      const remote = find(run)!
      if (fault === 'gone') remote.isDeleted = true
      else {
        standIn.failNext(
          FAULTS[fault]!,
          (request) =>
            request.kind === 'file_stream' && request.run === remote.path && request.body.includes('history'),
        )
      }
    },
    async stored(run) {
      const remote = find(run)
      return remote
        ? { ...storedRun(remote), ...besideRows(standIn, remote) }
        : { points: [], params: {}, tags: {}, outcome: undefined }
    },
    keyOf: ({ name, context }) => keyOf(name, context),
    poison: { name: POISON, value: 1 },
    uploads: {
      stored: (run) => [
        ...artifactsOf(standIn, find(run)),
        ...mediaOf(find(run)).flatMap(({ kind, key, files, artifact }) => {
          const remote = find(run)!
          const isThere =
            files.every((path) => remote.uploaded.includes(path)) && isCommitted(standIn, artifact)
          if (!isThere) return []
          const digests = files.map((path, at) => [String(at), sha256(remote.files.get(path)!)] as const)
          return [{ kind, name: key, files: Object.fromEntries(digests) }]
        }),
      ],
      nameOf: (kind, name) => (kind === 'artifact' ? collectionName(name) : name),
      mentioned: (run) => mediaOf(find(run)).map(({ kind, key }) => ({ kind, name: key })),
      failNext(fault, run) {
        // an artifact's bytes say of no run; the run may not be there yet
        standIn.failNext(
          FAULTS[fault]!,
          ({ kind, run: of }) => kind === 'upload' && (of === '' || of === find(run)?.path),
        )
      },
      faults: Object.keys(FAULTS) as Fault[],
      fill: (isFull) => {
        isStoreFull = isFull
      },
    },
    held: async (run) => textsOf(find(run)),
    // What breaks a rule of the protocol is as bad as what is too large.
    oversize: () => standIn.allProblems.length,
    stop: () => standIn.stop(),
  }
}

interface Media {
  readonly _type?: string
  readonly path?: string
  readonly filenames?: readonly string[]
  readonly artifact_path?: string
}
const KINDS: Readonly<Record<string, string>> = { 'table-file': 'table', 'plotly-file': 'figure' }

interface MediaFiles {
  readonly kind: string
  readonly key: string
  readonly files: readonly string[]
  /** Client id of a table's. */
  readonly artifact: string | undefined
}

/** Values of the history that name files of the run, in its order. */
function mediaOf(run: StandInRun | undefined): MediaFiles[] {
  return (run?.rows() ?? []).flatMap((row) =>
    Object.entries(row).flatMap(([key, value]) => {
      const media = (typeof value === 'object' ? value : {}) as Media
      const { _type = '', path, filenames, artifact_path: artifactPath } = media
      const files = filenames ?? (path === undefined ? [] : [path])
      const artifact = artifactPath?.split('/')[2]
      return files.length === 0 ? [] : [{ kind: KINDS[_type] ?? 'images', key, files, artifact }]
    }),
  )
}

/** What the run has logged of it: equal content is there once, whichever run brought it. */
function artifactsOf(standIn: WandbStandIn, run: StandInRun | undefined) {
  const logged = standIn.requests
    .filter(({ operation }) => operation === 'CreateArtifact')
    .map(({ body }) => loggedBy(JSON.parse(body)))
    .filter(({ artifactTypeName, runName }) => artifactTypeName !== 'run_table' && runName === run?.name)
    .map(({ artifactCollectionName: name, digest }) => JSON.stringify([name, digest]))
  return [...new Set(logged)].flatMap((one) => {
    const [name, digest] = JSON.parse(one) as [string, string]
    const { versions = [] } = standIn.artifacts.get(`${run!.entity}/${run!.project}/${name}`) ?? {}
    const there = versions.filter((version) => version.digest === digest && version.state === 'COMMITTED')
    return there.map((version) => ({
      ...{ kind: 'artifact', name },
      files: Object.fromEntries(
        Object.keys(version.manifest!.contents).map((path) => [
          path,
          sha256(standIn.contentOf(version, path)!),
        ]),
      ),
    }))
  })
}
interface Logged {
  readonly runName: string
  readonly artifactTypeName: string
  readonly artifactCollectionName: string
  readonly digest: string
}

function loggedBy({ variables }: { readonly variables: Logged & { readonly input?: Logged } }): Logged {
  return variables.input ?? variables
}

function isCommitted(standIn: WandbStandIn, clientId: string | undefined): boolean {
  if (clientId === undefined) return true
  const versions = [...standIn.artifacts.values()].flatMap((collection) => collection.versions)
  return versions.some((one) => one.clientId === clientId && one.state === 'COMMITTED')
}

function textsOf(run: StandInRun | undefined): { readonly kind: string; readonly name: string }[] {
  return (run?.rows() ?? []).flatMap((row) =>
    Object.entries(row).flatMap(([key, value]) =>
      typeof value === 'string' ? [{ kind: 'text', name: key }] : [],
    ),
  )
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Files of the run itself stand at their own paths; the suite's lie in `logs`. */
function besideRows(standIn: WandbStandIn, { path, files, uploaded }: StandInRun) {
  const own = [...files].filter(([name]) => name.startsWith('logs/') && uploaded.includes(name))
  return {
    alerts: standIn.alerts.filter(({ run }) => run === path).map(({ title }) => title),
    files: Object.fromEntries(own.map(([name, bytes]) => [name, sha256(bytes)])),
  }
}

/** A time is that of its row. */
function storedRun(run: StandInRun): StoredRun {
  const points: StoredPoint[] = []
  for (const row of run.rows()) {
    const time = Math.round((row._timestamp as number) * 1000)
    for (const [key, value] of Object.entries(row)) {
      if (OWN_FIELDS.has(key) || typeof value !== 'number') continue
      points.push({ key, step: row.global_step as number, time, value })
    }
  }
  const { state } = run
  return {
    points,
    params: Object.fromEntries(Object.entries(run.config).map(([name, value]) => [name, String(value)])),
    tags: Object.fromEntries(run.tags.map((tag) => [tag.split(':', 1)[0]!, tag.slice(tag.indexOf(':') + 1)])),
    outcome: state as StoredRun['outcome'],
  }
}
