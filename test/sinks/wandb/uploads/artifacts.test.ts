import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { blobPath } from '../../../../src/core/blob-path.ts'
import type { MultipartLimits } from '../../../../src/sinks/wandb/uploads/artifact-multipart.ts'
import type { StandInOptions } from '../stand-in/stand-in.ts'
import { isCall, isPut, UploadBench } from './bench.ts'

const md5 = (content: string | Buffer) => createHash('md5').update(content).digest('base64')
const CONTENTS = {
  'a.txt': 'one',
  'deep/er/b.bin': Buffer.from([0, 255, 10]),
  empty: '',
  'ünï \u{1f600}': 'two',
}
const REFUSED = [/^.*/]

interface Setting extends StandInOptions {
  readonly multipart?: MultipartLimits
  readonly problems?: readonly RegExp[]
}

async function withBench(
  { multipart, problems, ...options }: Setting,
  play: (bench: UploadBench) => Promise<void>,
): Promise<void> {
  const bench = await UploadBench.start(options, multipart)
  try {
    await play(bench)
  } catch (error) {
    await bench.end(REFUSED)
    throw error
  }
  await bench.end(problems)
}

test('files become a version with their manifest, metadata, aliases and references', async () => {
  await withBench({}, async (bench) => {
    const more = { description: 'of a test', metadata: '{"k":[1,null]}', aliases: ['best', 'latest'] }
    const reference = { path: 'far', uri: 's3://bucket/far', bytes: 9, digest: 'etag' }
    const record = bench.artifact(CONTENTS, more, [reference])
    assert.deepEqual(await bench.playOn(record, 4), { status: 'accepted' })
    const { versions, type } = bench.collection('data')
    assert.equal(type, 'dataset')
    const [version] = versions
    assert.deepEqual(
      [versions.length, version!.version, version!.state, version!.description, version!.metadata],
      [1, 'v0', 'COMMITTED', 'of a test', { k: [1, null] }],
    )
    assert.deepEqual([...version!.aliases].sort(), ['best', 'latest'])
    const own = (content: string | Buffer) => ({
      digest: md5(content),
      birthArtifactID: version!.id,
      size: Buffer.byteLength(content),
    })
    assert.deepEqual(version!.manifest!.contents, {
      ...Object.fromEntries(Object.entries(CONTENTS).map(([path, content]) => [path, own(content)])),
      far: { digest: 'etag', birthArtifactID: null, ref: 's3://bucket/far', size: 9 },
    })
    for (const content of Object.values(CONTENTS)) {
      const blob = bench.standIn.store.blob(version!.id, md5(content))
      assert.deepEqual(blob?.content, Buffer.from(content))
    }
    assert.equal(version!.createdBy, 'stander/lab/r1')
  })
})

test('equal content is not sent again, and its version takes the aliases', async () => {
  await withBench({}, async (bench) => {
    await bench.playOn(bench.artifact(CONTENTS), 1)
    const { count } = bench.standIn.puts
    assert.equal(count, 5)
    assert.deepEqual(await bench.playOn(bench.artifact(CONTENTS, { aliases: ['again'] }), 2), {
      status: 'accepted',
    })
    assert.equal(bench.standIn.puts.count, count)
    const { versions } = bench.collection('data')
    assert.deepEqual([versions.length, versions[0]!.aliases.includes('again')], [1, true])
    assert.equal(bench.calls('CommitArtifact'), 1)
    await bench.playOn(bench.artifact({ ...CONTENTS, 'a.txt': 'other' }), 3)
    // the file that is new, and the manifest
    assert.equal(bench.standIn.puts.count, count + 2)
    const [first, second] = bench.collection('data').versions
    const births = Object.entries(second!.manifest!.contents).map(([path, one]) => [
      path,
      one.birthArtifactID,
    ])
    assert.deepEqual(
      Object.fromEntries(births),
      Object.fromEntries(
        Object.keys(CONTENTS).map((path) => [path, path === 'a.txt' ? second!.id : first!.id]),
      ),
    )
  })
})

