/**
 * Uploads of one run to the stand-in, and as much of the pipeline as they need: files several at once, the state that
 * is kept, which files are settled, what comes again after a fault or a crash.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { blobPath } from '../../../../src/core/blob-path.ts'
import type {
  RunInfo,
  RunRecord,
  SinkState,
  StoredFile,
  Upload,
  WriteResult,
} from '../../../../src/core/types.ts'
import { HttpClient } from '../../../../src/sinks/http.ts'
import { type RemoteRun, WandbApi } from '../../../../src/sinks/wandb/api.ts'
import { RunConfig } from '../../../../src/sinks/wandb/config.ts'
import { UPSERT_BUCKET, type UpsertPayload, upsertVariables } from '../../../../src/sinks/wandb/records.ts'
import { RunStream } from '../../../../src/sinks/wandb/stream.ts'
import type { MultipartLimits } from '../../../../src/sinks/wandb/uploads/artifact-multipart.ts'
import { UPLOADS_IN_FLIGHT, Uploader } from '../../../../src/sinks/wandb/uploads/upload.ts'
import { runInfo } from '../../mlflow/points.ts'
import { filesOf, storeBlob } from '../../mlflow/run-blobs.ts'
import {
  type StandInCollection,
  type StandInOptions,
  type StandInRequest,
  WandbStandIn,
} from '../stand-in/stand-in.ts'

export const KEY = 'k'.repeat(40)
export const isPut = ({ kind }: StandInRequest): boolean => kind === 'upload'
export const isCall =
  (name: string) =>
  ({ operation }: StandInRequest): boolean =>
    operation === name

/** What a record has reached, as a cursor has it. */
export interface Saved {
  readonly settled: number
  readonly state: SinkState
}
const NOTHING: Saved = { settled: 0, state: undefined }

export interface Played {
  /** Of the step that was not accepted, or of the last. */
  readonly answer: WriteResult
  readonly saved: Saved
}

export class UploadBench {
  readonly standIn: WandbStandIn
  readonly folder = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
  readonly run: RunInfo
  readonly notices: string[] = []
  /** Every state that was kept, as JSON. */
  readonly kept: string[] = []
  readonly #multipart: MultipartLimits | undefined
  #http!: HttpClient
  #api!: WandbApi
  #remote!: RemoteRun
  #stream: RunStream | undefined
  #uploader: Uploader | undefined

  private constructor(standIn: WandbStandIn, multipart: MultipartLimits | undefined, run: Partial<RunInfo>) {
    this.standIn = standIn
    this.#multipart = multipart
    this.run = runInfo({ ...run, folder: this.folder })
  }

  static async start(
    options: StandInOptions = {},
    multipart?: MultipartLimits,
    run: Partial<RunInfo> = {},
  ): Promise<UploadBench> {
    const bench = new UploadBench(await WandbStandIn.start(options), multipart, run)
    await bench.restart()
    return bench
  }

