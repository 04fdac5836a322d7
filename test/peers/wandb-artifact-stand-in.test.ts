/** Artifacts, registries and alerts at the stand-in before the official SDK: it writes them, and reads all of it back. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryFolder } from '../run/program.ts'
import { type StandInVersion, WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { peerPython } from './python.ts'
import { madeUpKey, runWandbScript } from './wandb-sdk.ts'
import { IMAGE } from './wandb-story.ts'

type Row = Record<string, unknown>

const FILES: Readonly<Record<string, string | Buffer>> = {
  'a.bin': Buffer.from([0, 1, 254, 255]),
  'b.bin': 'bbb',
  'c.bin': 'cc'.repeat(10_000),
  'deep/one.txt': 'one',
  'deep/er/two ü.txt': 'two',
  'image.png': Buffer.from(IMAGE),
}
const WRITER = 'stander/lab/writer'
const READER = 'stander/lab/reader'
/** What a server of today says of itself, as far as it changes what the SDK asks. */
const FEATURES = [
  'ARTIFACT_COLLECTIONS_FILTERING_SORTING',
  'ARTIFACT_DIGEST_ALGORITHM',
  'ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE',
  'ARTIFACT_REGISTRY_SEARCH',
  'USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION',
]

async function prepare(context: TestContext, features: readonly string[]) {
  const python = await peerPython(context)
  if (python === undefined) return undefined
  const apiKey = madeUpKey()
  const standIn = await WandbStandIn.start({ apiKey, features })
  context.after(() => standIn.stop())
  const folder = temporaryFolder(context)
  for (const [path, content] of Object.entries(FILES)) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), content)
  }
  const script = (name: string, args: readonly string[]) =>
    runWandbScript(python, { url: standIn.url, key: apiKey }, name, args)
  const seen = async (name: string, args: readonly string[]): Promise<unknown> =>
    JSON.parse(/^SEEN (.*)$/m.exec(await script(name, args))![1]!)
  return { standIn, folder, script, seen }
}

for (const [what, features] of [
  ['without features', ['ARTIFACT_REGISTRY_SEARCH']],
  ['with the features of today', FEATURES],
] as const) {
  test(`what the SDK logs, uses and links ${what} is there, and it reads the same`, async (context) => {
    const peers = await prepare(context, features)
    if (!peers) return
    const { standIn, folder, seen } = peers
    const said = (await seen('write_wandb_artifacts.py', [folder])) as Record<string, Row>
    assert.deepEqual(standIn.allProblems, [])
    const [v0, v1] = standIn.artifacts.get('stander/lab/weights')!.versions
    assertWritten(standIn, v0!, v1!)
    assert.deepEqual([said.v0!.id, said.same!.id, said.v1!.id], [v0!.id, v0!.id, v1!.id])
    assert.deepEqual([said.v0!.digest, said.v1!.digest], [v0!.digest, v1!.digest])
    assert.deepEqual([said.linked!.name, said.linked!.aliases], ['classifier:v0', ['latest', 'prod']])
    assert.deepEqual([said.used!.id, said.usedFiles], [v1!.id, ['a.bin', 'c.bin', 'deep']])
    const [linked] = standIn.artifacts.get('standers-org/wandb-registry-model/classifier')!.versions
    assert.deepEqual([linked!.id, linked!.version, linked!.aliases], [v1!.id, 'v0', ['prod', 'latest']])
    assert.deepEqual(v1!.usedBy, [WRITER, READER])

    const names = {
      'stander/lab/weights:best': v1!,
      'stander/lab/weights:v0': v0!,
      'wandb-registry-model/classifier:prod': linked!,
    }
    const table = 'stander/lab/run-writer-points:latest'
    const read = (await seen('read_wandb_artifacts.py', [
      JSON.stringify({
        artifacts: [...Object.keys(names), 'wandb-registry-model/other:first', table],
        runs: [WRITER, READER],
        collections: [['model', 'stander/lab/weights']],
        types: [
          ['model', 'stander/lab'],
          ['code', 'stander/lab'],
        ],
        registries: true,
      }),
    ])) as Record<'artifacts' | 'runs' | 'collections' | 'types', Record<string, Row>> & { registries: Row[] }
    for (const [name, version] of Object.entries(names)) assertRead(read.artifacts[name]!, version)
    assert.equal(read.artifacts['wandb-registry-model/classifier:prod']!.source, 'stander/lab/weights:v1')
    assert.deepEqual(read.artifacts['wandb-registry-model/other:first']!.file, factsOf(FILES['b.bin']!))
    const { points, ...media } = filesByKind(read.artifacts[table]!.files as Row)
    assert.deepEqual([points!.length, media.image], [1, [factsOf(FILES['image.png']!)]])
    assert.deepEqual(read.runs[READER]!.used, ['stander/lab/weights:v1'])
    assert.deepEqual(
      read.runs[WRITER]!.logged,
      ['plain:v0', 'refs:v0', 'run-writer-points:v0', 'sources:v0', 'weights:v0', 'weights:v1'].map(
        (name) => `stander/lab/${name}`,
      ),
    )
    const files = [...standIn.runs.get(WRITER)!.files].map(([path, bytes]) => [path, factsOf(bytes)])
    assert.deepEqual(read.runs[WRITER]!.files, Object.fromEntries(files))
    assert.deepEqual(read.collections['stander/lab/weights'], {
      name: 'weights',
      type: 'model',
      aliases: ['again', 'best', 'latest'],
      versions: ['stander/lab/weights:v1', 'stander/lab/weights:v0'],
    })
    assert.deepEqual(read.types, { model: ['plain', 'weights'], code: ['sources'] })
    const versions = ['classifier', 'other'].map((name) => `standers-org/wandb-registry-model/${name}:v0`)
    const [model, dataset] = read.registries
    assert.deepEqual([model!.versions, model!.latest, dataset!.versions], [versions, versions, []])
    assert.deepEqual(Object.keys(model!.collections as Row).sort(), ['classifier', 'other'])
    assert.deepEqual(standIn.allProblems, [])
  })
}

