import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, describe, it, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { resolveOptions } from '../../src/core/options.ts'
import type { RunInfo, RunRecord, Sink, SinkState } from '../../src/core/types.ts'
import { mlflow } from '../../src/sinks/mlflow/sink.ts'
import { Random, SEED } from '../random.ts'
import { runInfo } from '../sinks/mlflow/points.ts'
import { storeBlob, uploadRecord } from '../sinks/mlflow/run-blobs.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readUploads, sha256 } from './read-mlflow-uploads.ts'
import { S3Server } from './s3-server.ts'

const MEBIBYTE = 1024 * 1024
const BYTES = 110 * MEBIBYTE + 12_345
const PARTS = 7

describe(`a large file in parts, through a real MLflow server into an S3 API (seed ${SEED})`, () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-parts-'))
  let peers: { python: string; s3: S3Server; server: MlflowServer } | undefined
  const sinks: Sink[] = []
  const content = contentOfSeed()

  afterEach(() => {
    if (peers === undefined) return
    const { s3 } = peers
    s3.onPart = () => 'pass'
    for (const list of [s3.parts, s3.begun, s3.abandoned, s3.headers]) list.length = 0
  })
  after(async () => {
    for (const sink of sinks) await sink.close()
    await peers?.server.stop()
    await peers?.s3.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  async function prepare(test: TestContext) {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    if (!(await hasMoto(python))) {
      if (process.env.CI === 'true') assert.fail('this Python lacks moto or boto3 of requirements.txt')
      test.skip('this Python lacks moto or boto3 of requirements.txt')
      return undefined
    }
    if (peers === undefined) {
      const s3 = await S3Server.start(python)
      const args = ['--artifacts-destination', s3.root]
      const env = { ...s3.env, MLFLOW_TRACKING_PASSWORD: '' }
      peers = { python, s3, server: await startMlflowServer(python, { args, env }) }
    }
    return peers
  }
  async function opened(uri: string, run: RunInfo, state?: SinkState): Promise<Sink> {
    const options = mlflow.prepare!(resolveOptions(mlflow.options, { uri, token: 'very-secret' }, {}, 'test'))
    const sink = mlflow.create({ run, options, notice: () => {} })
    sinks.push(sink)
    assert.equal((await sink.open(state, new AbortController().signal)).status, 'ready')
    return sink
  }
  function artifactOf(run: RunInfo): RunRecord {
    const files = [{ path: 'big ü.bin', blob: storeBlob(run.folder, content, '') }]
    return { kind: 'artifact', name: 'data', type: 'artifact', time: 5, bytes: BYTES, files }
  }
  const newRun = () => runInfo({ folder: mkdtempSync(join(dir, 'run-')) })
  async function assertStored(run: RunInfo): Promise<void> {
    const { python, server } = peers!
    const seen = await readUploads(python, server.uri, 'resnet', 'tracelet.nonce', run.nonce)
    assert.deepEqual(seen.artifacts, { 'data/big ü.bin': sha256(content) })
  }

  it('arrives whole, without our credentials on the way', async (test) => {
    const found = await prepare(test)
    if (!found) return
    const run = newRun()
    let sent = 0
    const answers = await uploadRecord(await opened(found.server.uri, run), run.folder, artifactOf(run), 1, {
      sent: (bytes) => (sent += bytes),
    })
    assert.ok(
      answers.every(({ status }) => status === 'accepted'),
      JSON.stringify(answers),
    )
    assert.equal(sent, BYTES)
    assert.deepEqual(found.s3.parts, range(1, PARTS))
    assert.ok(found.s3.headers.every((headers) => !JSON.stringify(headers).includes('very-secret')))
    await assertStored(run)
  })

  it('goes on after a cut, sending no part again that had arrived', async (test) => {
    const found = await prepare(test)
    if (!found) return
    const run = newRun()
    const sink = await opened(found.server.uri, run)
    let cut = false
    found.s3.onPart = (number) => {
      if (number !== 4 || cut) return 'pass'
      cut = true
      return 'cut'
    }
    const first = await uploadRecord(sink, run.folder, artifactOf(run), 1)
    assert.equal(first.at(-1)!.status, 'retry')
    assert.deepEqual(found.s3.parts, range(1, 3))
    const second = await uploadRecord(sink, run.folder, artifactOf(run), 1)
    assert.ok(
      second.every(({ status }) => status === 'accepted'),
      JSON.stringify(second),
    )
    assert.deepEqual(found.s3.parts, range(1, PARTS))
    assert.equal(found.s3.begun.length, 1)
    await assertStored(run)
  })

  it('is given up and begun anew when the process was lost in the midst: no address is written down', async (test) => {
    const found = await prepare(test)
    if (!found) return
    const run = newRun()
    const record = artifactOf(run)
    const abort = new AbortController()
    let kept: SinkState
    found.s3.onPart = (number) => {
      if (number !== 5) return 'pass'
      abort.abort()
      return 'cut'
    }
    await uploadRecord(await opened(found.server.uri, run), run.folder, record, 1, {
      signal: abort.signal,
      keep: (state) => (kept = JSON.parse(JSON.stringify(state)) as SinkState),
    })
    assert.deepEqual(Object.keys(kept!), ['begun'])
    assert.doesNotMatch(JSON.stringify(kept), /https?:|Signature|Credential|X-Amz/i)
    const arrived = found.s3.parts.length
    found.s3.onPart = () => 'pass'
    const again = await opened(found.server.uri, run)
    const answers = await uploadRecord(again, run.folder, record, 1, { state: kept })
    assert.ok(
      answers.every(({ status }) => status === 'accepted'),
      JSON.stringify(answers),
    )
    assert.deepEqual(found.s3.parts.slice(arrived), range(1, PARTS))
    assert.deepEqual([found.s3.begun.length, found.s3.abandoned.length], [2, 1])
    await assertStored(run)
  })

  it('begins anew when the store refuses its addresses, and shows no signature', async (test) => {
    const found = await prepare(test)
    if (!found) return
    const run = newRun()
    const sink = await opened(found.server.uri, run)
    found.s3.onPart = (number) => (number === 2 ? 403 : 'pass')
    const refused = (await uploadRecord(sink, run.folder, artifactOf(run), 1)).at(-1)!
    assert.ok(refused.status === 'retry', JSON.stringify(refused))
    assert.match(refused.reason, /answered 403 AccessDenied to a part/)
    assert.doesNotMatch(refused.reason, /Signature|Credential|X-Amz/i)
    assert.equal(found.s3.abandoned.length, 1)
    found.s3.onPart = () => 'pass'
    const answers = await uploadRecord(sink, run.folder, artifactOf(run), 1)
    assert.ok(
      answers.every(({ status }) => status === 'accepted'),
      JSON.stringify(answers),
    )
    assert.equal(found.s3.begun.length, 2)
    await assertStored(run)
  })
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Differs from place to place, so that swapped parts show. */
function contentOfSeed(): Buffer {
  const random = new Random()
  const bytes = Buffer.alloc(BYTES)
  for (let at = 0; at < BYTES; at += 4096) bytes.writeUInt32LE(random.below(2 ** 32), Math.min(at, BYTES - 4))
  return bytes
}

async function hasMoto(python: string): Promise<boolean> {
  try {
    await promisify(execFile)(python, [
      '-c',
      'import importlib.util as u; assert u.find_spec("moto") and u.find_spec("boto3")',
    ])
    return true
  } catch {
    return false
  }
}
