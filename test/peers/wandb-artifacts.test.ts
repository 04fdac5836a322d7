/**
 * Artifacts logged by the wandb SDK and by tracelet, both at the stand-in, come to the same; those of a run that is
 * killed arrive once; the SDK finds registered models by their alias.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startLogging } from '../../src/index.ts'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { cliEnvironment, traceletWith } from '../cli/run-cli.ts'
import { temporaryFolder } from '../run/program.ts'
import {
  type Fault,
  type StandInRequest,
  type StandInVersion,
  WandbStandIn,
} from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'
import type { WandbUploadOrders } from './wandb-uploading-program.ts'

const PROGRAM = fileURLToPath(workerUrl('./wandb-uploading-program', import.meta.url))
const LIMIT_MS = 120_000
const FILES: Readonly<Record<string, string | Buffer>> = {
  'a.bin': Buffer.from([0, 1, 254, 255]),
  empty: '',
  'Z upper': 'upper',
  'deep/er/est.txt': 'deep',
  'deep/ünï \u{1f600}.txt': 'astral',
  'deep/\uff5e.txt': 'below astral',
  large: Buffer.alloc(3_000_000, 'large'),
}
const STORY = {
  name: 'data',
  type: 'dataset',
  description: 'of a test',
  metadata: { rows: 3, nested: { list: [1, 'two', null] }, text: 'ü' },
  aliases: ['best', 'v3x'],
  uri: 'https://data.invalid/far/points.csv',
}

function writeFiles(folder: string, files: Readonly<Record<string, string | Buffer>>): string {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  return folder
}

async function serve(
  context: TestContext,
): Promise<{ readonly standIn: WandbStandIn; readonly key: string }> {
  const key = madeUpKey()
  const standIn = await WandbStandIn.start({ apiKey: key, features: ['ARTIFACT_REGISTRY_SEARCH'] })
  context.after(() => standIn.stop())
  return { standIn, key }
}

/** What the SDK says of its own machine: where the file lay, and whether it was cached. */
const OF_MACHINE = ['local_path', 'skip_cache']

/** All that two ways of logging have in common: not who brought the bytes. */
function comparable({ digest, state, aliases, metadata, description, manifest }: StandInVersion) {
  const entries = Object.entries(manifest!.contents).map(([path, entry]) => {
    const kept = Object.entries(entry).filter(([key]) => ![...OF_MACHINE, 'birthArtifactID'].includes(key))
    return [path, Object.fromEntries(kept)]
  })
  return {
    ...{ digest, state, metadata, description, ...manifest },
    aliases: [...aliases].sort(),
    contents: Object.fromEntries(entries),
  }
}

test('the same folder and reference, logged by the SDK and by tracelet, have one digest and one manifest', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const { standIn, key } = await serve(context)
  const dir = temporaryFolder(context)
  const folder = writeFiles(join(dir, 'data'), FILES)
  const story = JSON.stringify({ ...STORY, folder, project: 'theirs' })
  await runWandbScript(python, { url: standIn.url, key }, 'log_wandb_artifacts.py', [story])
  const backend = { wandb: { baseUrl: standIn.url, apiKey: key, intervalMs: 0 } }
  const run = startLogging({ dir, project: 'ours', runId: 'ours-1', backend })
  const { type, description, metadata, aliases } = STORY
  const log = async () => {
    await run.logArtifact(folder, { name: 'data', type, description, metadata, alias: aliases })
    await run.logArtifact(STORY.uri, { name: 'far', type })
    await run.flush()
  }
  await log()
  await log()
  const { records, uploads } = (await run.finish()).destinations.wandb!
  assert.deepEqual([records.pending, records.rejected, uploads.files.sent], [0, 0, uploads.files.known])
  for (const name of ['data', 'far']) {
    const [theirs, ours] = ['theirs', 'ours'].map((project) => {
      const { versions } = standIn.artifacts.get(`stander/${project}/${name}`)!
      assert.equal(versions.length, 1, `${project}: equal content is no second version`)
      return versions[0]!
    })
    assert.deepEqual(comparable(ours!), comparable(theirs!), name)
  }
  // each file and both manifests once: the second time nothing is transferred
  const puts = standIn.requests.filter(
    ({ kind, run: of }) => kind === 'upload' && of === 'stander/ours/ours-1',
  )
  assert.equal(puts.length, Object.keys(FILES).length + 2)
  assert.deepEqual(standIn.allProblems, [])
})

