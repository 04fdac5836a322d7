import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunRecord } from '../../../../src/core/types.ts'
import { registryPath } from '../../../../src/sinks/wandb/uploads/registry.ts'
import { isCall, UploadBench } from './bench.ts'

type Model = Extract<RunRecord, { kind: 'model' }>

async function withBench(
  problems: readonly RegExp[],
  play: (bench: UploadBench, model: (more: Partial<Model>, weights?: string) => Model) => Promise<void>,
  options = {},
): Promise<void> {
  const bench = await UploadBench.start(options)
  const model = (more: Partial<Model>, weights = 'weights'): Model => ({
    ...{ kind: 'model', name: 'net', time: 1, step: 12, bytes: 0, ...more },
    files: bench.files({ 'net.bin': weights }),
  })
  try {
    await play(bench, model)
  } finally {
    await bench.end(problems)
  }
}

test('a model that is registered is a version of its collection, under its aliases', async () => {
  await withBench([], async (bench, model) => {
    const register = { register: 'digits', aliases: ['champion'] }
    assert.equal((await bench.playOn(model(register), 1)).status, 'accepted')
    assert.equal((await bench.playOn(model({ register: 'digits' }, 'other'), 2)).status, 'accepted')
    const [first, second] = bench.collection('net').versions
    assert.deepEqual([first!.historyStep, bench.collection('net').type], [12, 'model'])
    const registered = bench.standIn.artifacts.get('standers-org/wandb-registry-model/digits')!
    assert.deepEqual(
      registered.versions.map(({ id, version, aliases }) => [id, version, [...aliases].sort()]),
      [
        [first!.id, 'v0', ['champion']],
        [second!.id, 'v1', ['latest']],
      ],
    )
    // the organization is asked for once
    assert.equal(bench.calls('FetchOrgInfoFromEntity'), 1)
  })
})

test('a link whose answer is lost is made once', async () => {
  await withBench([], async (bench, model) => {
    bench.standIn.failNext({ kind: 'lostAnswer' }, isCall('LinkArtifact'))
    const record = model({ register: 'dataset/sets' })
    const { answer, saved } = await bench.play({ ...record, register: 'digits' }, 1)
    assert.equal(answer.status, 'retry')
    await bench.restart()
    assert.equal((await bench.play({ ...record, register: 'digits' }, 1, saved)).answer.status, 'accepted')
    const registered = bench.standIn.artifacts.get('standers-org/wandb-registry-model/digits')!
    assert.equal(registered.versions.length, 1)
    assert.equal(bench.calls('CreateArtifact'), 1)
  })
})

test('what a registry refuses is told of, and the model itself is there', async () => {
  await withBench([/takes no model/], async (bench, model) => {
    const answer = await bench.playOn(model({ register: 'dataset/sets', aliases: ['v1'] }), 1)
    assert.ok(answer.status === 'partial')
    assert.deepEqual(
      answer.rejected.map(({ code }) => code),
      ['ERR_REFUSED', 'ERR_REFUSED'],
    )
    const reasons = answer.rejected.map(({ reason }) => reason).join('; ')
    assert.match(reasons, /not registered as 'wandb-registry-dataset\/sets': .*takes no model/)
    assert.equal(bench.collection('net').versions[0]!.state, 'COMMITTED')
  })
  for (const status of [403, 404]) {
    await withBench([], async (bench, model) => {
      const body = '{"errors":[{"message":"permission denied to this registry"}]}'
      bench.standIn.failNext({ kind: 'answer', status, body }, isCall('LinkArtifact'))
      const answer = await bench.playOn(model({ register: 'digits' }), 1)
      assert.ok(answer.status === 'partial' && /permission denied/.test(answer.rejected[0]!.reason))
    })
  }
})

test('an entity without an organization, or with several, is told what to do', async () => {
  const orgs = (names: readonly string[]) =>
    names.map((name) => ({ name, orgEntity: { name: `${name}-org` } }))
  for (const [entity, expected] of [
    [
      { organization: null, user: { organizations: orgs(['One', 'Two']) } },
      /several organizations \(One, Two\)/,
    ],
    [{ organization: null, user: { organizations: [] } }, /belongs to no organization/],
    [{ organization: null, user: null }, /belongs to no organization/],
  ] as const) {
    await withBench([], async (bench, model) => {
      const body = JSON.stringify({ data: { entity } })
      bench.standIn.failNext({ kind: 'answer', status: 200, body }, isCall('FetchOrgInfoFromEntity'))
      const answer = await bench.playOn(model({ register: 'digits' }), 1)
      assert.ok(
        answer.status === 'partial' && expected.test(answer.rejected[0]!.reason),
        JSON.stringify(answer),
      )
    })
  }
})

test('a registry may be named before its collection, with W&B’s prefix or without', () => {
  const path = (project: string, collection: string) => ({ project, collection })
  assert.deepEqual(registryPath('digits'), path('wandb-registry-model', 'digits'))
  assert.deepEqual(registryPath('sets/digits'), path('wandb-registry-sets', 'digits'))
  assert.deepEqual(registryPath('wandb-registry-sets/digits'), path('wandb-registry-sets', 'digits'))
  assert.match(registryPath('sets/a/b').collection, /^a_b-[0-9a-f]{10}$/)
})
