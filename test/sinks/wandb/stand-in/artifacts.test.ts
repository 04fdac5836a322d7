/** The rules by which artifacts are made, and what each breach of them comes to. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import {
  ArtifactClient,
  base64Md5,
  type Contents,
  clientId,
  digestOfContents,
  entriesOf,
  manifestText,
  put,
  USE,
} from './artifact-client.ts'
import { Client } from './client.ts'
import type { Fault } from './faults.ts'
import { type StandInOptions, type StandInVersion, WandbStandIn } from './stand-in.ts'

const CONTENTS: Contents = { 'b.txt': 'bb', 'a/ü.bin': Buffer.from([0, 255]), 'a.txt': 'a' }

async function start(test: TestContext, options?: StandInOptions) {
  const standIn = await WandbStandIn.start(options)
  test.after(() => standIn.stop())
  const client = new Client(standIn)
  await client.upsert()
  const run = standIn.runs.get('stander/lab/one')!
  const versions = (name = 'points'): readonly StandInVersion[] =>
    standIn.artifacts.get(`stander/lab/${name}`)?.versions ?? []
  return { standIn, client, run, versions, artifacts: new ArtifactClient(client) }
}

describe('an artifact', () => {
  it('is created, filled and committed as a version of its collection', async (test) => {
    const { standIn, run, versions, artifacts } = await start(test)
    const { id, state, artifactSequence } = await artifacts.create(CONTENTS, {
      description: 'of a plane',
      metadata: '{"n":3}',
      historyStep: 7,
      aliases: [{ artifactCollectionName: 'points', alias: 'best' }],
      clientID: 'c'.repeat(128),
    })
    assert.deepEqual([state, artifactSequence.latestArtifact], ['PENDING', null])
    assert.deepEqual([versions()[0]!.state, versions()[0]!.version], ['PENDING', undefined])
    const entries = await artifacts.upload(id, CONTENTS)
    assert.equal(await artifacts.putManifest(id, manifestText(entries)), 200)
    assert.deepEqual(await artifacts.commit(id), { id, digest: digestOfContents(CONTENTS) })
    const [version] = versions()
    const { manifest, ...rest } = version!
    assert.deepEqual(rest, {
      id,
      version: 'v0',
      digest: digestOfContents(CONTENTS),
      state: 'COMMITTED',
      aliases: ['best', 'latest'],
      metadata: { n: 3 },
      description: 'of a plane',
      clientId: 'c'.repeat(128),
      historyStep: 7,
      createdBy: run.path,
      usedBy: [],
    })
    assert.deepEqual(manifest!.contents, entries)
    assert.deepEqual(await artifacts.commit(id), { id, digest: version!.digest }, 'committed once')
    assert.equal(versions().length, 1)
    assert.deepEqual(standIn.puts, { count: 4, bytes: 5 + Buffer.byteLength(manifestText(entries)) })
    assert.equal(standIn.artifacts.get('stander/lab/points')!.type, 'dataset')
    assert.deepEqual(standIn.allProblems, [])
  })

  it('shares bytes with earlier versions, and takes their aliases', async (test) => {
    const { standIn, versions, artifacts } = await start(test)
    const first = await artifacts.log({ 'a.txt': 'a', 'b.txt': 'b' })
    const { count } = standIn.puts
    const contents = { 'moved.txt': 'a', 'c.txt': 'c' }
    const second = await artifacts.log(contents)
    assert.equal(standIn.puts.count, count + 2, 'one file, and the manifest')
    assert.equal(second.artifactSequence.latestArtifact!.id, first.id)
    assert.equal(versions()[1]!.manifest!.contents['moved.txt']!.birthArtifactID, first.id)
    assert.equal(versions()[1]!.manifest!.contents['c.txt']!.birthArtifactID, second.id)
    assert.deepEqual(
      versions().map(({ version, aliases }) => [version, aliases]),
      [
        ['v0', []],
        ['v1', ['latest']],
      ],
    )
  })

  it('with the content of a version is that version, and nothing is transferred', async (test) => {
    const { standIn, versions, artifacts } = await start(test)
    const first = await artifacts.log(CONTENTS)
    const { puts } = standIn
    const again = await artifacts.create(CONTENTS, {
      aliases: [{ artifactCollectionName: 'points', alias: 'same' }],
    })
    assert.deepEqual([again.id, again.state], [first.id, 'COMMITTED'])
    assert.deepEqual(versions()[0]!.aliases, ['latest', 'same'])
    const anew = await artifacts.create(CONTENTS, { enableDigestDeduplication: false })
    assert.deepEqual([anew.state, anew.id === first.id], ['PENDING', false])
    const elsewhere = { artifactCollectionName: 'others', aliases: [] }
    assert.equal((await artifacts.create(CONTENTS, elsewhere)).state, 'PENDING')
    assert.deepEqual(standIn.puts, puts)
  })

  it('is the same one under its client id, pending or committed', async (test) => {
    const { artifacts, run, versions } = await start(test)
    const clientID = clientId()
    const first = await artifacts.create(CONTENTS, { clientID })
    assert.deepEqual(await artifacts.create(CONTENTS, { clientID }), first)
    await artifacts.putManifest(first.id, manifestText(await artifacts.upload(first.id, CONTENTS)))
    await artifacts.commit(first.id)
    assert.equal((await artifacts.create(CONTENTS, { clientID })).state, 'COMMITTED')
    assert.equal(versions().length, 1)
    assert.deepEqual(run.problems, [])
    await assert.rejects(artifacts.create({ 'a.txt': 'other' }, { clientID }), /client id is that of another/)
  })

  const made = 'points'
  const refusals: readonly (readonly [string, object, RegExp])[] = [
    ['of a run that is not there', { runName: 'two' }, /its run two is not there/],
    ['in a project without the run', { projectName: 'other' }, /its run one is not there/],
    ['under a name with a slash', { artifactCollectionName: 'a/b' }, /its name has what a name may not have/],
    ['under a long name', { artifactCollectionName: 'n'.repeat(129) }, /its name has/],
    ['with no type', { artifactTypeName: '' }, /its type/],
    ['with another digest algorithm', { digestAlgorithm: 'MANIFEST_XXH128' }, /the digest algorithm/],
    ['with a digest in Base64', { digest: base64Md5('a') }, /its digest is no MD5 in hex/],
    ['without a client id', { clientID: '' }, /it has no client id/],
    ['without a sequence client id', { sequenceClientID: null }, /it has no sequence client id/],
    ['with one id for both', { clientID: 'x', sequenceClientID: 'x' }, /one id for itself/],
    ['with metadata that is no object', { metadata: '[1]' }, /its metadata is no JSON object/],
    ['with metadata that is no JSON', { metadata: '{"a":NaN}' }, /its metadata is no JSON object/],
    ['of another type than its collection', { artifactTypeName: 'model' }, /its type is model/],
    ['with an alias of others', { aliases: [{ artifactCollectionName: 'x', alias: 'y' }] }, /names x/],
    ['with a version as alias', { aliases: [{ artifactCollectionName: made, alias: 'v3' }] }, /alias v3/],
    ['with a colon in an alias', { aliases: [{ artifactCollectionName: made, alias: 'a:b' }] }, /alias a:b/],
  ]
  for (const [what, changes, problem] of refusals) {
    it(`is refused ${what}`, async (test) => {
      const { standIn, artifacts, versions } = await start(test)
      await artifacts.log({ 'first.txt': '1' })
      await assert.rejects(artifacts.create(CONTENTS, changes), problem)
      assert.match(standIn.allProblems.join(), problem)
      assert.equal(versions().length, 1)
    })
  }
})

describe('a commit', () => {
  const entries = entriesOf(CONTENTS)
  const changes: readonly (readonly [string, (made: Record<string, object>) => string, RegExp])[] = [
    ['a manifest that is no JSON', () => '{', /the manifest is no JSON/],
    ['another version of manifests', (made) => manifestText(made, { version: 2 }), /the version 2/],
    ['another policy', (made) => manifestText(made, { storagePolicy: 'x' }), /the storage policy x/],
    [
      'another layout',
      (made) => manifestText(made, { storagePolicyConfig: {} }),
      /not the storage layout V2/,
    ],
    ['no contents', () => manifestText({}, { contents: undefined }), /has no contents/],
    [
      'an entry without a digest',
      (made) => manifestText({ ...made, 'a.txt': { size: 1 } }),
      /a.txt has no digest/,
    ],
    ['a path that leads out', (made) => manifestText({ ...made, '../x': entries['a.txt'] }), /leaves the/],
    [
      'an entry that names no birth',
      (made) => manifestText({ ...made, 'a.txt': entries['a.txt'] }),
      /a.txt names no/,
    ],
    [
      'bytes that never came',
      (made) => manifestText({ ...made, 'a.txt': { ...made['a.txt'], digest: base64Md5('x') } }),
      /a.txt: no bytes with the MD5/,
    ],
    [
      'another size',
      (made) => manifestText({ ...made, 'a.txt': { ...made['a.txt'], size: 2 } }),
      /a.txt: 1 bytes came, and the manifest says 2/,
    ],
    [
      'a digest that is not that of the manifest',
      (made) => manifestText({ 'a.txt': made['a.txt'] }),
      /its manifest comes to/,
    ],
  ]
  for (const [what, text, problem] of changes) {
    it(`is refused with ${what}`, async (test) => {
      const { run, artifacts, versions } = await start(test)
      const { id } = await artifacts.create(CONTENTS)
      await artifacts.putManifest(id, text(await artifacts.upload(id, CONTENTS)))
      await assert.rejects(artifacts.commit(id), problem)
      assert.match(run.problems.join(), problem)
      assert.equal(versions()[0]!.state, 'PENDING')
    })
  }

  it('is refused before the manifest came, and with the manifest of an earlier try', async (test) => {
    const { artifacts } = await start(test)
    await assert.rejects(artifacts.commit('nothing'), /no artifact nothing/)
    const { id } = await artifacts.create(CONTENTS)
    const text = manifestText(await artifacts.upload(id, CONTENTS))
    await assert.rejects(artifacts.commit(id), /its manifest has not come/)
    await artifacts.putManifest(id, text)
    await artifacts.manifest(id, base64Md5('another'))
    await assert.rejects(artifacts.commit(id), /its manifest has not come/)
    const stale = await artifacts.manifest(id, base64Md5(text))
    assert.equal(await put(stale, 'another'), 400)
    await assert.rejects(artifacts.commit(id), /its manifest has not come/)
  })

  it('needs no bytes for a reference', async (test) => {
    const { run, artifacts, versions } = await start(test)
    const ref = { digest: 'etag-1', size: 10, ref: 's3://bucket/key' }
    const digest = digestOfContents({})
    const { id } = await artifacts.create({}, { digest })
    await artifacts.putManifest(id, manifestText({ far: ref }))
    await assert.rejects(artifacts.commit(id), /its manifest comes to/)
    const [, wanted] = /comes to (\w+)/.exec(run.problems.join())!
    const right = await artifacts.create({}, { digest: wanted })
    await artifacts.putManifest(right.id, manifestText({ far: ref }))
    await artifacts.commit(right.id)
    assert.deepEqual(versions()[0]!.manifest!.contents.far, ref)
  })

  it('ends an artifact: what would change it is refused', async (test) => {
    const { artifacts } = await start(test)
    const { id } = await artifacts.log(CONTENTS)
    await assert.rejects(artifacts.manifest(id), /it is committed, and changed/)
    const spec = { artifactID: id, artifactManifestID: 'x', name: 'a', md5: base64Md5('a') }
    await assert.rejects(artifacts.files([spec]), /it is committed, and changed/)
  })
})

describe('the use of an artifact', () => {
  it('is noted with its run, and refused before it is committed', async (test) => {
    const { client, artifacts, versions } = await start(test)
    await client.upsert({ name: 'two' })
    const use = (artifactID: string, runName = 'two') =>
      client.ask(USE, { input: { entityName: 'stander', projectName: 'lab', runName, artifactID } })
    const pending = await artifacts.create({ 'a.txt': 'x' })
    await assert.rejects(use(pending.id), /used before it is committed/)
    const { id } = await artifacts.log(CONTENTS)
    await assert.rejects(use(id, 'three'), /the run three that uses an artifact is not there/)
    await use(id)
    await use(id)
    assert.deepEqual(versions()[0]!.usedBy, ['stander/lab/two'])
  })
})

describe('faults of artifacts', () => {
  const faults: readonly (readonly [string, Fault, boolean])[] = [
    ['an outage', { kind: 'answer', status: 503 }, false],
    ['a quota', { kind: 'answer', status: 429, headers: { 'retry-after': '1' } }, false],
    ['a refusal', { kind: 'graphqlError' }, false],
    ['a cut before', { kind: 'cut' }, false],
    ['a cut after', { kind: 'lostAnswer' }, true],
    ['a cut answer', { kind: 'cutAnswer' }, true],
  ]
  for (const [what, fault, isDone] of faults) {
    it(`${what} befalls one step, which ${isDone ? 'was' : 'was not'} carried out`, async (test) => {
      const { standIn, artifacts, versions } = await start(test)
      const clientID = clientId()
      standIn.failNext(fault, ({ operation }) => operation === 'CreateArtifact')
      await assert.rejects(artifacts.create(CONTENTS, { clientID }))
      assert.equal(versions().length, isDone ? 1 : 0)
      const { id } = await artifacts.create(CONTENTS, { clientID })
      const entries = await artifacts.upload(id, CONTENTS)
      await artifacts.putManifest(id, manifestText(entries))
      standIn.failNext(fault, ({ operation }) => operation === 'CommitArtifact')
      await assert.rejects(artifacts.commit(id))
      assert.equal(versions()[0]!.state, isDone ? 'COMMITTED' : 'PENDING')
      await artifacts.commit(id)
      assert.deepEqual([versions().length, standIn.allProblems], [1, []])
    })
  }
})