const isPut = (file: string) => (request: StandInRequest) =>
  request.kind === 'upload' && decodeURIComponent(request.path).endsWith(file)
const isCall = (name: string) => (request: StandInRequest) => request.operation === name
const HELD: Fault = { kind: 'hang' }
const DONE: Fault = { kind: 'hang', isApplied: true }
const MOMENTS: Readonly<Record<string, readonly [Fault, (request: StandInRequest) => boolean]>> = {
  'after its artifact was made': [DONE, isCall('CreateArtifact')],
  'amid a file': [HELD, isPut('/f7')],
  'after a file that it never heard was stored': [DONE, isPut('/f7')],
  'after its manifest was stored': [DONE, isPut('wandb_manifest.json')],
  'after a commit': [DONE, isCall('CommitArtifact')],
  'after a link to the registry': [DONE, isCall('LinkArtifact')],
}

test('a run that is killed while it uploads is synced: each file once more at most, one version, found by its alias', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const { standIn, key } = await serve(context)
  const dir = temporaryFolder(context)
  const data = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, `content ${i}`]))
  const artifact = writeFiles(join(dir, 'data'), data)
  const model = writeFiles(join(dir, 'model'), { config: '{}', weights: Buffer.alloc(2_000_000, 'w') })
  const environment = { WANDB_API_KEY: key, HOME: dir }
  for (const [i, [when, [fault, matches]]] of Object.entries(MOMENTS).entries()) {
    const runId = `killed-${i}`
    const held = new Promise<void>((resolve) => {
      standIn.failNext(fault, (request) => {
        const isIt = matches(request)
        // it is carried out before anything else happens here
        if (isIt) setImmediate(resolve)
        return isIt
      })
    })
    const orders: WandbUploadOrders = { dir, baseUrl: standIn.url, runId, artifact, model }
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(orders)], {
      env: { ...cliEnvironment(dir), ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: LIMIT_MS,
    })
    const ended = once(child, 'exit')
    await Promise.race([held, ended.then(() => assert.fail(`${when}: it ended before it was killed`))])
    child.kill('SIGKILL')
    await ended
    for (let repeat = 0; repeat < 2; repeat++) {
      const { code, stdout, stderr } = await traceletWith(dir, environment, 'sync', runId)
      assert.equal(code, 0, stdout + stderr)
    }
    for (const [name, files] of [
      [`data-${runId}`, Object.keys(data)],
      [`net-${runId}`, ['config', 'weights']],
    ] as const) {
      const { versions } = standIn.artifacts.get(`stander/ours/${name}`)!
      assert.deepEqual(
        versions.map(({ version, state, manifest }) => [
          version,
          state,
          Object.keys(manifest!.contents).sort(),
        ]),
        [['v0', 'COMMITTED', [...files].sort()]],
        when,
      )
    }
    const times = new Map<string, number>()
    for (const { kind, path } of standIn.requests) {
      if (kind === 'upload' && path.includes(runId)) times.set(path, (times.get(path) ?? 0) + 1)
    }
    assert.ok(
      [...times.values()].every((count) => count <= 2),
      `${when}: ${JSON.stringify([...times])}`,
    )
    const registered = standIn.artifacts.get(`standers-org/wandb-registry-model/${runId}`)!
    assert.deepEqual(
      registered.versions.map(({ aliases }) => [...aliases].sort()),
      [['champion', 'latest']],
      when,
    )
  }
  const names = Object.keys(MOMENTS).map((_, i) => `wandb-registry-model/killed-${i}:champion`)
  const asked = JSON.stringify({ artifacts: names, registries: true })
  const said = await runWandbScript(python, { url: standIn.url, key }, 'read_wandb_artifacts.py', [asked])
  const read = JSON.parse(/^SEEN (.*)$/m.exec(said)![1]!) as {
    readonly artifacts: Readonly<Record<string, Readonly<Record<string, unknown>>>>
    readonly registries: readonly { readonly name: string; readonly versions: readonly string[] }[]
  }
  for (const [i, name] of names.entries()) {
    const { source, digest, recomputed, fileCount, loggedBy } = read.artifacts[name]!
    assert.deepEqual(
      [source, digest, fileCount, loggedBy],
      [`stander/ours/net-killed-${i}:v0`, recomputed, 2, `stander/ours/killed-${i}`],
    )
  }
  const versions = read.registries.find(({ name }) => name === 'wandb-registry-model')?.versions
  assert.equal(versions?.length, names.length)
  assert.deepEqual(standIn.allProblems, [])
})
