/** What befalls requests: faults, quotas, two at once, and uploads by pre-signed addresses. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import { SEED } from '../../../random.ts'
import { AUTHORIZATION, Client } from './client.ts'
import { type StandInOptions, WandbStandIn } from './stand-in.ts'

const PATH = 'stander/lab/one'

async function start(test: TestContext, options?: StandInOptions) {
  const standIn = await WandbStandIn.start(options)
  test.after(() => standIn.stop())
  const client = new Client(standIn)
  await client.upsert()
  return { standIn, client, run: standIn.runs.get(PATH)! }
}

describe('faults of file_stream', () => {
  it('are answers that carried nothing out', async (test) => {
    const { standIn, client, run } = await start(test)
    standIn.failNext({ kind: 'answer', status: 429, headers: { 'retry-after': '3' }, body: 'slow down' })
    standIn.failNext({ kind: 'falseSuccess' })
    const refused = await client.history(0, ['{}'])
    assert.deepEqual(
      [refused.status, refused.headers.get('retry-after'), refused.text],
      [429, '3', 'slow down'],
    )
    const html = await client.history(0, ['{}'])
    assert.deepEqual([html.status, html.headers.get('content-type')], [200, 'text/html'])
    assert.equal(run.history.length, 0)
    assert.equal((await client.history(0, ['{}'])).status, 200)
    assert.equal(run.history.length, 1)
    assert.deepEqual(
      [...standIn.faults.met],
      [
        ['429', 1],
        ['falseSuccess', 1],
      ],
    )
  })

  for (const [kind, isApplied] of [
    ['cut', false],
    ['lostAnswer', true],
    ['cutAnswer', true],
  ] as const) {
    it(`${kind}: the sender has no answer, and the lines are ${isApplied ? 'there' : 'not there'}`, async (test) => {
      const { standIn, client, run } = await start(test)
      standIn.failNext({ kind })
      await assert.rejects(client.history(0, ['{}']))
      assert.equal(run.history.length, isApplied ? 1 : 0)
      await client.history(0, ['{}'])
      assert.deepEqual(
        [run.history.length, run.historyFile.overlapSame, run.problems],
        [1, isApplied ? 1 : 0, []],
      )
    })
  }

  it('hang until the sender goes; its next request is no second one beside it', async (test) => {
    const { standIn, client, run } = await start(test)
    for (const isApplied of [false, true]) {
      standIn.failNext({ kind: 'hang', isApplied })
      const patience = new AbortController()
      const response = fetch(`${standIn.url}/files/${PATH}/file_stream`, {
        method: 'POST',
        headers: { authorization: AUTHORIZATION },
        body: '{"files":{"wandb-history.jsonl":{"offset":0,"content":["{}"]}}}',
        signal: patience.signal,
      })
      await until(() => standIn.faults.count === (isApplied ? 2 : 1))
      patience.abort()
      await assert.rejects(response)
      assert.equal(run.history.length, isApplied ? 1 : 0)
    }
    await client.history(0, ['{}'])
    assert.deepEqual([run.problems, run.requests], [[], 2])
  })

  it('are slow: carried out first, or only then', async (test) => {
    const { standIn, client, run } = await start(test)
    for (const isLate of [false, true]) {
      standIn.failNext({ kind: 'slow', ms: 100, isLate })
      const before = run.history.length
      const began = performance.now()
      const answered = client.history(before, ['{}'])
      await until(() => standIn.faults.count === (isLate ? 2 : 1))
      assert.equal(run.history.length, isLate ? before : before + 1)
      assert.equal((await answered).status, 200)
      assert.ok(performance.now() - began >= 99)
      assert.equal(run.history.length, before + 1)
    }
  })

  it(`come by a plan, the same from the same seed (${SEED})`, async (test) => {
    const seen: string[] = []
    for (const _round of [1, 2]) {
      const { standIn, client, run } = await start(test)
      standIn.planFaults({
        seed: SEED,
        share: 0.5,
        count: 6,
        faults: [{ kind: 'answer', status: 503 }, { kind: 'answer', status: 429 }, { kind: 'falseSuccess' }],
      })
      const statuses: string[] = []
      for (let n = 0; n < 60; n++) {
        const { status, text } = await client.history(run.history.length, ['{}'])
        statuses.push(text.startsWith('<') ? 'html' : String(status))
      }
      assert.equal(statuses.filter((status) => status !== '200').length, 6)
      assert.deepEqual([standIn.faults.count, run.history.length, run.problems], [6, 54, []])
      seen.push(statuses.join())
    }
    assert.equal(seen[0], seen[1])
  })

  it('befall GraphQL too, where they are told to', async (test) => {
    const { standIn, client, run } = await start(test)
    standIn.failNext(
      { kind: 'graphqlError', message: 'not now' },
      ({ operation }) => operation === 'UpsertBucket',
    )
    standIn.failNext({ kind: 'lostAnswer' }, ({ operation }) => operation === 'UpsertBucket')
    assert.equal((await client.stream({})).status, 200)
    await assert.rejects(client.upsert({ notes: 'a' }), /not now/)
    assert.equal(run.notes, null)
    await assert.rejects(client.upsert({ notes: 'b' }))
    assert.equal(run.notes, 'b')
  })
})

describe('the pace', () => {
  it('is held to by buckets of run and project, told in headers and counted', async (test) => {
    const { standIn, client, run } = await start(test, {
      quotas: { run: { perSecond: 1e-4, burst: 2 }, project: { perSecond: 1e-4, burst: 4 } },
    })
    const first = await client.stream({})
    assert.deepEqual(
      ['limit', 'remaining', 'reset'].map((name) => first.headers.get(`ratelimit-${name}`)),
      ['1000', '500', '10000'],
    )
    assert.equal((await client.stream({})).status, 200)
    const third = await client.stream({})
    assert.deepEqual([third.status, third.headers.get('ratelimit-remaining')], [429, '0'])
    assert.ok(Number(third.headers.get('retry-after')) > 9000)
    await client.upsert({ name: 'two' })
    const other = 'stander/lab/two'
    assert.equal((await client.stream({}, other)).status, 200)
    assert.equal((await client.stream({}, other)).headers.get('ratelimit-remaining'), '0')
    await client.upsert({ name: 'three' })
    assert.equal((await client.stream({}, 'stander/lab/three')).status, 429)
    assert.deepEqual(standIn.quotas.violations, { run: 1, project: 1, creations: 0 })
    assert.deepEqual([run.requests, run.problems], [2, []])
  })

  it('is one request of a run at once: a second one is a problem, of another run none', async (test) => {
    const { standIn, client, run } = await start(test)
    await client.upsert({ name: 'two' })
    standIn.failNext({ kind: 'slow', ms: 800 })
    const first = client.history(0, ['{}'])
    await until(() => run.history.length === 1)
    await Promise.all([first, client.stream({}, 'stander/lab/two')])
    assert.deepEqual(standIn.allProblems, [])
    standIn.failNext({ kind: 'slow', ms: 800 })
    await Promise.all([client.history(1, ['{}']), client.history(1, ['{}'])])
    assert.deepEqual(standIn.allProblems, [`${PATH}: two requests at once`])
  })

  it('takes a round trip longer where it is told to', async (test) => {
    const { standIn, client } = await start(test)
    standIn.delayMs = 80
    const began = performance.now()
    await client.stream({})
    assert.ok(performance.now() - began >= 78)
  })
})

describe('uploads', () => {
  const CREATE = `mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
    createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) {
      runID uploadHeaders files { name uploadUrl }
    }
  }`
  interface Created {
    readonly createRunFiles: {
      readonly uploadHeaders: readonly string[]
      readonly files: readonly { readonly name: string; readonly uploadUrl: string }[]
    }
  }
  async function sign(
    client: Client,
    path: string,
  ): Promise<{ url: string; headers: Record<string, string> }> {
    const variables = { entity: 'stander', project: 'lab', run: 'one', files: [path] }
    const { uploadHeaders, files } = (await client.ask<Created>(CREATE, variables)).createRunFiles
    assert.equal(files[0]!.name, path)
    const headers = uploadHeaders.map((header) => header.split(/:(.*)/s).slice(0, 2) as [string, string])
    return { url: files[0]!.uploadUrl, headers: Object.fromEntries(headers) }
  }
  const put = (url: string, headers: Record<string, string>, body: string) =>
    fetch(url, { method: 'PUT', headers, body }).then(({ status }) => status)
  const named = (content: string) =>
    `media/images/loss_3_${createHash('sha256').update(content).digest('hex').slice(0, 20)}.png`

  it('land under their path, once the stream calls them uploaded without a trace left', async (test) => {
    const { client, run } = await start(test)
    const path = named('pixels')
    const { url, headers } = await sign(client, path)
    assert.equal(await put(url, headers, 'pixels'), 200)
    assert.deepEqual([run.files.get(path)!.toString(), run.unreported], ['pixels', [path]])
    await client.stream({ uploaded: [path] })
    assert.deepEqual([run.uploaded, run.unreported, run.problems], [[path], [], []])
    await client.stream({ uploaded: ['never/put.png'] })
    assert.deepEqual(run.problems, ['never/put.png was called uploaded, and was not'])
  })

  it('may not bring the key, and must bring the headers of their address', async (test) => {
    const { client, run } = await start(test)
    const { url, headers } = await sign(client, 'a.txt')
    assert.equal(await put(url, { ...headers, authorization: AUTHORIZATION }, 'a'), 400)
    assert.equal(await put(url, {}, 'a'), 403)
    assert.equal(await put(`${url}0`, headers, 'a'), 403)
    assert.deepEqual([run.problems.length, run.files.size], [2, 0])
  })

  it('have the bytes that Content-MD5 states, and the SHA-256 of a medium that of its name', async (test) => {
    const { client, run } = await start(test)
    const { url, headers } = await sign(client, 'a.txt')
    const md5 = (text: string) => createHash('md5').update(text).digest('base64')
    assert.equal(await put(url, { ...headers, 'content-md5': md5('b') }, 'a'), 400)
    assert.equal(await put(url, { ...headers, 'content-md5': md5('a') }, 'a'), 200)
    assert.deepEqual(run.problems, [])
    const medium = await sign(client, named('pixels'))
    await put(medium.url, medium.headers, 'others')
    assert.match(run.problems.join(), /its bytes have not the SHA-256 of its name/)
  })

  it('are refused when their address is too old, or a fault says so', async (test) => {
    const { standIn, client, run } = await start(test, { urlTtlMs: -1 })
    const { url, headers } = await sign(client, 'a.txt')
    assert.equal(await put(url, headers, 'a'), 403)
    standIn.failNext({ kind: 'answer', status: 503 }, ({ kind, run: of }) => kind === 'upload' && of === PATH)
    assert.equal(await put(url, headers, 'a'), 503)
    assert.deepEqual([run.files.size, standIn.storage.puts, run.problems], [0, 0, []])
  })
})

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}
