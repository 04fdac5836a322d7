import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RunInfo, RunRecord, Sink, SinkState, WriteResult } from '../../../src/core/types.ts'
import { wandb } from '../../../src/sinks/wandb/sink.ts'
import { Bench, START_TIME, steps } from '../bench.ts'
import { start } from './harness.ts'
import { type StandInOptions, type StandInRun, WandbStandIn } from './stand-in/stand-in.ts'

const KEY = 'x'.repeat(40)
const never = new AbortController().signal

class Stage {
  readonly standIn: WandbStandIn
  readonly bench: Bench
  readonly notices: string[] = []
  stops = 0
  readonly #sinks: Sink[] = []

  constructor(standIn: WandbStandIn, bench: Bench) {
    this.standIn = standIn
    this.bench = bench
  }

  sink(run: RunInfo, more: object = {}): Sink {
    const sink = wandb.create({
      run,
      options: { ...this.bench.options, baseUrl: this.standIn.url, apiKey: KEY, ...more } as never,
      notice: (code, message) => this.notices.push(`${code} ${message}`),
      stopRequested: () => this.stops++,
    })
    this.#sinks.push(sink)
    return sink
  }

  async opened(run: RunInfo, state?: SinkState, more?: object): Promise<Sink> {
    const sink = this.sink(run, more)
    const answer = await sink.open(state, never)
    assert.equal(answer.status, 'ready', JSON.stringify(answer))
    return sink
  }

  get remote(): StandInRun {
    return [...this.standIn.runs.values()].at(-1)!
  }

  async end(): Promise<void> {
    for (const sink of this.#sinks) await sink.close()
    await this.standIn.stop()
    await this.bench.end()
  }
}

async function withStage(options: StandInOptions, play: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = new Stage(await WandbStandIn.start({ ...options, apiKey: KEY }), new Bench(await start()))
  try {
    await play(stage)
    assert.deepEqual(stage.standIn.allProblems, [])
  } finally {
    await stage.end()
  }
}

/** The state of an accepted answer, as a cursor gives it back. */
function stateOf(answer: WriteResult): SinkState {
  assert.equal(answer.status, 'accepted', JSON.stringify(answer))
  return answer.status === 'accepted' ? JSON.parse(JSON.stringify(answer.state)) : undefined
}

const text = (name: string, step: number): RunRecord => ({
  ...{ kind: 'text', name, text: `of ${name}`, step, time: START_TIME },
})
const FINISHED: RunRecord = { kind: 'state', state: 'finished', time: START_TIME }

test('a run that somebody else has made is left alone, and joined behind its lines where the user says so', async () => {
  await withStage({}, async (stage) => {
    const [other, run] = [stage.bench.run(), stage.bench.run()]
    const first = await stage.opened(other, undefined, { runId: 'shared', project: 'p' })
    await first.write(stage.bench.batch(steps(0, 5)), never)
    const refused = await stage.sink(run, { runId: 'shared', project: 'p' }).open(undefined, never)
    assert.deepEqual(
      [refused.status, refused.status === 'blocked' && [refused.scope, refused.code]],
      ['blocked', ['run', 'ERR_OTHER_WRITER']],
    )
    const joined = await stage.opened(run, undefined, { runId: 'shared', project: 'p', resume: 'allow' })
    stateOf(await joined.write(stage.bench.batch(steps(0, 3)), never))
    const rows = stage.remote.rows()
    assert.deepEqual(
      rows.map(({ _step, global_step }) => [_step, global_step]),
      [...[0, 1, 2, 3, 4].map((step) => [step, step]), [5, 0], [6, 1], [7, 2]],
    )
    assert.equal(stage.notices.filter((one) => one.includes('_step')).length, 1)
    const must = await stage
      .sink(stage.bench.run(), { runId: 'none', project: 'p', resume: 'must' })
      .open(undefined, never)
    assert.equal(must.status === 'blocked' && must.code, 'ERR_REMOTE_RUN_GONE')
  })
})

test('a run that is joined keeps the name and the group that it has, unless the user says others', async () => {
  await withStage({}, async (stage) => {
    const where = { runId: 'shared', project: 'p', resume: 'allow' }
    const first = { ...stage.bench.run(), name: 'first', group: 'night' }
    await stage.opened(first, undefined, where)
    const unnamed = stage.bench.run()
    await stage.opened({ ...unnamed, name: unnamed.id, experiment: 'digits' }, undefined, where)
    assert.deepEqual([stage.remote.displayName, stage.remote.group], ['first', 'night'])
    await stage.opened({ ...stage.bench.run(), name: 'second', group: 'day' }, undefined, where)
    assert.deepEqual([stage.remote.displayName, stage.remote.group], ['second', 'day'])
  })
})

test('a run that is made takes the name, notes and tags of the options, and those of its own over or beside them', async () => {
  await withStage({}, async (stage) => {
    const more = { displayName: 'of the job', notes: 'night run', tags: ['gpu', 'v2'] }
    const named = stage.bench.run()
    const unnamed = { ...named, name: named.id }
    const sink = await stage.opened(unnamed, undefined, more)
    const { remote } = stage
    assert.deepEqual([remote.displayName, remote.notes, remote.tags], ['of the job', 'night run', more.tags])
    const own: readonly RunRecord[] = [
      { kind: 'tags', tags: { mine: '' } },
      { kind: 'notes', notes: 'its own' },
    ]
    for (const record of own) assert.equal((await sink.writeRecord(record, 0, never)).status, 'accepted')
    assert.deepEqual([remote.notes, remote.tags], ['its own', ['gpu', 'v2', 'mine']])
    await stage.opened({ ...stage.bench.run(), name: 'own name' }, undefined, more)
    assert.equal(stage.remote.displayName, 'own name')
  })
})

test('lines that the cursor does not know of and that are not ours stop the run before anything is sent', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    const state = stateOf(await sink.write(stage.bench.batch(steps(0, 5)), never))
    await sink.close()
    stage.remote.appendByAnother('{"_step":5,"loss":7,"_timestamp":1,"_runtime":1}')
    const again = await stage.opened(run, state)
    const requests = stage.remote.requests
    const answer = await again.write(stage.bench.batch(steps(5, 5)), never)
    assert.equal(answer.status === 'blocked' && answer.code, 'ERR_OTHER_WRITER')
    const end = await again.writeRecord(FINISHED, 9, never)
    assert.equal(end.status === 'blocked' && end.code, 'ERR_OTHER_WRITER')
    assert.equal(stage.remote.requests, requests)
    assert.equal(stage.remote.history.length, 6)
  })
})