test('many small files take few calls, and several go out at once', async () => {
  await withBench({ delayMs: 2 }, async (bench) => {
    const contents = Object.fromEntries(Array.from({ length: 1_201 }, (_, i) => [`f/${i}`, `content ${i}`]))
    assert.equal((await bench.playOn(bench.artifact(contents), 1)).status, 'accepted')
    assert.equal(bench.calls('CreateArtifactFiles'), 3)
    assert.equal(bench.standIn.puts.count, 1_202)
    assert.equal(Object.keys(bench.collection('data').versions[0]!.manifest!.contents).length, 1_201)
  })
})

test('a process that was killed leaves ids, from which another goes on without sending a file twice', async () => {
  const contents = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, `content ${i}`]))
  for (const [steps, isStateLost] of [
    [0, false],
    [1, false],
    [12, false],
    [20, false],
    [12, true],
    [20, true],
  ] as const) {
    await withBench({}, async (bench) => {
      const record = bench.artifact(contents)
      const { saved, answer } = await bench.play(record, 3, undefined, steps)
      assert.equal(answer.status, 'accepted')
      assert.equal(saved.settled, steps)
      await bench.restart()
      const again = await bench.play(record, 3, isStateLost ? { settled: 0, state: undefined } : saved)
      assert.deepEqual(again.answer, { status: 'accepted' })
      const { versions } = bench.collection('data')
      assert.deepEqual([versions.length, versions[0]!.state], [1, 'COMMITTED'])
      // the store has what came before: not even a lost state sends it again
      assert.equal(bench.standIn.puts.count, 21)
    })
  }
})

test('an address that has run out is asked for again, and one that never works ends in a retry', async () => {
  await withBench({}, async (bench) => {
    bench.standIn.failNext({ kind: 'expired' }, isPut)
    const { answer } = await bench.play(bench.artifact(CONTENTS), 1)
    assert.equal(answer.status, 'accepted')
    assert.equal(bench.calls('CreateArtifactFiles'), 2)
  })
  await withBench({ urlTtlMs: -1 }, async (bench) => {
    const { answer } = await bench.play(bench.artifact({ one: '1' }), 1)
    assert.ok(answer.status === 'retry' && answer.code === 'ERR_SERVER', JSON.stringify(answer))
    assert.match(answer.reason, /store of W&B's files answered 403 \(AccessDenied\) for 'one'/)
    assert.doesNotMatch(answer.reason, /signature|storage/)
  })
})

test('a manifest whose address has run out gets another', async () => {
  await withBench({}, async (bench) => {
    const isManifest = (path: string) => path.includes('wandb_manifest')
    bench.standIn.failNext({ kind: 'expired' }, (request) => isPut(request) && isManifest(request.path))
    const { answer } = await bench.play(bench.artifact({ one: '1' }), 1)
    assert.equal(answer.status, 'accepted')
    assert.equal(bench.calls('CreateArtifactManifest'), 3)
  })
})

test('what W&B refuses is rejected in its words, by few calls however many files there are', async () => {
  const problems = [/its type is/]
  await withBench({ problems }, async (bench) => {
    await bench.playOn(bench.artifact({ one: '1' }), 1)
    const contents = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`f${i}`, `content ${i}`]))
    const before = bench.calls('CreateArtifact')
    const record = bench.artifact(contents, { type: 'other' })
    for (let settled = 0; settled < 50; settled += 8) {
      const { answer } = await bench.play(record, 2, { settled, state: undefined })
      assert.ok(answer.status === 'split' && answer.code === 'ERR_REFUSED', JSON.stringify(answer))
      assert.match(answer.reason, /its type is other, that of its collection dataset/)
    }
    assert.equal(bench.calls('CreateArtifact'), before + 1)
  })
  const saying = (status: number, message: string) =>
    ({ kind: 'answer', status, body: JSON.stringify({ errors: [{ message }] }) }) as const
  for (const [fault, expected, code] of [
    [saying(403, 'permission denied: storage quota exceeded'), 'split', 'ERR_AUTH'],
    [{ kind: 'graphqlError', message: 'you do not have permission' } as const, 'split', 'ERR_AUTH'],
    [saying(409, 'in conflict'), 'split', 'ERR_SERVER'],
    [saying(404, 'run not found'), 'blocked', 'ERR_REMOTE_RUN_GONE'],
    [saying(401, 'user is not logged in'), 'blocked', 'ERR_AUTH'],
    [saying(429, 'slow down'), 'retry', 'ERR_RATE_LIMITED'],
    [saying(500, 'oops'), 'retry', 'ERR_SERVER'],
  ] as const) {
    for (const operation of ['CreateArtifact', 'CreateArtifactFiles', 'CommitArtifact']) {
      await withBench({}, async (bench) => {
        bench.standIn.failNext(fault, isCall(operation))
        const { answer } = await bench.play(bench.artifact({ one: '1' }), 1)
        assert.equal(answer.status, expected, `${operation}: ${JSON.stringify(answer)}`)
        assert.equal('code' in answer && answer.code, code)
      })
    }
  }
})

