import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatReport, lawHolds } from '../../src/cli/report.ts'
import type { DestinationStats, Stats } from '../../src/core/types.ts'

const COST = { calls: 2525, p50Ns: 840, p99Ns: 4200, maxNs: 1_300_000, totalMs: 4.2, loopMs: 8400 }

test('the report is a table of sums, each with its mark', () => {
  const report = formatReport({
    runId: '20261123-a',
    stats: statsOf({
      local: {},
      mlflow: { delivered: 52_000, pending: 500, state: 'retrying', reason: 'refused' },
    }),
    cost: COST,
    places: [
      { name: 'local', look: '/runs/a' },
      { name: 'mlflow', look: 'http://127.0.0.1:5000' },
    ],
  })
  assert.equal(
    report,
    [
      'run 20261123-a',
      '',
      'log()  2,525 calls, 52,510 points',
      '  a call: p50 840 ns, p99 4.20 µs, max 1.30 ms',
      "  of the loop's 8.4 s: 0.050 % (4.20 ms)",
      '',
      'every point is accounted for',
      '       logged  = journaled  + coalesced  + lost  + in ring',
      '  run  52,510       52,500           10       0          0  ✓',
      '',
      '          journaled  = delivered  + filtered  + rejected  + corrupt  + pending',
      '  local      52,500       52,500           0           0          0          0  ✓',
      '  mlflow     52,500       52,000           0           0          0        500  ✓',
      '',
      'records: parameters, texts, images, files, …',
      '          journaled  = delivered  + filtered  + rejected  + corrupt  + pending',
      '  local           4            4           0           0          0          0  ✓',
      '  mlflow          4            4           0           0          0          0  ✓',
      '',
      'mlflow is retrying: refused',
      'mlflow has not got everything yet; send the rest with: tracelet sync 20261123-a',
      '',
      'where to look',
      '  local   /runs/a',
      '  mlflow  http://127.0.0.1:5000',
    ].join('\n'),
  )
})

test('any sum that does not hold is marked and said', () => {
  const whole = statsOf({ local: {} })
  assert.equal(lawHolds(whole), true)
  const broken: Stats[] = [
    { ...whole, coalesced: 11 },
    { ...whole, records: { ...whole.records, lost: 1 } },
    statsOf({ local: { rejected: 1 } }),
    statsOf({ local: { records: { delivered: 3, filtered: 0, rejected: 0, corrupt: 0, pending: 0 } } }),
  ]
  for (const stats of broken) {
    assert.equal(lawHolds(stats), false)
    const report = formatReport({ runId: 'a', stats, places: [] })
    assert.match(report, /THE SUMS DO NOT ADD UP/)
    assert.doesNotMatch(report, /every point is accounted for/)
  }
  assert.match(formatReport({ runId: 'a', stats: broken[2]!, places: [] }), /local .* 1 .* ✗/)
})

test('refused, late and rejected points are said in words', () => {
  const stats = { ...statsOf({ a: { delivered: 52_498, rejected: 2 } }), refused: 3, late: 4 }
  const report = formatReport({ runId: 'a', stats, places: [] })
  assert.match(report, /^3 values were refused by log\(\)$/m)
  assert.match(report, /^4 points came after finish\(\)$/m)
  assert.match(report, /^a refused 2; reasons are in dead-letters\.jsonl/m)
})

test('a record that is still being copied is accounted for, and said', () => {
  const stats = statsOf({ local: {} })
  const parked = { ...stats, records: { ...stats.records, accepted: 6, parked: 2 } }
  assert.equal(lawHolds(parked), true)
  assert.match(formatReport({ runId: 'a', stats: parked, places: [] }), /^2 records are still being copied$/m)
})

test('a report without costs or places leaves them out', () => {
  const report = formatReport({ runId: 'a', stats: statsOf({ local: {} }), places: [] })
  assert.doesNotMatch(report, /log\(\)|where to look/)
})

function statsOf(destinations: Record<string, Partial<DestinationStats>>): Stats {
  const settled: DestinationStats = {
    delivered: 52_500,
    superseded: 0,
    filtered: 0,
    rejected: 0,
    corrupt: 0,
    pending: 0,
    records: { delivered: 4, filtered: 0, rejected: 0, corrupt: 0, pending: 0 },
    uploads: { files: { sent: 0, known: 0 }, bytes: { sent: 0, known: 0 } },
    state: 'closed',
    lagMs: 0,
    url: '',
    reason: '',
  }
  return {
    accepted: 52_510,
    inRing: 0,
    before: { points: 0, records: 0 },
    journaled: 52_500,
    coalesced: 10,
    lost: { laneFull: 0, disk: 0 },
    refused: 0,
    late: 0,
    records: { accepted: 4, parked: 0, journaled: 4, lost: 0 },
    stalls: { count: 0, totalMs: 0 },
    unsyncedMs: 0,
    destinations: Object.fromEntries(
      Object.entries(destinations).map(([name, given]) => [name, { ...settled, ...given }]),
    ),
  }
}