test('fewer lines than ours are an old answer a few times, and then another writer', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    const state = stateOf(await sink.write(stage.bench.batch(steps(0, 5)), never))
    const look = ({ operation }: { operation: string }) => operation === 'RunResumeStatus'
    stage.standIn.failNext({ kind: 'shortCount', lines: 2 }, look)
    const old = await stage.sink(run).open(state, never)
    assert.equal(old.status, 'retry', JSON.stringify(old))
    await stage.opened(run, state)
    const seen: string[] = []
    for (let at = 0; at < 6; at++) {
      stage.standIn.failNext({ kind: 'shortCount', lines: 2 }, look)
      const answer = await stage.sink(run).open(state, never)
      seen.push(answer.status)
      if (answer.status === 'blocked') assert.equal(answer.code, 'ERR_OTHER_WRITER')
    }
    assert.deepEqual(seen, ['retry', 'retry', 'retry', 'retry', 'retry', 'blocked'])
  })
})

test('what is held outlives a restart in the state, and stands once in the row of its step', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    const printed: RunRecord = { kind: 'console', stream: 'stderr', text: 'one\ntwo', time: START_TIME }
    await sink.writeRecord(text('note', 3), 0, never)
    const state = stateOf(await sink.writeRecord(printed, 1, never))
    assert.deepEqual([stage.remote.history.length, stage.remote.output.length], [0, 0])
    await sink.close()
    const again = await stage.opened(run, state)
    stateOf(await again.write(stage.bench.batch(steps(2, 2)), never))
    const rows = stage.remote.rows()
    assert.deepEqual(
      rows.map(({ global_step, note }) => [global_step, note]),
      [
        [2, undefined],
        [3, 'of note'],
      ],
    )
    assert.deepEqual(stage.remote.output, [
      'ERROR 2023-11-14T22:13:20.000000 one',
      'ERROR 2023-11-14T22:13:20.000000 two',
    ])
  })
})

