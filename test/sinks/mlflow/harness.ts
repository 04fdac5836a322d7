import { createHash } from 'node:crypto'
import type { RunInfo } from '../../../src/core/types.ts'
import { keyOf } from '../../../src/sinks/mlflow/keys.ts'
import { mlflow } from '../../../src/sinks/mlflow/sink.ts'
import type { Fault, SinkHarness, StoredPoint, StoredRun, StoredUpload } from '../harness.ts'
import { FakeMlflow, type FakeRequest, type ServerFault } from './fake-server.ts'
import type { FakeRun } from './fake-store.ts'

const MAX_FILE_BYTES = 100_000
const PASSWORD = 'open sesame'
const POISON = 'refused by this server'

const retryLater = { 'retry-after': '2' }
const html = { 'content-type': 'text/html' }
const FAULTS: Partial<Record<Fault, ServerFault>> = {
  cut: { kind: 'cut' },
  lostAnswer: { kind: 'lostAnswer' },
  hang: { kind: 'hang' },
  tooMany: { kind: 'answer', status: 429, headers: retryLater, body: '' },
  unavailable: { kind: 'answer', status: 503, headers: retryLater, body: 'no healthy upstream' },
  serverError: {
    kind: 'answer',
    status: 500,
    headers: html,
    body: '<title>500 Internal Server Error</title>',
  },
  falseSuccess: { kind: 'answer', status: 200, headers: html, body: '<h1>Sign in</h1>' },
  unauthorized: { kind: 'answer', status: 401, headers: html, body: `wrong password ${PASSWORD}` },
}

export async function start(): Promise<SinkHarness> {
  const fake = await FakeMlflow.start({
    basicAuth: `ann:${PASSWORD}`,
    refuseKey: new RegExp(`^${POISON}$`),
  })
  fake.maxFileBytes = MAX_FILE_BYTES
  const find = (run: RunInfo): FakeRun | undefined =>
    [...fake.store.runs.values()].find(({ tags }) => tags.get('tracelet.nonce') === run.nonce)
  return {
    definition: mlflow,
    options: { uri: fake.uri, username: 'ann', password: PASSWORD },
    secrets: [PASSWORD, Buffer.from(`ann:${PASSWORD}`).toString('base64')],
    faults: [...(Object.keys(FAULTS) as Fault[]), 'gone'],
    failNext(fault, run) {
      const remote = find(run)
      if (fault === 'gone') remote!.stage = 'deleted'
      else fake.failNext(FAULTS[fault]!, (request) => isWrite(request, remote?.runId))
    },
    async stored(run) {
      const remote = find(run)
      return remote
        ? { ...storedRun(remote), files: runFiles(fake, remote) }
        : { points: [], params: {}, tags: {}, outcome: undefined }
    },
    keyOf: ({ name, context }) => keyOf(name, context).key,
    poison: { name: POISON, value: 1 },
    uploads: {
      stored: (run) => storedUploads(fake, find(run)),
      failNext(fault, run) {
        const remote = find(run)
        const isOurs = ({ method, route }: FakeRequest) =>
          method === 'PUT' && remote !== undefined && route.includes(remote.runId)
        fake.failNext(FAULTS[fault]!, isOurs)
      },
      faults: Object.keys(FAULTS) as Fault[],
      fill(isFull) {
        fake.isFull = isFull
      },
      maxFileBytes: MAX_FILE_BYTES,
    },
    // A batch or text that the server cut in silence is as bad as one that is too large.
    oversize: () => fake.store.oversize + fake.oversizeBodies + fake.store.silentLosses,
    stop: () => fake.stop(),
  }
}

function isWrite({ route, body }: FakeRequest, runId: string | undefined): boolean {
  return route === 'runs/log-batch' && body.run_id === runId && Array.isArray(body.metrics)
}

function storedRun(run: FakeRun): StoredRun {
  const points: StoredPoint[] = []
  for (const [key, history] of run.metrics) {
    history.value.forEach((value, i) => {
      points.push({ key, step: history.step[i]!, time: history.timestamp[i]!, value })
    })
  }
  return {
    points,
    params: Object.fromEntries(run.params),
    tags: Object.fromEntries(run.tags),
    outcome: run.status.toLowerCase() as StoredRun['outcome'],
    rewinds: [...run.tags].flatMap(([key, value]) =>
      key.startsWith('tracelet.rewind.') ? [Number(/step (-?\d+)/.exec(value)![1])] : [],
    ),
  }
}

/** An artifact of a type has a file beside it, sent last, that also tells what its paths stand for. */
function storedUploads(fake: FakeMlflow, run: FakeRun | undefined): StoredUpload[] {
  if (run === undefined) return []
  const root = `${run.experimentId}/${run.runId}/artifacts/`
  const files = [...fake.artifacts.files].filter(([path]) => path.startsWith(root))
  const stored: StoredUpload[] = []
  for (const [path, content] of files) {
    if (!path.endsWith('.tracelet.json')) continue
    const { name, paths = {} } = JSON.parse(content.toString()) as {
      name?: string
      paths?: Record<string, string>
    }
    if (name === undefined) continue
    const own = path.slice(root.length, -'.tracelet.json'.length)
    const digests = files
      .map(([file, bytes]) => [file.slice(root.length), bytes] as const)
      .filter(([file]) => file.startsWith(`${own}/`))
      .map(([file, bytes]) => [paths[file] ?? file.slice(own.length + 1), sha256(bytes)] as const)
    stored.push({ kind: 'artifact', name, files: Object.fromEntries(digests) })
  }
  return stored
}

/** Those of the run itself stand at paths of their own; the suite's lie in `logs`. */
function runFiles(fake: FakeMlflow, { experimentId, runId }: FakeRun): Record<string, string> {
  const root = `${experimentId}/${runId}/artifacts/`
  const own = [...fake.artifacts.files].filter(([path]) => path.startsWith(`${root}logs/`))
  return Object.fromEntries(own.map(([path, content]) => [path.slice(root.length), sha256(content)]))
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
