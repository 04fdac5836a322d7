import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it, mock } from 'node:test'
import type { RunRecord, SinkState, Upload } from '../../../../src/core/types.ts'
import { HttpClient } from '../../../../src/sinks/http.ts'
import { MlflowApi } from '../../../../src/sinks/mlflow/api.ts'
import { MultipartUpload } from '../../../../src/sinks/mlflow/stores/multipart.ts'
import { Progress } from '../../../../src/sinks/mlflow/uploads/progress.ts'

const MEBIBYTE = 1024 * 1024
const SIZE = 40 * MEBIBYTE
const PATH = '1/run/artifacts/big'
const SIGNATURE = 'X-Amz-Signature=only-for-who-may-write'

describe('a large file in parts, at MLflow and the store behind it', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-parts-'))
  const location = join(dir, 'big')
  let server: Server
  let http: HttpClient
  let upload: MultipartUpload
  /** Requests of each kind, and the answer to the next part of a number. */
  let seen: string[] = []
  const answers = new Map<number, number>()
  let onPart: (number: number) => unknown
  let progress: Progress
  let kept: SinkState
  const step: Upload = {
    ...{ seq: 1, record: {} as RunRecord, files: [], state: undefined },
    keep: (state) => (kept = state),
    sent: () => {},
  }

  before(async () => {
    writeFileSync(location, '')
    truncateSync(location, SIZE)
    server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const { pathname } = new URL(request.url!, 'http://host')
      const part = Number(/\/part\/(\d+)$/.exec(pathname)?.[1] ?? 0)
      if (part > 0) {
        seen.push(`part ${part}`)
        onPart(part)
        const code = answers.get(part) ?? 200
        answers.delete(part)
        response.writeHead(code, { etag: `"${part}"` }).end()
        return
      }
      const call = /mpu\/(\w+)\//.exec(pathname)?.[1]
      if (call === undefined) return response.end(JSON.stringify({ multipart_uploads_enabled: true }))
      const body = JSON.parse(Buffer.concat(chunks).toString()) as { num_parts: number; upload_id?: string }
      seen.push(call === 'create' ? call : `${call} ${body.upload_id}`)
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const credentials = Array.from({ length: body.num_parts ?? 0 }, (_, i) => ({
        ...{ part_number: i + 1, url: `${origin}/part/${i + 1}?${SIGNATURE}` },
      }))
      const upload_id = `upload-${seen.filter((one) => one === 'create').length}`
      return response.end(JSON.stringify(call === 'create' ? { upload_id, credentials } : {}))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  beforeEach(() => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const options = { origin, connections: 1, headers: {}, secrets: [] }
    http = new HttpClient(options)
    upload = new MultipartUpload(new MlflowApi(http, origin), () => new HttpClient(options))
    seen = []
    onPart = () => {}
    progress = new Progress(step)
    kept = undefined
  })
  afterEach(async () => {
    mock.timers.reset()
    await http.close()
  })
  after(() => {
    server.close()
    server.closeAllConnections()
    rmSync(dir, { recursive: true, force: true })
  })

  const send = (by = upload) =>
    by.send(
      PATH,
      { type: '', location, size: SIZE },
      {
        signal: new AbortController().signal,
        sent: () => {},
        parts: progress.parts(PATH),
        abandoned: progress.state.begun?.[PATH],
        keepParts: (parts) => progress.setParts(PATH, parts, step),
      },
    )

  it('writes down no address, goes on in this process, and gives the upload up after a crash', async () => {
    answers.set(2, 503)
    const stopped = await send()
    assert.ok(typeof stopped === 'object' && stopped.status === 'retry')
    assert.deepEqual(kept, { begun: { [PATH]: 'upload-1' } })
    assert.doesNotMatch(JSON.stringify([kept, stopped]), /Amz|part\//)

    answers.set(3, 503)
    await send()
    assert.deepEqual(seen, ['create', 'part 1', 'part 2', 'part 2', 'part 3'])

    progress = new Progress({ ...step, state: kept })
    assert.equal(await send(), undefined)
    assert.deepEqual(seen.slice(5), [
      'abort upload-1',
      'create',
      'part 1',
      'part 2',
      'part 3',
      'complete upload-2',
    ])
    assert.equal(kept, undefined)
  })

  it('goes in one piece when it takes longer than its addresses are good for', async () => {
    mock.timers.enable({ apis: ['Date'] })
    answers.set(2, 503)
    await send()
    answers.set(2, 403)
    const refused = await send()
    assert.ok(typeof refused === 'object' && refused.status === 'retry')
    // Refused early, they are worth another try.
    answers.set(2, 503)
    await send()
    assert.deepEqual(seen.slice(-4), ['abort upload-1', 'create', 'part 1', 'part 2'])
    answers.set(2, 403)
    // The hour passes while the second part is under way.
    onPart = (number) => number === 2 && mock.timers.tick(61 * 60_000)
    assert.equal(((await send()) as { status: string }).status, 'retry')
    assert.equal(await send(), 'unsupported')
  })
})
