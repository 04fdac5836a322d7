import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { Sink, WriteResult } from '../../../src/core/types.ts'
import { wandb } from '../../../src/sinks/wandb/sink.ts'
import { runInfo } from '../mlflow/points.ts'
import { type Fault, WandbStandIn } from './stand-in/stand-in.ts'

const KEY = 'k'.repeat(40)
const { signal } = new AbortController()
const FAILED = { kind: 'alert', title: 'loss is NaN', text: 'epoch *3*', level: 'error', time: 5 } as const

describe('alerts', () => {
  let standIn: WandbStandIn
  let sink: Sink
  let told: string[] = []

  beforeEach(async () => {
    standIn = await WandbStandIn.start({ apiKey: KEY })
    told = []
    sink = wandb.create({
      run: runInfo(),
      options: resolveOptions(wandb.options, { baseUrl: standIn.url, apiKey: KEY }, {}, 'wandb'),
      notice: (_, message) => void told.push(message),
    })
    const opened = await sink.open(undefined, signal)
    assert.equal(opened.status, 'ready')
  })
  afterEach(async () => {
    await sink.close()
    await standIn.stop()
  })

  const fail = (fault: Fault) =>
    standIn.failNext(fault, ({ operation }) => operation === 'NotifyScriptableRunAlert')
  const failAnswer = (status: number, body: string) => fail({ kind: 'answer', status, body })
  const codeOf = (answer: WriteResult) =>
    answer.status === 'partial'
      ? `rejected ${answer.rejected[0]!.code}`
      : `${answer.status} ${'code' in answer ? answer.code : ''}`

  it('go out at once, with the level and the wait in ms, by default the one minute of the SDK', async () => {
    assert.deepEqual(await sink.writeRecord(FAILED, 3, signal), { status: 'accepted' })
    await sink.writeRecord({ ...FAILED, level: 'info', waitMs: 90_000.4, title: 'a'.repeat(63) }, 4, signal)
    const { run, at: _, ...first } = standIn.alerts[0]!
    assert.equal(run, [...standIn.runs.values()][0]!.path)
    assert.deepEqual(first, {
      ...{ title: 'loss is NaN', text: 'epoch *3*', severity: 'ERROR', waitDuration: 60_000 },
    })
    const [, second] = standIn.alerts
    assert.deepEqual(
      [second!.title.length, second!.text, second!.severity, second!.waitDuration],
      [63, 'epoch *3*', 'INFO', 90_000],
    )
    assert.deepEqual([standIn.allProblems, told], [[], []])
  })

  it('have a title that fits, and stand whole in the text where it does not', async () => {
    const title = `${'x'.repeat(61)}😀 and more`
    await sink.writeRecord({ ...FAILED, title, level: 'warn' }, 3, signal)
    const [alert] = standIn.alerts
    assert.deepEqual([alert!.title, alert!.severity], [`${'x'.repeat(61)}…`, 'WARN'])
    assert.equal(alert!.text, `${title}\n\nepoch *3*`)
    assert.deepEqual(standIn.allProblems, [])
  })

  it('that are refused are rejected and hold nothing up', async () => {
    const denied = '{"errors":[{"message":"permission denied: alerts are off"}],"data":null}'
    const broken = '{"errors":[{"message":"no slack channel"}],"data":{"notifyScriptableRunAlert":null}}'
    const answers: WriteResult[] = []
    for (const [status, body] of [
      [200, denied],
      [200, broken],
      [200, '{"data":{"notifyScriptableRunAlert":null}}'],
      [403, '{"error":"not for you"}'],
      [400, '{"errors":[{"message":"unknown field"}]}'],
    ] as const) {
      failAnswer(status, body)
      answers.push(await sink.writeRecord(FAILED, 3, signal))
    }
    assert.deepEqual(answers.map(codeOf), [
      ...['rejected ERR_AUTH', 'rejected ERR_REFUSED', 'rejected ERR_REFUSED', 'rejected ERR_AUTH'],
      'rejected ERR_REFUSED',
    ])
    assert.equal((await sink.writeRecord(FAILED, 4, signal)).status, 'accepted')
    assert.equal(standIn.alerts.length, 1)
  })

  it('wait for a server that is away, and for a key that counts', async () => {
    fail({ kind: 'cut' })
    assert.equal((await sink.writeRecord(FAILED, 3, signal)).status, 'retry')
    failAnswer(503, '')
    assert.equal((await sink.writeRecord(FAILED, 3, signal)).status, 'retry')
    failAnswer(401, `{"error":"no such key: ${KEY}"}`)
    const refused = await sink.writeRecord(FAILED, 3, signal)
    assert.equal(codeOf(refused), 'blocked ERR_AUTH')
    assert.ok(!JSON.stringify(refused).includes(KEY))
    assert.equal(standIn.alerts.length, 0)
  })

  it('of which nobody was told are said once', async () => {
    for (let turn = 0; turn < 2; turn++) {
      failAnswer(200, '{"data":{"notifyScriptableRunAlert":{"success":false}}}')
      assert.equal((await sink.writeRecord(FAILED, turn, signal)).status, 'accepted')
    }
    assert.equal(told.length, 1)
    assert.match(told[0]!, /'loss is NaN' that nobody was told/)
  })
})
