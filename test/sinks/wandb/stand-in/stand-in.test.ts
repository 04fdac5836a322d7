/** The rules by which a run is rebuilt, and what each breach of the protocol comes to. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { AUTHORIZATION, Client, KEY, RESUME_STATUS } from './client.ts'
import { type StandInOptions, type StandInRun, WandbStandIn } from './stand-in.ts'

const PATH = 'stander/lab/one'
const MAX_LINE_BYTES = 10_383_360

async function start(test: TestContext, options?: StandInOptions) {
  const standIn = await WandbStandIn.start(options)
  test.after(() => standIn.stop())
  const client = new Client(standIn)
  const run = async (): Promise<StandInRun> => {
    await client.upsert()
    return standIn.runs.get(PATH)!
  }
  return { standIn, client, run }
}
const lines = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `{"_step":${from + i}}`)

describe('making a run', () => {
  it('is one upsert, whose answer names entity and project where they were left out', async (test) => {
    const { standIn, client } = await start(test, { defaultEntity: 'team' })
    const { inserted, bucket } = await client.upsert({ project: null, config: '{"lr":{"value":0.1}}' })
    assert.equal(inserted, true)
    assert.deepEqual(bucket.project.entity.name, 'team')
    assert.deepEqual([bucket.project.name, bucket.name, bucket.historyLineCount], ['uncategorized', 'one', 0])
    assert.deepEqual([...standIn.runs.keys()], ['team/uncategorized/one'])
    const again = await client.upsert({ project: null })
    assert.deepEqual([again.inserted, again.bucket.id], [false, bucket.id])
  })

  it('leaves what a later upsert has as null, and takes config, tags and summary whole', async (test) => {
    const { standIn, client } = await start(test)
    const first = { groupName: 'g', jobType: 'j', displayName: 'd', notes: 'n', tags: ['a', 'b'] }
    const { bucket } = await client.upsert({
      ...first,
      config: '{"a":{"value":1},"_wandb":{"value":{"t":{"1":2}}}}',
    })
    const run = standIn.runs.get(PATH)!
    await client.upsert({ config: '{"b":{"value":{"c":NaN}}}' })
    assert.deepEqual(
      [run.group, run.jobType, run.displayName, run.notes, run.tags],
      ['g', 'j', 'd', 'n', ['a', 'b']],
    )
    assert.deepEqual([run.config, run.wandb], [{ b: { c: Number.NaN } }, {}])
    await client.upsert({ id: bucket.id, name: null, tags: [], notes: '', summaryMetrics: '{"x":1}' })
    assert.deepEqual([run.tags, run.notes, run.summary, run.upserts], [[], '', { x: 1 }, 3])
    await assert.rejects(client.upsert({ id: 'another' }), /run not found/)
    await assert.rejects(client.upsert({ config: '{"a":' }), /config is no JSON/)
  })

  it('is counted against its own quota', async (test) => {
    const { standIn, client } = await start(test, { quotas: { creations: { perSecond: 0.001, burst: 2 } } })
    await client.upsert({ name: 'a' })
    await client.upsert({ name: 'b' })
    await client.upsert({ name: 'b' })
    await assert.rejects(client.upsert({ name: 'c' }), /429/)
    assert.deepEqual([standIn.runs.size, standIn.quotas.violations.creations], [2, 1])
  })
})

describe('a look at a run', () => {
  it('has counts, tails, config and the telemetry; null where there is none', async (test) => {
    const { client, run } = await start(test, { tailLength: 2 })
    assert.equal(await client.resumeStatus(), null)
    await run()
    assert.equal(await client.resumeStatus('other'), null)
    const without = RESUME_STATUS.replace(', missingOk: true', '')
    await assert.rejects(
      client.ask(without, { project: 'lab', entity: 'stander', name: 'other' }),
      /not found/,
    )
    await client.upsert({ config: '{"_wandb":{"value":{"t":{"5":"0.31.0"},"m":[]}}}', tags: ['x'] })
    await client.stream({
      files: {
        'wandb-history.jsonl': { offset: 0, content: ['{"b":1,"a":1.0}', '{"b":NaN}', '{"z":1,"c":2.50}'] },
        'wandb-events.jsonl': { offset: 0, content: ['{"system.cpu":1}'] },
        'output.log': { offset: 0, content: ['2026-01-01T00:00:00.000000 a', 'b'] },
        'wandb-summary.json': { offset: 0, content: ['{"b":2}'] },
      },
    })
    const status = (await client.resumeStatus())!
    assert.deepEqual([status.historyLineCount, status.eventsLineCount, status.logLineCount], [3, 1, 2])
    // the value is the same, the text need not be
    assert.deepEqual(JSON.parse(status.historyTail), ['{"b":NaN}', '{"c":2.5,"z":1}'])
    assert.deepEqual(JSON.parse(status.eventsTail), ['{"system.cpu":1}'])
    assert.deepEqual(JSON.parse(status.wandbConfig), { t: { 5: '0.31.0' } })
    assert.deepEqual([status.tags, status.summaryMetrics], [['x'], '{"b":2}'])
  })

  it('has old tails and an old summary, or too small a count, when it is told to', async (test) => {
    const { standIn, client, run } = await start(test)
    await run()
    const summary = (value: number) => ({ offset: 0, content: [`{"x":${value}}`] })
    for (const n of [0, 1]) {
      await client.stream({
        files: {
          'wandb-history.jsonl': { offset: 5 * n, content: lines(5, 5 * n) },
          'wandb-summary.json': summary(n),
        },
      })
    }
    const isLook = ({ operation }: { operation: string }) => operation === 'RunResumeStatus'
    standIn.failNext({ kind: 'staleTail', lines: 5 }, isLook)
    const stale = (await client.resumeStatus())!
    assert.deepEqual(
      [stale.historyLineCount, JSON.parse(stale.historyTail), stale.summaryMetrics],
      [10, ['{"_step":4}'], '{"x":0}'],
    )
    standIn.failNext({ kind: 'shortCount', lines: 3 }, isLook)
    const short = (await client.resumeStatus())!
    assert.deepEqual([short.historyLineCount, JSON.parse(short.historyTail)], [7, ['{"_step":9}']])
    assert.equal((await client.resumeStatus())!.historyLineCount, 10)
    standIn.failNext({ kind: 'shortCount', lines: 3 }, ({ operation }) => operation === 'UpsertBucket')
    assert.equal((await client.upsert()).bucket.historyLineCount, 7)
  })

  it('finds no run that was deleted, whose stream is 404; an upsert makes it anew', async (test) => {
    const { standIn, client, run } = await start(test)
    const first = await run()
    await client.history(0, lines(2))
    first.isDeleted = true
    assert.equal(await client.resumeStatus(), null)
    assert.equal((await client.history(2, lines(1, 2))).status, 404)
    assert.deepEqual([first.history.length, standIn.problems], [2, []])
    const { inserted, bucket } = await client.upsert()
    assert.deepEqual([inserted, bucket.historyLineCount], [true, 0])
    assert.deepEqual(standIn.problems, [`${PATH} was deleted, and made anew`])
    assert.notEqual(standIn.runs.get(PATH), first)
  })
})

describe('lines of a run', () => {
  it('land at their offsets; the same lines again are an overlap and no problem', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    await client.history(0, lines(4))
    await client.history(2, lines(4, 2))
    assert.deepEqual(
      one.rows().map(({ _step }) => _step),
      [0, 1, 2, 3, 4, 5],
    )
    assert.deepEqual([one.historyFile.overlapSame, one.historyFile.bytes, one.problems], [2, 6 * 11, []])
  })

  it('that come again with other bytes are a problem, and stand', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    await client.history(0, lines(3))
    await client.history(1, ['{"_step":1,"x":1}', '{"_step":2}', '{"_step":3}'])
    assert.deepEqual(one.rows()[1], { _step: 1, x: 1 })
    assert.deepEqual(one.problems, ['wandb-history.jsonl: line 1 came again with other bytes (offset 1)'])
    assert.deepEqual([one.historyFile.overlapDiffering, one.historyFile.overlapSame], [1, 1])
  })

  for (const rebasesGaps of [false, true]) {
    it(`behind a gap are a problem, and ${rebasesGaps ? 'moved to the end' : 'left out'}`, async (test) => {
      const { client, run } = await start(test, { rebasesGaps })
      const one = await run()
      await client.history(0, lines(2))
      await client.history(3, lines(2, 3))
      assert.deepEqual(one.steps(), rebasesGaps ? [0, 1, 3, 4] : [0, 1])
      assert.deepEqual(one.problems, ['wandb-history.jsonl: a gap, 2 lines at offset 3 where line 2 is next'])
    })
  }

  it('are JSON objects, NaN or not, or a problem', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    await client.history(0, ['{"a":NaN,"b":{"c":[-Infinity]}}', '[1]', '{"a":nan}', 'null'])
    assert.deepEqual(
      one.problems,
      [1, 2, 3].map((n) => `wandb-history.jsonl: line ${n} is no JSON object`),
    )
  })

  it('of the console may change, without a gap', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    await client.stream({ files: { 'output.log': { offset: 0, content: ['10 %', 'end'] } } })
    await client.stream({ files: { 'output.log': { offset: 0, content: ['100 %'] } } })
    assert.deepEqual([one.output, one.outputFile.rewritten, one.problems], [['100 %', 'end'], 1, []])
  })

  it('of another writer are lines as well', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    await client.history(0, lines(1))
    one.appendByAnother('{"_step":1,"theirs":true}')
    await client.history(1, lines(1, 1))
    assert.match(one.problems.join(), /line 1 came again with other bytes/)
    assert.equal((await client.resumeStatus())!.historyLineCount, 2)
  })

  it('may be as long as the SDK lets them, and no longer; so may a request', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    const line = (bytes: number) => `{"a":"${'x'.repeat(bytes - 8)}"}`
    assert.equal((await client.history(0, [line(MAX_LINE_BYTES)])).status, 200)
    assert.equal((await client.history(1, [line(MAX_LINE_BYTES + 1)])).status, 400)
    assert.equal((await client.history(1, [line(6_000_000), line(5_000_000)])).status, 413)
    assert.deepEqual(one.problems, [
      'wandb-history.jsonl: a line of 10383361 bytes',
      'a request with 11000000 bytes of lines',
    ])
    assert.equal(one.history.length, 1)
  })

  it('come in a body of the known form, or not at all', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    for (const body of [
      { files: [] },
      { files: { 'wandb-history.jsonl': { content: ['{}'] } } },
      { files: { 'wandb-history.jsonl': { offset: 0, content: [1] } } },
      { files: { 'wandb-history.jsonl': { offset: 0, content: ['{}\n{}'] } } },
      { uploaded: 'a' },
      { rows: [] },
    ]) {
      assert.equal((await client.stream(body)).status, 400, JSON.stringify(body))
    }
    assert.equal((await client.post(`/files/${PATH}/file_stream`, '{')).status, 400)
    assert.deepEqual([one.problems.length, one.history.length], [7, 0])
    await client.stream({ files: { 'config.yaml': { offset: 0, content: ['a'] } } })
    assert.match(one.problems.at(-1)!, /no such file/)
  })

  it('come zipped only where the server offers it', async (test) => {
    const zipped = gzipSync(
      JSON.stringify({ files: { 'wandb-history.jsonl': { offset: 0, content: ['{}'] } } }),
    )
    for (const features of [[], ['FILESTREAM_GZIP']]) {
      const { client, run } = await start(test, { features })
      const one = await run()
      const offered = await client.ask<{ serverInfo: { features: unknown } }>(
        'query ServerFeaturesQuery { serverInfo { features { name isEnabled } } }',
      )
      assert.deepEqual(
        offered.serverInfo.features,
        features.map((name) => ({ name, isEnabled: true })),
      )
      const { status } = await client.post(`/files/${PATH}/file_stream`, zipped, {
        'content-encoding': 'gzip',
      })
      assert.equal(status, features.length > 0 ? 200 : 400)
      assert.deepEqual([one.history.length, one.problems.length], features.length > 0 ? [1, 0] : [0, 1])
    }
  })
})

describe('the state of a run', () => {
  it('is what its last request says', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    assert.equal(one.state, 'running')
    for (const [exitcode, state] of [
      [0, 'finished'],
      [1, 'failed'],
      [255, 'killed'],
    ] as const) {
      await client.stream({ complete: true, exitcode })
      assert.deepEqual([one.state, one.exitCode], [state, exitcode])
    }
    await client.history(0, lines(1))
    assert.equal(one.state, 'running')
    await client.stream({ uploaded: [], complete: true, exitcode: 0 })
    await client.stream({ preempting: true })
    assert.equal(one.state, 'preempting')
    await client.stream({ complete: true, exitcode: 1 })
    assert.deepEqual([one.state, one.completions, one.problems], ['preempted', 5, []])
    await client.stream({ complete: true })
    assert.deepEqual(one.problems, ['complete came without exitcode'])
  })

  it('is crashed after a silence, until it is heard again', async (test) => {
    const { client, run } = await start(test, { crashAfterMs: 60_000 })
    const one = await run()
    one.lastSeenMs -= 60_001
    assert.equal(one.state, 'crashed')
    await client.stream({})
    assert.deepEqual([one.heartbeats.length, one.requests], [1, 1])
    assert.equal(one.state, 'running')
  })

  it('is asked to be stopped by the answers', async (test) => {
    const { client, run } = await start(test)
    const one = await run()
    assert.deepEqual((await client.stream({})).body, {})
    one.isStopRequested = true
    assert.deepEqual((await client.stream({})).body, { stopped: true })
  })
})

describe('the key', () => {
  it('is demanded of GraphQL and file_stream', async (test) => {
    const { standIn, client, run } = await start(test, { apiKey: KEY })
    const one = await run()
    const wrong = `Basic ${Buffer.from(`api:${KEY}0`).toString('base64')}`
    const other = `Basic ${Buffer.from(`user:${KEY}`).toString('base64')}`
    for (const authorization of ['', wrong, other, `Bearer ${KEY}`]) {
      assert.equal((await client.stream({}, PATH, { authorization })).status, 401)
      assert.equal((await client.graphql('{ viewer { id } }', {}, { authorization })).status, 401)
    }
    assert.deepEqual([one.requests, standIn.problems.length], [0, 8])
    assert.equal((await client.stream({}, PATH, { authorization: AUTHORIZATION })).status, 200)
    assert.equal(standIn.problems.length, 8)
    await client.upsert({ notes: `my key is ${KEY}` })
    assert.match(standIn.problems.at(-1)!, /UpsertBucket: the key stands in its address or its body/)
  })
})