test('aliases that W&B refuses are told of, and the rest arrives', async () => {
  await withBench({}, async (bench) => {
    const aliases = ['good', 'v3', 'a/b', 'a:b', '', 'latest', 'good', 'v3x']
    const answer = await bench.playOn(bench.artifact({ one: '1' }, { aliases }), 1)
    assert.ok(answer.status === 'partial')
    assert.deepEqual(
      answer.rejected.map(({ index, code }) => [index, code]),
      [1, 2, 3, 4].map((index) => [index, 'ERR_REFUSED']),
    )
    assert.deepEqual([...bench.collection('data').versions[0]!.aliases].sort(), ['good', 'latest', 'v3x'])
  })
})

test('a name that W&B cannot have becomes one that it can, which is said once', async () => {
  await withBench({}, async (bench) => {
    for (const [seq, name] of ['my data/set', 'my data:set', 'plain'].entries()) {
      const answer = await bench.playOn(bench.artifact({ one: `${seq}` }, { name, type: 'my type' }), seq)
      assert.equal(answer.status, 'accepted')
    }
    const names = [...bench.standIn.artifacts.values()].map(({ name }) => name)
    assert.equal(names.length, 3)
    assert.ok(
      names.includes('plain') && names.filter((name) => /^my_data_set-[0-9a-f]{10}$/.test(name)).length === 2,
    )
    assert.ok(bench.notices.some((one) => one.includes("'my data/set'")))
  })
})

test('a commit whose answer is lost is asked after, and not made twice', async () => {
  for (const isKilled of [false, true]) {
    await withBench({}, async (bench) => {
      const record = bench.artifact(CONTENTS)
      bench.standIn.failNext({ kind: 'lostAnswer' }, isCall('CommitArtifact'))
      const { answer, saved } = await bench.play(record, 1)
      assert.equal(answer.status, 'retry')
      if (isKilled) await bench.restart()
      assert.deepEqual((await bench.play(record, 1, saved)).answer, { status: 'accepted' })
      assert.deepEqual([bench.collection('data').versions.length, bench.calls('CommitArtifact')], [1, 1])
      assert.equal(bench.standIn.puts.count, 5)
    })
  }
})

test('an artifact that the server has forgotten between two processes is made anew, with all its files', async () => {
  await withBench({}, async (bench) => {
    const record = bench.artifact(CONTENTS)
    const { saved } = await bench.play(record, 1, undefined, 3)
    const { store } = bench.standIn
    const [lost] = bench.collection('data').pending
    store.byId.delete(lost!.id)
    store.collections.clear()
    await bench.restart()
    const again = await bench.play(record, 1, saved)
    assert.deepEqual(again.answer, { status: 'accepted' })
    const { versions } = bench.collection('data')
    assert.deepEqual([versions.length, Object.keys(versions[0]!.manifest!.contents).length], [1, 4])
  })
})

test('a file that is not there any more costs the artifact, which is not committed', async () => {
  await withBench({}, async (bench) => {
    const record = bench.artifact(CONTENTS)
    const [file] = bench.files({ 'a.txt': 'one' })
    rmSync(blobPath(bench.folder, (file as { blob: { digest: string } }).blob.digest))
    const { answer } = await bench.play(record, 1)
    assert.ok(answer.status === 'split' && answer.code === 'ERR_BLOB', JSON.stringify(answer))
    assert.equal(bench.standIn.artifacts.size, 0)
  })
})