test('the same logged offline and sent by wandb sync comes to the same', async (context) => {
  const peers = await prepare(context, [])
  if (!peers) return
  const { standIn, folder, script, seen } = peers
  const directory = (await seen('write_wandb_artifacts.py', [folder, 'offline'])) as string
  assert.equal(standIn.requests.length, 0)
  await script('sync_wandb.py', [directory])
  assert.deepEqual(standIn.allProblems, [])
  const [v0, v1, ...more] = standIn.artifacts.get('stander/lab/weights')!.versions
  assert.deepEqual(more, [], 'the same content is no third version')
  assertWritten(standIn, v0!, v1!)
  const { count } = standIn.puts
  const runFiles = standIn.runs.get(WRITER)!.files.size
  await script('sync_wandb.py', [directory])
  assert.equal(standIn.puts.count, count + runFiles, 'no bytes of an artifact are sent twice')
  assert.equal(standIn.artifacts.get('stander/lab/weights')!.versions.length, 2)
})

/** What both ways of logging leave. */
function assertWritten(standIn: WandbStandIn, v0: StandInVersion, v1: StandInVersion): void {
  const deep = ['deep/er/two ü.txt', 'deep/one.txt']
  assert.deepEqual(digests(v0), digestsOf(['a.bin', 'b.bin', ...deep]))
  assert.deepEqual(digests(v1), digestsOf(['a.bin', 'c.bin', ...deep]))
  for (const { metadata, description, createdBy } of [v0, v1]) {
    assert.deepEqual([metadata, description, createdBy], [{ layers: 3, loss: 0.5 }, 'of a net', WRITER])
  }
  const refs = standIn.artifacts.get('stander/lab/refs')!.versions[0]!.manifest!.contents
  assert.deepEqual(Object.keys(refs).sort(), ['inner.table.json', 'near.bin', 'points.csv'])
  assert.equal(refs['points.csv']!.ref, 'https://data.invalid/points.csv')
  const sources = standIn.artifacts.get('stander/lab/sources')!
  assert.deepEqual(
    [sources.type, Object.keys(digests(sources.versions[0]!)).sort()],
    ['code', ['er/two ü.txt', 'one.txt']],
  )
  const run = standIn.runs.get(WRITER)!
  assert.deepEqual(run.files.get('deep/one.txt')?.toString(), 'one')
  const table = run.rows().find((row) => 'points' in row)!.points as Row
  assert.deepEqual([table._type, table.nrows, table.ncols], ['table-file', 2, 3])
  const id = /^wandb-client-artifact:\/\/(\w+)\//.exec(String(table.artifact_path))![1]
  assert.equal(standIn.artifacts.get('stander/lab/run-writer-points')!.versions[0]!.clientId, id)
  assert.deepEqual(
    standIn.alerts.map(({ at, ...alert }) => alert),
    [{ run: WRITER, title: 'loss', text: 'too high', severity: 'WARN', waitDuration: 5000 }],
  )
}

function assertRead(read: Row, version: StandInVersion): void {
  const paths = Object.keys(version.manifest!.contents)
  const { digest, metadata, description, createdBy } = version
  assert.deepEqual(
    [read.version, read.aliases, read.digest, read.recomputed, read.state],
    [version.version, [...version.aliases].sort(), digest, digest, 'COMMITTED'],
  )
  assert.deepEqual(
    [read.metadata, read.description, read.loggedBy, read.usedBy],
    [metadata, description, createdBy, [...version.usedBy].sort()],
  )
  assert.deepEqual(read.files, Object.fromEntries(paths.map((path) => [path, factsOf(FILES[path]!)])))
  const sizes = paths.map((path) => [path, Buffer.byteLength(FILES[path]!)] as const)
  assert.deepEqual(read.listed, Object.fromEntries(sizes))
  assert.deepEqual(
    [read.fileCount, read.size],
    [paths.length, sizes.reduce((sum, [, size]) => sum + size, 0)],
  )
}

function factsOf(content: string | Buffer) {
  return { md5: createHash('md5').update(content).digest('base64'), size: Buffer.byteLength(content) }
}

function digests({ manifest }: StandInVersion): Record<string, string> {
  return Object.fromEntries(Object.entries(manifest!.contents).map(([path, { digest }]) => [path, digest]))
}

function digestsOf(paths: readonly string[]): Record<string, string> {
  return Object.fromEntries(paths.map((path) => [path, factsOf(FILES[path]!).md5]))
}

function filesByKind(files: Row): Record<'points' | 'image', unknown[]> {
  const of = (end: string) =>
    Object.entries(files).flatMap(([path, facts]) => (path.endsWith(end) ? [facts] : []))
  return { points: of('points.table.json'), image: of('.png') }
}
