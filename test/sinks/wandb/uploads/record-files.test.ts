import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { RunRecord, Sink, WriteResult } from '../../../../src/core/types.ts'
import { HttpClient } from '../../../../src/sinks/http.ts'
import { type RemoteRun, WandbApi } from '../../../../src/sinks/wandb/api.ts'
import { RunConfig } from '../../../../src/sinks/wandb/config.ts'
import { entryOf } from '../../../../src/sinks/wandb/entries.ts'
import { UPSERT_BUCKET, type UpsertPayload, upsertVariables } from '../../../../src/sinks/wandb/records.ts'
import { RunStream } from '../../../../src/sinks/wandb/stream.ts'
import { Uploader } from '../../../../src/sinks/wandb/uploads/upload.ts'
import { runInfo } from '../../mlflow/points.ts'
import { storeBlob, uploadRecord } from '../../mlflow/run-blobs.ts'
import { type StandInOptions, WandbStandIn } from '../stand-in/stand-in.ts'

const KEY = 'k'.repeat(40)
const { signal } = new AbortController()
type Images = Extract<RunRecord, { kind: 'images' }>
const isPut = ({ kind }: { kind: string }) => kind === 'upload'
const answer = (status: number, body = '') => ({ kind: 'answer', status, body }) as const

describe('uploads of images as files of a run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
  let standIn: WandbStandIn
  let http: HttpClient
  let remote: RemoteRun
  let api: WandbApi
  let stream: RunStream
  const uploaders: Uploader[] = []

  async function begin(options: StandInOptions = {}): Promise<void> {
    standIn = await WandbStandIn.start(options)
    const authorization = `Basic ${Buffer.from(`api:${KEY}`).toString('base64')}`
    http = new HttpClient({ origin: standIn.url, connections: 2, headers: { authorization }, secrets: [KEY] })
    api = new WandbApi(http, standIn.url)
    const input = { name: 'r1', project: 'lab', config: new RunConfig(runInfo()).text() }
    const made = await api.graphql<{ upsertBucket: UpsertPayload }>(
      ...(['UpsertBucket', UPSERT_BUCKET, upsertVariables(input), signal] as const),
    )
    assert.ok('data' in made, JSON.stringify(made))
    const { bucket } = made.data.upsertBucket
    remote = { entity: standIn.defaultEntity, project: 'lab', run: 'r1', storageId: bucket!.id }
    stream = RunStream.of(api, remote)
  }
  beforeEach(() => begin())
  afterEach(async () => {
    for (const uploader of uploaders.splice(0)) await uploader.close()
    stream.release()
    await http.close()
    await standIn.stop()
    assert.deepEqual(standIn.allProblems, [])
    rmSync(folder, { recursive: true, force: true })
  })

  const run = () => [...standIn.runs.values()][0]!
  const contents = ['one', 'two', '']
  const record = (name = 'val/pre ds'): Images => ({
    ...{ kind: 'images', name, step: 7, time: 1000 },
    images: contents.map((text) => ({ image: storeBlob(folder, text, 'image/png'), width: 2, height: 2 })),
  })
  /** Files of one record at once, as the pipeline does. */
  const sink = () => {
    const uploader = new Uploader({
      ...{ api, remote, run: runInfo({ folder }), notices: { tell: () => {} } },
      openStore: (origin) => new HttpClient({ origin, connections: 1, headers: {}, secrets: [] }),
      tellUploaded: (uploaded) => stream.send(api, remote, { uploaded }, signal),
    })
    uploaders.push(uploader)
    return uploader as unknown as Sink
  }
  const all = (of: Images, steps = {}) => uploadRecord(sink(), folder, of, 3, steps)
  async function pathsOf(of: Images): Promise<string[]> {
    const entries = await entryOf(of, runInfo())
    assert.ok(!('refused' in entries))
    return (JSON.parse(entries[0]![1]) as { filenames: string[] }).filenames
  }
  const last = (answers: readonly WriteResult[]) => answers.at(-1)!

  it('puts the files that the history names, and tells the stream', async () => {
    for (const name of ['val/pre ds', 'a:b*c?d"e<f>|%#é.x\\y', '../up']) {
      const images = record(name)
      let bytes = 0
      const answers = await all(images, { sent: (more: number) => (bytes += more) })
      assert.deepEqual(
        answers.map(({ status }) => status),
        ['accepted', 'accepted', 'accepted', 'accepted'],
      )
      const paths = await pathsOf(images)
      paths.forEach((path, at) => {
        assert.equal(run().files.get(path)?.toString(), contents[at], path)
        const sha256 = createHash('sha256').update(contents[at]!).digest('hex')
        assert.ok(path.includes(sha256.slice(0, 20)))
      })
      assert.equal(bytes, contents.join('').length)
      for (const path of paths) assert.ok(run().uploaded.includes(path), path)
    }
  })

  it('asks for a fresh address when one has run out', async () => {
    standIn.failNext(answer(403, '<Error><Code>AccessDenied</Code>secret-signature</Error>'), isPut)
    assert.equal(last(await all(record())).status, 'accepted')
    assert.equal(standIn.requests.filter(({ operation }) => operation === 'CreateRunFiles').length, 3)
  })

  it('waits where the store refuses, without its address in the reason', async () => {
    await standIn.stop()
    stream.release()
    await http.close()
    await begin({ urlTtlMs: -1 })
    const refusal = last(await all(record()))
    assert.equal(refusal.status, 'retry')
    assert.ok('reason' in refusal && /403/.test(refusal.reason) && !/signature=/.test(refusal.reason))
    assert.ok('code' in refusal && refusal.code === 'ERR_SERVER')
  })

  it('repeats nothing of what a store says, which may be the address', async () => {
    const said = answer(403, '<Error><Code>AccessDenied</Code><StringToSign>secret</StringToSign></Error>')
    standIn.failNext(said, isPut)
    standIn.failNext(said, isPut)
    const refusal = last(await all(record()))
    assert.ok(
      'reason' in refusal && refusal.reason.includes('AccessDenied') && !refusal.reason.includes('secret'),
    )
  })

  it('comes to the same end whatever befalls a request', async () => {
    const images = record()
    const faults = [{ kind: 'lostAnswer' }, { kind: 'cut' }, answer(503), answer(404), answer(429)] as const
    for (const fault of faults) {
      for (const matches of [
        isPut,
        ({ operation }: { operation: string }) => operation === 'CreateRunFiles',
      ]) {
        run().files.clear()
        standIn.failNext(fault, matches)
        let answers = await all(images)
        const isGone = fault.kind === 'answer' && fault.status === 404 && matches !== isPut
        assert.equal(last(answers).status, isGone ? 'blocked' : 'retry', JSON.stringify(last(answers)))
        answers = await all(images)
        assert.equal(last(answers).status, 'accepted')
        assert.deepEqual([...run().files.keys()].sort(), (await pathsOf(images)).sort())
      }
    }
  })

  it('an image that the store finds too large costs itself', async () => {
    standIn.failNext(answer(413), isPut)
    const [refusal] = await all(record())
    assert.equal(refusal!.status, 'split')
    assert.equal('code' in refusal! && refusal.code, 'ERR_REFUSED')
  })
})