test('a beat brings what is held, and its lost answer does not bring it twice, even after a restart', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    const state = stateOf(await sink.writeRecord(text('early', 7), 0, never))
    stage.standIn.failNext({ kind: 'lostAnswer' })
    assert.equal((await sink.beat!(never)).status, 'retry')
    await sink.close()
    const again = await stage.opened(run, state)
    await again.writeRecord(text('later', 7), 1, never)
    stateOf(await again.write(stage.bench.batch(steps(7, 2)), never))
    assert.deepEqual(
      stage.remote.rows().map(({ _step, early, later }) => [_step, early, later]),
      [
        [7, 'of early', undefined],
        [8, undefined, 'of later'],
        [9, undefined, undefined],
      ],
    )
  })
})

test('an axis goes into the lines behind its definition, and the same ones after a crash that came before the cursor', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    const valued = (step: number, axis?: number) =>
      stage.bench.batch([
        { step, time: START_TIME, name: 'val/loss', context: '', value: step },
        ...(axis === undefined ? [] : [{ step, time: START_TIME, name: 'epoch', context: '', value: axis }]),
      ])
    const define = (name: string): RunRecord => ({ kind: 'metric', name, axis: 'epoch' })
    stateOf(await sink.writeRecord(define('other'), 0, never))
    const state = stateOf(await sink.write(valued(0, 7), never))
    // the cursor is not saved from here on
    const rest = async (to: Sink, from: number) => {
      if (from === 0) stateOf(await to.write(valued(1), never))
      stateOf(await to.writeRecord(define('val/*'), 1, never))
      return stateOf(await to.write(valued(2), never))
    }
    await rest(sink, 0)
    await sink.close()
    const again = await stage.opened(run, state)
    const last = await rest(again, 0)
    await again.close()
    const third = await stage.opened(run, last)
    stateOf(await third.write(valued(3), never))
    assert.deepEqual(
      stage.remote.rows().map(({ _step, epoch }) => [_step, epoch]),
      [
        [0, 7],
        [1, undefined],
        [2, 7],
        [3, 7],
      ],
    )
  })
})

test('a line of held values alone moves the global step of the summary, unless the user has one', async () => {
  for (const own of [undefined, 4096]) {
    await withStage({}, async (stage) => {
      const sink = await stage.opened(stage.bench.run())
      const name = own === undefined ? 'x' : 'global_step'
      const rows = stage.bench.batch([{ step: 2, time: START_TIME, name, context: '', value: own ?? 1 }])
      stateOf(await sink.write(rows, never))
      stateOf(await sink.writeRecord(text('note', 9), 0, never))
      stateOf(await sink.beat!(never))
      assert.equal(stage.remote.summary._step, 9)
      assert.equal(stage.remote.summary.global_step, own ?? 9)
    })
  }
})

test('what is prepared is sent only where it fits what went before', async () => {
  await withStage({}, async (stage) => {
    const sink = await stage.opened(stage.bench.run())
    const [first, second] = [stage.bench.batch(steps(5, 3)), stage.bench.batch(steps(6, 3))]
    const writing = sink.write(first, never)
    sink.prepare!(second)
    stateOf(await writing)
    await sink.writeRecord(text('between', 6), 0, never)
    stateOf(await sink.write(second, never))
    const rows = stage.remote.rows()
    assert.deepEqual(
      rows.map(({ _step }) => _step),
      [5, 6, 7, 8, 9, 10],
    )
    assert.equal(rows[3]!.between, 'of between')
  })
})

test('what was prepared for rows that were not taken is made anew', async () => {
  await withStage({}, async (stage) => {
    const sink = await stage.opened(stage.bench.run())
    const [first, second] = [stage.bench.batch(steps(50, 3)), stage.bench.batch(steps(6, 3))]
    stage.standIn.failNext({ kind: 'cut' })
    const writing = sink.write(first, never)
    sink.prepare!(second)
    assert.equal((await writing).status, 'retry')
    stateOf(await sink.write(second, never))
    assert.deepEqual(
      stage.remote.rows().map(({ _step }) => _step),
      [6, 7, 8],
    )
  })
})

