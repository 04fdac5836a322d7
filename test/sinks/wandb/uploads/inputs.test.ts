import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunRecord } from '../../../../src/core/types.ts'
import { pathsOf } from '../../../../src/sinks/wandb/uploads/inputs.ts'
import { isCall, UploadBench } from './bench.ts'

const input = (artifact: string, type?: string): RunRecord => ({
  ...{ kind: 'input', artifact, time: 1 },
  ...(type !== undefined && { type }),
})
const RUN = 'stander/lab/r1'

async function withBench(play: (bench: UploadBench) => Promise<void>, options = {}): Promise<void> {
  const bench = await UploadBench.start(options)
  try {
    await play(bench)
  } finally {
    await bench.end()
  }
}

test('an artifact is found by each way to name it, and the run uses it', async () => {
  for (const features of [[], ['USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION']]) {
    for (const [name, version] of [
      ['data', 1],
      ['data:', 1],
      ['data:latest', 1],
      ['data:first', 0],
      ['data:v0', 0],
      ['lab/data:v1', 1],
      ['stander/lab/data', 1],
      ['stander/lab/data:first', 0],
    ] as const) {
      await withBench(
        async (bench) => {
          await bench.playOn(bench.artifact({ a: '1' }, { aliases: ['first'] }), 1)
          await bench.playOn(bench.artifact({ a: '2' }), 2)
          assert.deepEqual(await bench.playOn(input(name), 3), { status: 'accepted' }, name)
          const used = bench.collection('data').versions.map(({ usedBy }) => usedBy)
          assert.deepEqual(used, version === 0 ? [[RUN], []] : [[], [RUN]], name)
        },
        { features },
      )
    }
  }
})

test('an artifact of a registry is found with its organization and without', async () => {
  await withBench(async (bench) => {
    const model: RunRecord = {
      ...{ kind: 'model', name: 'net', time: 1, bytes: 1, register: 'digits', aliases: ['champion'] },
      files: bench.files({ w: 'x' }),
    }
    await bench.playOn(model, 1)
    for (const [seq, name] of [
      'wandb-registry-model/digits:champion',
      'standers-org/wandb-registry-model/digits',
      'Standers/wandb-registry-model/digits:v0',
    ].entries()) {
      assert.deepEqual(await bench.playOn(input(name, 'model'), 2 + seq), { status: 'accepted' }, name)
    }
    assert.deepEqual(bench.collection('net').versions[0]!.usedBy, [RUN])
    const other = await bench.playOn(input('Others/wandb-registry-model/digits'), 9)
    assert.ok(other.status === 'split' && /no organization 'Others'/.test(other.reason))
  })
})

test('an artifact of this run is found by the name that it was logged by', async () => {
  for (const name of ['my data', 'sets/train', 'a:b', 'a/b/c/d:e', 'ünï']) {
    await withBench(async (bench) => {
      await bench.playOn(bench.artifact({ a: '1' }, { name, aliases: ['best'] }), 1)
      for (const [seq, given] of [name, `${name}:best`, `${name}:v0`].entries()) {
        assert.deepEqual(await bench.playOn(input(given), 2 + seq), { status: 'accepted' }, given)
      }
      assert.deepEqual([...bench.standIn.artifacts.values()][0]!.versions[0]!.usedBy, [RUN])
    })
  }
})

test('what is not there, or of another type, is rejected with a reason', async () => {
  await withBench(async (bench) => {
    await bench.playOn(bench.artifact({ a: '1' }), 1)
    for (const [given, expected] of [
      [input('none'), /'none' that the run read: W&B has no artifact 'none' .* 'latest' in stander\/lab/],
      [input('data:other'), /no artifact 'data' with the alias or version 'other'/],
      [input('elsewhere/data:v0'), /in stander\/elsewhere/],
      [input('else/where/data:v0'), /in else\/where/],
      [input('data', 'model'), /is of the type 'dataset', not 'model'/],
    ] as const) {
      const answer = await bench.playOn(given, 2)
      assert.ok(answer.status === 'split' && answer.code === 'ERR_REFUSED', JSON.stringify(answer))
      assert.match(answer.reason, expected)
    }
    const denied = {
      kind: 'answer',
      status: 404,
      body: '{"errors":[{"message":"project not found"}]}',
    } as const
    bench.standIn.failNext(denied, isCall('ArtifactMembershipByName'))
    const answer = await bench.playOn(input('data'), 3)
    assert.ok(answer.status === 'split' && /project not found/.test(answer.reason))
    assert.deepEqual(bench.collection('data').versions[0]!.usedBy, [])
  })
})

test('a server that does not answer is asked again', async () => {
  for (const operation of ['ArtifactMembershipByName', 'UseArtifact']) {
    for (const kind of ['cut', 'lostAnswer', 'falseSuccess'] as const) {
      await withBench(async (bench) => {
        await bench.playOn(bench.artifact({ a: '1' }), 1)
        bench.standIn.failNext({ kind }, isCall(operation))
        assert.equal((await bench.play(input('data'), 2)).answer.status, 'retry')
        assert.equal((await bench.play(input('data'), 2)).answer.status, 'accepted')
        assert.deepEqual(bench.collection('data').versions[0]!.usedBy, [RUN])
      })
    }
  }
})

test('where a name is looked for', () => {
  assert.deepEqual(
    pathsOf('e/p/n:a'),
    [{ entity: 'e', project: 'p', name: 'n', alias: 'a' }].concat(pathsOf('e/p/n:a').slice(1) as never),
  )
  assert.deepEqual(pathsOf('n'), [{ name: 'n', alias: 'latest' }])
  assert.equal(
    pathsOf('/n').every(({ project }) => project === undefined),
    true,
  )
})
