/** Values that throw when they are looked at: the call that was given one reports it and goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Issue, startLogging } from '../../src/index.ts'
import { temporaryFolder } from './program.ts'

const PIXELS = { data: new Uint8Array(4), shape: [2, 2] }

function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

/** Each throws something else, and at another time. */
const HOSTILE: Readonly<Record<string, unknown>> = {
  'a getter': {
    get lr() {
      throw new Error('a getter')
    },
  },
  'a getter that throws nothing': {
    get lr() {
      throw null
    },
  },
  'a getter that throws what has no text': {
    get lr() {
      throw Object.create(null)
    },
  },
  'no prototype': Object.create(null),
  'a text that cannot be had': {
    toString() {
      throw new Error('toString')
    },
  },
  'a revoked proxy': revoked({}),
  'a revoked array': revoked([]),
  nothing: null,
}

test('what throws when it is looked at costs its own call only, also at the start of a run', async (context) => {
  const dir = temporaryFolder(context)
  for (const [what, value] of Object.entries(HOSTILE)) {
    const issues: Issue[] = []
    const hostile = value as never
    const run = startLogging({
      dir,
      backend: 'local',
      params: hostile ?? {},
      tags: { hostile },
      onIssue: (issue) => issues.push(issue),
    })
    const { records } = run.stats()
    const calls: (() => unknown)[] = [
      () => run.logParams(hostile),
      () => run.logParams({ hostile }),
      () => run.setTags(hostile),
      () => run.setTags({ hostile }),
      () => run.setNotes(hostile),
      () => run.defineMetric(hostile),
      () => run.defineMetric('a', { summary: hostile }),
      () => run.logDataset(hostile),
      () => run.logDataset({ name: 'n', digest: 'd', source: 's', schema: hostile }),
      () => run.logText('n', hostile),
      () => run.logText('n', 'text', hostile),
      () => run.logHistogram('n', hostile),
      () => run.logHistogram('n', [1], hostile),
      () => run.logImage('n', hostile),
      () => run.logImage('n', hostile, { caption: 'c' }),
      () => run.logImage('n', PIXELS, hostile),
      () => run.logImages('n', [PIXELS, hostile]),
      () => run.logTable('n', hostile),
      () => run.logTable('n', [hostile]),
      () => run.logFigure('n', hostile),
      () => run.logFigure('n', { data: [hostile] }),
      () => run.logPrCurve('n', hostile, hostile),
      () => run.logPrCurve('n', [1, 0], [0.1, 0.2], hostile),
    ]
    for (const call of calls) assert.doesNotThrow(call, `${what}: ${call}`)
    for (const snapshot of [run.logArtifact(hostile), run.logModel(hostile)])
      assert.equal((await snapshot).status, 'failed', what)
    run.logParams({ after: 1 })
    const stats = await run.finish()
    assert.ok(stats.records.accepted > records.accepted)
    assert.equal(stats.records.accepted, stats.records.journaled, what)
    assert.ok(issues.length >= 10, `${what}: ${issues.length} told`)
    for (const { message } of issues) assert.ok(message.length < 1000)
  }
})
