import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { RunRecord, WriteResult } from '../../../src/core/types.ts'
import { HttpClient } from '../../../src/sinks/http.ts'
import { WandbApi } from '../../../src/sinks/wandb/api.ts'
import { RunConfig } from '../../../src/sinks/wandb/config.ts'
import {
  type ConfigRecord,
  type RecordParts,
  UPSERT_BUCKET,
  type UpsertPayload,
  upsertVariables,
  writeConfigRecord,
} from '../../../src/sinks/wandb/records.ts'
import { runInfo } from '../mlflow/points.ts'
import { WandbStandIn } from './stand-in/stand-in.ts'

const KEY = 'k'.repeat(40)
const { signal } = new AbortController()
const isUpsert = ({ operation }: { operation: string }) => operation === 'UpsertBucket'

describe('params, tags, notes and definitions', () => {
  let standIn: WandbStandIn
  let http: HttpClient
  let parts: RecordParts
  let told: string[] = []

  beforeEach(async () => {
    standIn = await WandbStandIn.start()
    const authorization = `Basic ${Buffer.from(`api:${KEY}`).toString('base64')}`
    http = new HttpClient({ origin: standIn.url, connections: 1, headers: { authorization }, secrets: [KEY] })
    const api = new WandbApi(http, standIn.url)
    const config = new RunConfig(runInfo())
    const input = {
      ...{ name: 'r1', project: 'lab', displayName: 'first', groupName: 'g', jobType: 'train' },
      ...{ notes: 'old', tags: ['early'], config: config.text(), entity: undefined },
    }
    const made = await api.graphql<{ upsertBucket: UpsertPayload }>(
      'UpsertBucket',
      UPSERT_BUCKET,
      upsertVariables(input),
      signal,
    )
    assert.ok('data' in made, JSON.stringify(made))
    const bucket = made.data.upsertBucket.bucket!
    const remote = {
      ...{ entity: bucket.project!.entity.name, project: 'lab', run: 'r1', storageId: bucket.id },
    }
    told = []
    const notices = { tell: (topic: string) => void told.push(topic) }
    parts = { api, remote, config, tags: new Set(['early']), notices }
  })
  afterEach(async () => {
    await http.close()
    await standIn.stop()
    assert.deepEqual(standIn.allProblems, [])
  })

  const write = (record: ConfigRecord): Promise<WriteResult> => writeConfigRecord(parts, record, signal)
  const tags = (given: Record<string, string>): Extract<RunRecord, { kind: 'tags' }> => ({
    kind: 'tags',
    tags: given,
  })
  const run = () => [...standIn.runs.values()][0]!

  it('stand at the server when accepted, and leave the rest as it was', async () => {
    const records: ConfigRecord[] = [
      { kind: 'params', params: { 'optimizer.name': 'adam', lr: 0.1 } },
      { kind: 'metric', name: 'val/loss', axis: 'epoch', summary: ['min'] },
      { kind: 'params', params: { lr: 0.2 } },
      { kind: 'notes', notes: 'new' },
      tags({ baseline: '', author: 'ann' }),
    ]
    for (const record of records) assert.deepEqual(await write(record), { status: 'accepted' })
    const { config, notes, group, jobType, displayName } = run()
    assert.deepEqual(config, { optimizer: { name: 'adam' }, lr: 0.2 })
    assert.deepEqual([notes, group, jobType, displayName], ['new', 'g', 'train', 'first'])
    assert.deepEqual([...run().tags].sort(), ['author:ann', 'baseline', 'early'])
    const m = run().wandb.m as { '1'?: string }[]
    assert.ok(m.some((one) => one['1'] === 'val/loss'))
  })

  it('a tag with another value takes the place of the one before', async () => {
    await write(tags({ stage: 'one', stages: 'x' }))
    await write(tags({ stage: 'two' }))
    await write(tags({ stage: '' }))
    assert.deepEqual([...run().tags].sort(), ['early', 'stage', 'stage:two', 'stages:x'])
    await write(tags({ stage: 'three' }))
    assert.deepEqual([...run().tags].sort(), ['early', 'stage:three', 'stages:x'])
  })

  it('cuts a tag to the characters that W&B holds, and tells', async () => {
    await write(tags({ [`${'x'.repeat(63)}\u{1f600}`]: '' }))
    assert.deepEqual([...run().tags].sort(), ['early', 'x'.repeat(63)])
    assert.deepEqual(told, ['tag'])
  })

  it('what the server does not take costs itself alone', async () => {
    for (const record of [{ kind: 'params', params: { bad: 1 } }, tags({ bad: '' })] as ConfigRecord[]) {
      standIn.failNext({ kind: 'graphqlError', message: 'no such value' }, isUpsert)
      assert.equal((await write(record)).status, 'split')
    }
    await write({ kind: 'params', params: { good: 1 } })
    await write(tags({ good: '' }))
    assert.deepEqual([run().config, [...run().tags].sort()], [{ good: 1 }, ['early', 'good']])
  })

  it('is sent again after a lost answer, and stands once', async () => {
    for (const record of [{ kind: 'params', params: { a: 1 } }, tags({ a: 'b' })] as ConfigRecord[]) {
      standIn.failNext({ kind: 'lostAnswer' }, isUpsert)
      assert.equal((await write(record)).status, 'retry')
      assert.equal((await write(record)).status, 'accepted')
    }
    assert.deepEqual([run().config, [...run().tags].sort()], [{ a: 1 }, ['a:b', 'early']])
  })

  it('never makes a deleted run anew', async () => {
    run().isDeleted = true
    const answer = await write({ kind: 'notes', notes: 'x' })
    assert.notEqual(answer.status, 'accepted')
    assert.equal(standIn.runs.size, 1)
    assert.equal(run().isDeleted, true)
  })
})