test('a run is closed with all that is held, and stays closed by whatever is told later', async () => {
  await withStage({}, async (stage) => {
    const run = stage.bench.run()
    const sink = await stage.opened(run)
    await sink.writeRecord(text('last', 4), 0, never)
    const state = stateOf(await sink.writeRecord({ ...FINISHED, state: 'failed' } as RunRecord, 1, never))
    const { remote } = stage
    assert.deepEqual([remote.state, remote.exitCode, remote.rows()[0]!.last], ['failed', 1, 'of last'])
    assert.equal(remote.summary.last, 'of last')
    assert.equal((await sink.beat!(never)).status, 'accepted')
    const uploads = await stage.opened(run, state)
    stateOf(await uploads.write(stage.bench.batch(steps(5, 1)), never))
    assert.deepEqual([remote.state, remote.exitCode, remote.completions], ['failed', 1, 2])
    await uploads.writeRecord({ kind: 'state', state: 'running', time: START_TIME }, 2, never)
    stateOf(await uploads.write(stage.bench.batch(steps(6, 1)), never))
    assert.equal(remote.state, 'running')
  })
})

test('the answers of a stream: too large, a rest it asks for, and Stop', async () => {
  await withStage({}, async (stage) => {
    const sink = await stage.opened(stage.bench.run())
    stage.standIn.failNext({ kind: 'answer', status: 413, body: '{"error":"too large"}' })
    const large = await sink.write(stage.bench.batch(steps(0, 5)), never)
    assert.equal(large.status === 'split' && large.tooLarge, true)
    for (const status of [403, 404, 409, 410]) {
      stage.standIn.failNext({ kind: 'answer', status, body: '{"error":"no"}' })
      const answer = await sink.write(stage.bench.batch(steps(0, 5)), never)
      assert.equal(answer.status === 'blocked' && answer.scope, 'run', JSON.stringify(answer))
    }
    for (let at = 0; at < 2; at++)
      stage.standIn.failNext({ kind: 'answer', status: 400, body: '{"error":"no"}' })
    const gateway = await sink.write(stage.bench.batch(steps(0, 5)), never)
    assert.equal(gateway.status, 'blocked', 'where a sign of life is refused, too, it is no row')
    const headers = { 'ratelimit-remaining': '0', 'ratelimit-reset': '3' }
    stage.standIn.failNext({ kind: 'answer', status: 200, headers, body: '{}' })
    const rest = await sink.beat!(never)
    assert.equal(rest.status === 'accepted' && rest.restMs, 3000, JSON.stringify(rest))
    stage.remote.isStopRequested = true
    stateOf(await sink.write(stage.bench.batch(steps(0, 5)), never))
    assert.equal(stage.stops, 1)
  })
})

test('requests of two sinks of one run never meet', async () => {
  await withStage({ delayMs: 30 }, async (stage) => {
    const run = stage.bench.run()
    const rows = await stage.opened(run)
    const other = await stage.opened(run)
    const signs = Array.from({ length: 5 }, () => other.beat!(never))
    const writing = rows.write(stage.bench.batch(steps(0, 5)), never)
    await Promise.all([...signs, writing])
    stateOf(await writing)
  })
})

test('bodies are zipped where the server offers it, and console lines structured', async () => {
  await withStage({ features: ['FILESTREAM_GZIP', 'STRUCTURED_CONSOLE_LOGS'] }, async (stage) => {
    const sink = await stage.opened(stage.bench.run())
    await sink.writeRecord({ kind: 'console', stream: 'stderr', text: 'é', time: START_TIME }, 0, never)
    stateOf(await sink.write(stage.bench.batch(steps(0, 200)), never))
    assert.equal(stage.remote.gzipRequests, 1)
    assert.deepEqual(JSON.parse(stage.remote.output[0]!), {
      ...{ ts: '2023-11-14T22:13:20.000000', content: 'é', level: 'error' },
    })
  })
})