// ── large files ──────────────────────────────────────────────────────────────────────────────────────

const PARTS = { minBytes: 1_000, partBytes: 400 }
const large = Buffer.from(Array.from({ length: 1_900 }, (_, i) => i % 251))
const isPart = (at: number) => (request: Parameters<typeof isPut>[0]) =>
  isPut(request) && request.path.endsWith(`.part${at}`)

test('a large file goes out in parts, each once, beside small ones', async () => {
  await withBench({ multipart: PARTS }, async (bench) => {
    const record = bench.artifact({ small: 'one', weights: large })
    assert.deepEqual(await bench.playOn(record, 1), { status: 'accepted' })
    const [version] = bench.collection('data').versions
    assert.deepEqual(bench.standIn.store.blob(version!.id, md5(large))?.content, large)
    assert.equal(bench.calls('CompleteMultipartUploadArtifact'), 1)
    assert.equal(bench.standIn.puts.count, 1 + 5 + 1)
  })
})

test('a part that fails, and a process that is killed, cost no other part', async () => {
  for (const isKilled of [false, true]) {
    await withBench({ multipart: PARTS }, async (bench) => {
      const record = bench.artifact({ weights: large })
      bench.standIn.failNext({ kind: 'cut' }, isPart(3))
      const { answer, saved } = await bench.play(record, 1)
      assert.equal(answer.status, 'retry')
      if (isKilled) await bench.restart()
      assert.deepEqual((await bench.play(record, 1, saved)).answer, { status: 'accepted' })
      assert.equal(bench.standIn.puts.count, 5 + 1)
      assert.equal(bench.calls('RefreshMultipartUploadUrls'), 1)
    })
  }
})

test('parts whose addresses have run out get others, and a completion without an answer is no loss', async () => {
  await withBench({ multipart: PARTS }, async (bench) => {
    const record = bench.artifact({ weights: large })
    bench.standIn.failNext({ kind: 'expired' }, isPart(2))
    bench.standIn.failNext({ kind: 'lostAnswer' }, isCall('CompleteMultipartUploadArtifact'))
    const { answer, saved } = await bench.play(record, 1)
    assert.equal(answer.status, 'retry')
    assert.deepEqual((await bench.play(record, 1, saved)).answer, { status: 'accepted' })
    assert.equal(bench.standIn.puts.count, 5 + 1)
    assert.equal(bench.collection('data').versions.length, 1)
  })
})

test('an upload in parts that the server has lost begins anew', async () => {
  await withBench({ multipart: PARTS, problems: [/no upload/] }, async (bench) => {
    const record = bench.artifact({ weights: large })
    bench.standIn.failNext({ kind: 'cut' }, isPart(3))
    const { saved } = await bench.play(record, 1)
    bench.collection('data').pending[0]!.uploads.clear()
    await bench.restart()
    assert.deepEqual((await bench.play(record, 1, saved)).answer, { status: 'accepted' })
    assert.equal(bench.standIn.puts.count, 2 + 5 + 1)
  })
})

test('a completion that is refused costs the file where it began here, and a new beginning where it went on', async () => {
  const refused = { kind: 'graphqlError', message: 'no such upload' } as const
  for (const isResumed of [false, true]) {
    await withBench({ multipart: PARTS }, async (bench) => {
      const record = bench.artifact({ weights: large })
      bench.standIn.failNext(refused, isCall('CompleteMultipartUploadArtifact'))
      if (isResumed) bench.standIn.failNext({ kind: 'cut' }, isPart(3))
      const first = await bench.play(record, 1)
      if (isResumed) {
        assert.equal(first.answer.status, 'retry')
        assert.deepEqual((await bench.play(record, 1, first.saved)).answer, { status: 'accepted' })
        assert.equal(bench.standIn.puts.count, 5 + 5 + 1)
      } else assert.ok(first.answer.status === 'split' && /no such upload/.test(first.answer.reason))
    })
  }
})
