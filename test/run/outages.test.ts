import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FromDelivery, Outage } from '../../src/pipeline/messages.ts'
import { Outages, toldOf } from '../../src/run/outages.ts'

type IssueMessage = Extract<FromDelivery, { type: 'issue' }>

const message = (
  severity: IssueMessage['severity'],
  outage: Partial<Outage>,
  reason = severity === 'recovered' ? 'delivering again' : 'http://x does not answer',
): IssueMessage => ({
  type: 'issue',
  run: 'any',
  destination: 'mlflow',
  severity,
  issue: { code: 'ERR_UNREACHABLE', message: reason },
  outage: { forMs: 0, points: 0, records: 0, lost: 0, ...outage },
})
const AT_X = { account: 'mlflow http://x' }

describe('what is said of destinations in trouble', () => {
  it('one run: when it starts, how long and how much each minute, and how it ended', () => {
    const outages = new Outages()
    const said = (at: number, heard: IssueMessage) => outages.hear('run-1', heard, at)?.message
    assert.equal(said(0, message('failing', { ...AT_X, forMs: 400, points: 10 })), 'http://x does not answer')
    assert.equal(said(59_000 - 1, message('failing', { ...AT_X, forMs: 59_000, points: 20 })), undefined)
    assert.equal(
      said(60_000, message('failing', { ...AT_X, forMs: 60_400, points: 12_345, records: 1 })),
      'http://x does not answer (for 1 min 00 s; 12,345 points and 1 record wait)',
    )
    assert.equal(
      said(90_000, message('recovered', { ...AT_X, forMs: 90_400, points: 20_000, records: 2 })),
      'delivering again after 1 min 30 s: nothing was lost; 20,000 points and 2 records are on their way',
    )
    assert.equal(
      said(91_000, message('failing', AT_X)),
      'http://x does not answer',
      'a new trouble is told at once',
    )
  })

  it('hundreds of runs at one account: one line a minute for all, and one when the last goes on', () => {
    const outages = new Outages()
    const lines: string[] = []
    const say = (run: number, at: number, heard: IssueMessage) => {
      const told = outages.hear(`run-${run}`, heard, at)
      if (told) lines.push(told.message)
    }
    const runs = Array.from({ length: 312 }, (_, run) => run)
    for (let minute = 0; minute < 3; minute++) {
      for (const run of runs) {
        const at = minute * 60_000 + run * 10
        say(run, at, message('failing', { ...AT_X, forMs: at, points: 100 * minute, records: 1 }))
      }
    }
    assert.equal(lines.length, 3, lines.join('\n'))
    assert.match(
      lines[1]!,
      /^http:\/\/x does not answer \(312 runs, for 1 min 0\d s; [\d,]+ points and 312 records wait\)$/,
    )
    for (const run of runs)
      say(run, 200_000 + run, message('recovered', { ...AT_X, forMs: 200_000, lost: run === 7 ? 5 : 0 }))
    assert.equal(lines.length, 4)
    assert.equal(
      lines[3],
      'delivering again after 3 min 20 s, 312 runs: 5 points or records could not be kept on the disk meanwhile',
    )
  })

  it('a run that ends in trouble is not waited for, and has not recovered', () => {
    const outages = new Outages()
    for (const run of ['a', 'b']) outages.hear(run, message('failing', AT_X), 0)
    outages.leave('a', ['mlflow'])
    assert.match(
      outages.hear('b', message('recovered', { ...AT_X, forMs: 1_000 }), 10)!.message,
      /^delivering again/,
    )
    outages.hear('c', message('failing', AT_X), 20)
    outages.leave('c', ['mlflow'])
    assert.equal(outages.hear('c', message('recovered', AT_X), 30), undefined)
    assert.equal(outages.hear('d', message('failing', AT_X), 40), undefined, 'it was told a moment ago')
    assert.ok(outages.hear('d', message('failing', AT_X), 60_000))
  })

  it('an account that comes and goes is told of once a minute, each time with its end', () => {
    const outages = new Outages()
    const lines: string[] = []
    for (let at = 0; at < 300_000; at += 1_000) {
      const run = `run-${(at / 1_000) % 50}`
      for (const severity of ['failing', 'recovered'] as const) {
        const told = outages.hear(run, message(severity, { ...AT_X, forMs: 400 }), at)
        if (told) lines.push(told.severity)
      }
    }
    assert.deepEqual(
      lines,
      Array.from({ length: 6 }, () => ['warning', 'recovered'])
        .flat()
        .slice(0, lines.length),
    )
    assert.ok(lines.length >= 10 && lines.length <= 12, lines.join())
  })

  it('a trouble that is one run’s own is told beside that of all, and one that nobody but a person ends at once', () => {
    const outages = new Outages()
    assert.ok(outages.hear('a', message('failing', AT_X), 0))
    assert.equal(outages.hear('b', message('failing', AT_X), 1), undefined)
    const gone = message('blocked', {}, 'the run is deleted')
    assert.equal(outages.hear('b', gone, 2)!.message, 'the run is deleted')
    assert.equal(outages.hear('b', gone, 3), undefined)
    const revoked = message('blocked', AT_X, 'key revoked')
    assert.equal(outages.hear('a', revoked, 4)!.severity, 'error')
    assert.equal(outages.hear('c', revoked, 5), undefined)
    // b has left the account's trouble: its own end says nothing of the others
    assert.match(
      outages.hear('b', message('recovered', { forMs: 9_000 }), 9)!.message,
      /after 9.0 s: nothing/,
    )
    assert.equal(outages.hear('a', message('recovered', AT_X), 10), undefined)
    assert.ok(outages.hear('c', message('recovered', AT_X), 11))
  })

  it('a handler hears each run’s own, whenever it is told', () => {
    const lasting = toldOf(message('failing', { forMs: 61_000, points: 3 }))
    assert.deepEqual(lasting, {
      code: 'ERR_UNREACHABLE',
      destination: 'mlflow',
      severity: 'warning',
      message: 'http://x does not answer (for 1 min 01 s; 3 points and 0 records wait)',
    })
  })
})