  /** Another process goes on: nothing but what was kept is known. */
  async restart(): Promise<void> {
    await this.#close()
    const authorization = `Basic ${Buffer.from(`api:${KEY}`).toString('base64')}`
    const { url, defaultEntity } = this.standIn
    this.#http = new HttpClient({ origin: url, connections: 4, headers: { authorization }, secrets: [KEY] })
    this.#api = new WandbApi(this.#http, url)
    if (this.#remote === undefined) {
      const input = upsertVariables({ name: 'r1', project: 'lab', config: new RunConfig(this.run).text() })
      const { signal } = new AbortController()
      const made = await this.#api.graphql<{ upsertBucket: UpsertPayload }>(
        ...(['UpsertBucket', UPSERT_BUCKET, input, signal] as const),
      )
      assert.ok('data' in made, JSON.stringify(made))
      const storageId = made.data.upsertBucket.bucket!.id
      this.#remote = { entity: defaultEntity, project: 'lab', run: 'r1', storageId }
    }
    const [api, remote] = [this.#api, this.#remote]
    const stream = RunStream.of(api, remote)
    this.#stream = stream
    this.#uploader = new Uploader({
      ...{ api, remote, run: this.run },
      notices: { tell: (_topic, message) => this.notices.push(message) },
      openStore: (origin) => new HttpClient({ origin, connections: 8, headers: {}, secrets: [] }),
      tellUploaded: (uploaded, signal) => stream.send(api, remote, { uploaded }, signal),
      ...(this.#multipart && { multipart: this.#multipart }),
    })
  }

  /** Stored files of contents by path. */
  files(contents: Readonly<Record<string, string | Buffer>>): StoredFile[] {
    return Object.entries(contents).map(([path, content]) => ({
      path,
      blob: storeBlob(this.folder, content, 'application/octet-stream'),
    }))
  }

  artifact(
    contents: Readonly<Record<string, string | Buffer>>,
    more: Partial<Extract<RunRecord, { kind: 'artifact' }>> = {},
    references: readonly StoredFile[] = [],
  ): RunRecord {
    const files = [...this.files(contents), ...references]
    return { kind: 'artifact', name: 'data', type: 'dataset', time: 1, files, bytes: 0, ...more }
  }

  /** Steps until one is not accepted, or the record is done; those under way end first. */
  async play(record: RunRecord, seq: number, from: Saved = NOTHING, until = Infinity): Promise<Played> {
    const files = filesOf(record)
    let state = from.state
    const settled = new Set<number>()
    const settledTo = () => {
      let at = from.settled
      while (at < files.length && (settled.has(at) || !('blob' in files[at]!))) at++
      return at
    }
    const step = async (file?: Upload['file']): Promise<WriteResult> => {
      const answer = await this.#uploader!.upload(
        {
          ...{ seq, record, files, state: state && JSON.parse(JSON.stringify(state)) },
          ...(file && { file }),
          keep: (kept) => {
            state = kept
            this.kept.push(JSON.stringify(kept))
          },
          sent: () => {},
        },
        new AbortController().signal,
      )
      assert.ok(!('state' in answer), 'the state of one step would replace that of another')
      return answer
    }
    let failed: WriteResult | undefined
    let next = from.settled
    let steps = 0
    const lane = async () => {
      while (next < files.length && failed === undefined && steps < until) {
        const index = next++
        const file = files[index]!
        if (!('blob' in file)) continue
        steps++
        const location = blobPath(this.folder, file.blob.digest)
        const answer = await step({ index, path: file.path, blob: file.blob, location })
        if (answer.status === 'accepted') settled.add(index)
        else failed ??= answer
      }
    }
    await Promise.all(Array.from({ length: UPLOADS_IN_FLIGHT }, lane))
    const answer: WriteResult = failed ?? (steps >= until ? { status: 'accepted' } : await step())
    return { answer, saved: { settled: settledTo(), state } }
  }

  /** As `play`, and again after each fault that may pass. */
  async playOn(record: RunRecord, seq: number): Promise<WriteResult> {
    let saved = NOTHING
    for (let tries = 1; ; tries++) {
      const played = await this.play(record, seq, saved)
      if (played.answer.status !== 'retry') return played.answer
      assert.ok(tries < 100, JSON.stringify(played.answer))
      saved = played.saved
    }
  }

  collection(name: string): StandInCollection {
    const found = this.standIn.artifacts.get(`${this.standIn.defaultEntity}/lab/${name}`)
    assert.ok(found, `no collection ${name}: ${[...this.standIn.artifacts.keys()]}`)
    return found
  }

  calls(operation: string): number {
    return this.standIn.requests.filter(isCall(operation)).length
  }

  /** @param problems what the server has noted and the test expects */
  async end(problems: readonly RegExp[] = []): Promise<void> {
    await this.#close()
    await this.standIn.stop()
    rmSync(this.folder, { recursive: true, force: true })
    const found = this.standIn.allProblems.filter((text) => !problems.some((one) => one.test(text)))
    assert.deepEqual(found, [])
    // what opens the store, or says where it is, is kept by nobody
    for (const text of this.kept) assert.ok(!/signature|http|kkkk/.test(text), text)
  }

  async #close(): Promise<void> {
    this.#stream?.release()
    await this.#uploader?.close()
    await this.#http?.close()
  }
}
