import assert from 'node:assert/strict'
import {
  appendFileSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import type { RunRecord, SinkState } from '../../../../src/core/types.ts'
import { Random, SEED } from '../../../random.ts'
import { CREATED, type GivenRow, OfflineBench } from './bench.ts'
import { itemsOf, jsonValue, messagesOf, numberOf, readLog, rowsOf, textOf, textsOf } from './read-log.ts'

const END: RunRecord = { kind: 'state', state: 'finished', time: CREATED + 9_000 }
const RUNNING: RunRecord = { kind: 'state', state: 'running', time: CREATED + 10_000 }

describe('the file of an offline run', () => {
  test('begins with the run, and its directory is called as the SDK calls it', async (context) => {
    const bench = new OfflineBench(context, {
      entity: 'team',
      tags: ['one'],
      notes: 'some',
      jobType: 'train',
    })
    await bench.open()
    assert.match(bench.path, /\/wandb\/offline-run-\d{8}_\d{6}-run1\/run-run1\.wandb$/)
    const [first] = bench.records
    assert.equal(first!.kind, 'run')
    const texts = [1, 2, 3, 7, 8, 9, 10].map((field) => textOf(first!.message, field))
    assert.deepEqual(texts, ['run1', 'team', 'lab', 'train', 'a run', 'some', 'one'])
    const own = messagesOf(first!.message, 4).flatMap((config) => itemsOf(config))
    assert.deepEqual(own, [['_wandb', JSON.stringify({ tracelet: { nonce: bench.run.nonce, id: 'run1' } })]])
    assert.equal(statSync(bench.path).mode & 0o777, 0o600)
    assert.equal(statSync(dirname(bench.path)).mode & 0o777, 0o700)
    assert.ok(statSync(join(dirname(bench.path), 'files')).isDirectory(), 'sync writes there')
  })

  test('params are told by what has changed, nested by all names together, over restarts', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    await bench.accepted({
      kind: 'params',
      params: { lr: 0.1, 'opt.name': 'adam', list: '[1,2]', nan: Number.NaN },
    })
    await bench.accepted({ kind: 'params', params: { lr: 0.1, 'opt.beta': Infinity } })
    await bench.open()
    await bench.accepted({ kind: 'params', params: { opt: 'flat' } }, { kind: 'params', params: { lr: 0.1 } })
    const told = bench.of('config').map(({ message }) => itemsOf(message))
    assert.deepEqual(told.slice(0, 2), [
      [
        ['lr', '0.1'],
        ['opt', '{"name":"adam"}'],
        ['list', '[1,2]'],
        ['nan', 'null'],
      ],
      [['opt', '{"name":"adam","beta":Infinity}']],
    ])
    assert.deepEqual(Object.fromEntries(told.flat()), {
      ...{ lr: '0.1', list: '[1,2]', nan: 'null', opt: '"flat"' },
      ...{ 'opt.name': '"adam"', 'opt.beta': 'Infinity' },
    })
    assert.equal(told.length, 3, 'what is as it was is not told again')
  })

  test('more params than a state can hold outlive the process, too', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`group.param${at}`, at]))
    await bench.accepted({ kind: 'params', params: many })
    const before = bench.state
    await bench.accepted({ kind: 'params', params: { 'group.late': 1 } }, { kind: 'tags', tags: { a: 'b' } })
    assert.ok(JSON.stringify(bench.state).length < 60_000)
    // the last two come again
    await bench.open(before)
    await bench.accepted({ kind: 'params', params: { 'group.late': 1 } }, { kind: 'tags', tags: { a: 'b' } })
    await bench.open()
    await bench.accepted({ kind: 'params', params: { 'group.later': 2 } }, { kind: 'tags', tags: { c: '' } })
    const [, json] = itemsOf(bench.of('config').at(-1)!.message)[0]!
    assert.deepEqual(jsonValue(json), {
      ...Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`param${at}`, at])),
      ...{ late: 1, later: 2 },
    })
    assert.deepEqual(textsOf(bench.of('run').at(-1)!.message, 10), ['a:b', 'c'])
    assert.equal(bench.of('config').length, 3)
  })

  test('a later run record has its start, and nothing that it would set back', async (context) => {
    const bench = new OfflineBench(context, { tags: ['first'] })
    await bench.open()
    await bench.accepted({ kind: 'tags', tags: { stage: 'größe' } }, { kind: 'notes', notes: 'new' })
    const [, tags, notes] = bench.of('run')
    assert.deepEqual(textsOf(tags!.message, 10), ['first', 'stage:größe'])
    assert.equal(textOf(tags!.message, 9), undefined)
    assert.equal(textOf(notes!.message, 9), 'new')
    for (const { message } of [tags!, notes!]) {
      const [start] = messagesOf(message, 17)
      assert.deepEqual([numberOf(start!, 1), numberOf(start!, 2)], [1_700_000_000, 123_000_000])
      assert.deepEqual([textOf(message, 1), textOf(message, 3)], ['run1', 'lab'])
    }
  })

  test('definitions, console lines and alerts are records as the SDK writes them', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    await bench.accepted(
      { kind: 'metric', name: 'val.loss', axis: 'epoch', summary: ['min'], goal: 'minimize' },
      { kind: 'metric', name: 'val.loss', summary: ['max'] },
      { kind: 'console', stream: 'stderr', text: 'one\ntwo', time: CREATED + 5 },
      { kind: 'alert', title: 'T', text: 'body', level: 'warn', time: CREATED, waitMs: 5_000 },
    )
    const [own, all, first, second] = bench.of('metric').map(({ message }) => message)
    assert.deepEqual([textOf(own!, 1), textOf(all!, 2), textOf(all!, 4)], ['global_step', '*', 'global_step'])
    assert.deepEqual([textOf(first!, 1), textOf(first!, 4), numberOf(first!, 8)], ['val\\.loss', 'epoch', 1])
    const summaries = [first, second].map((one) => [...messagesOf(one!, 7)[0]!.keys()])
    assert.deepEqual(summaries, [[1], [1, 2]])
    assert.deepEqual(
      bench.of('output').map(({ message }) => [numberOf(message, 1), textOf(message, 3)]),
      [
        [0, 'one\n'],
        [0, 'two\n'],
      ],
    )
    const [alert] = bench.of('alert')
    assert.deepEqual([textOf(alert!.message, 3), numberOf(alert!.message, 4)], ['WARN', 5_000])
  })

  test('a text waits for the row of its step; what is left comes before the end', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const text = (step: number, name: string): RunRecord => ({
      ...{ kind: 'text', name, step, time: CREATED + step * 10, text: `of ${step}` },
    })
    await bench.accepted(text(3, 'a'), text(5, 'b'))
    await bench.rows([3, { loss: 1 }])
    await bench.open()
    await bench.accepted(text(9, 'c'))
    await bench.rows([4, { loss: 2 }])
    await bench.accepted(END)
    assert.deepEqual(
      bench.read.map(({ _step, loss, a, b, c }) => [_step, loss, a, b, c]),
      [
        [3, 1, 'of 3', undefined, undefined],
        [4, 2, undefined, undefined, undefined],
        [5, undefined, undefined, 'of 5', undefined],
        [9, undefined, undefined, undefined, 'of 9'],
      ],
    )
  })

  test('a text that is too long to be held goes into a row of its own, behind those that waited', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const of = (step: number, text: string) =>
      ({ kind: 'text', name: 't', step, time: CREATED, text }) as const
    await bench.accepted(of(1, 'short'), of(2, 'x'.repeat(40_000)))
    assert.deepEqual(
      bench.read.map(({ _step, t }) => [_step, String(t).length]),
      [
        [1, 5],
        [2, 40_000],
      ],
    )
    assert.equal(bench.kept.held, undefined)
  })

  test('a summary takes a fifth of the file at most, and the last one says all', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const keys = Array.from({ length: 40 }, (_, at) => `key${at}`)
    for (let step = 0; step < 300; step++) {
      await bench.rows([step, Object.fromEntries(keys.slice(0, 1 + (step % 40)).map((key) => [key, step]))])
    }
    const sizes = (kind: string) =>
      bench.records.reduce(
        (sum, { end }, at, all) => sum + (all[at]!.kind === kind ? end - (all[at - 1]?.end ?? 7) : 0),
        0,
      )
    assert.ok(sizes('summary') > 0)
    assert.ok(sizes('summary') < 0.3 * sizes('history'), `${sizes('summary')} of ${sizes('history')}`)
    await bench.accepted(END)
    const last = Object.fromEntries(itemsOf(bench.of('summary').at(-1)!.message))
    assert.equal(last.key0, '299')
    assert.deepEqual(bench.records.at(-1)!.kind, 'exit')
    assert.deepEqual([last._step, last.global_step], ['299', '299'])
  })
})

describe('a run that ends and goes on', () => {
  test('its exit is the last record, and cut off when it goes on', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    await bench.rows([0, { loss: 1 }])
    for (const [outcome, code] of [
      ['failed', 1],
      ['killed', 255],
      ['finished', 0],
    ] as const) {
      await bench.accepted({ kind: 'state', state: outcome, time: CREATED + 9_900 })
      const exits = bench.of('exit')
      assert.equal(exits.length, 1)
      assert.deepEqual([numberOf(exits[0]!.message, 1), numberOf(exits[0]!.message, 2)], [code, 9])
      assert.equal(bench.records.at(-1)!.kind, 'exit')
      await bench.open()
      assert.equal(bench.of('exit').length, 1, 'opening changes nothing')
      await bench.accepted(RUNNING)
      assert.equal(bench.of('exit').length, 0)
    }
    await bench.rows([1, { loss: 2 }])
    assert.deepEqual(
      bench.read.map(({ loss }) => loss),
      [1, 2],
    )
  })

  test('what comes after the end stands before the exit', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    await bench.accepted(END)
    await bench.rows([0, { loss: 1 }])
    await bench.accepted({ kind: 'notes', notes: 'late' })
    assert.deepEqual(
      bench.records.slice(-3).map(({ kind }) => kind),
      ['summary', 'run', 'exit'],
    )
  })

  test('an exit that a process cut off and did not commit is there again', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    await bench.rows([0, { loss: 1 }])
    await bench.accepted(END)
    const ended = bench.state
    const bytes = readFileSync(bench.path)
    await bench.accepted(RUNNING)
    await bench.rows([1, { loss: 2 }])
    await bench.open(ended)
    assert.ok(readFileSync(bench.path).equals(bytes))
  })

  test('behind a file that was sent it goes on in another directory, with all that it is', async (context) => {
    const bench = new OfflineBench(context, { tags: ['one'] })
    await bench.open()
    await bench.accepted(
      { kind: 'params', params: { lr: 1 } },
      { kind: 'metric', name: 'loss', summary: ['min'] },
    )
    await bench.rows([0, { loss: 1 }])
    await bench.accepted(END)
    const ended = bench.state
    writeFileSync(`${bench.path}.synced`, '')
    const sent = readFileSync(bench.path)
    await bench.open()
    assert.equal(bench.logs.length, 1, 'opening alone begins nothing')
    for (const turn of ['first', 'after a restart that forgot it']) {
      await bench.open(ended)
      await bench.accepted(RUNNING)
      await bench.rows([1, { loss: 2 }])
      assert.equal(bench.logs.length, 2, turn)
    }
    assert.ok(readFileSync(bench.logs[0]!).equals(sent))
    const [run] = bench.records
    assert.deepEqual(textsOf(run!.message, 10), ['one'])
    const config = Object.fromEntries(itemsOf(messagesOf(run!.message, 4)[0]!))
    assert.deepEqual(Object.keys(config), ['_wandb', 'lr'])
    assert.equal(bench.of('metric').length, 3)
    assert.deepEqual(
      bench.read.map(({ _step, loss }) => [_step, loss]),
      [[1, 2]],
    )
    await bench.accepted(END)
    const summary = Object.fromEntries(itemsOf(bench.of('summary').at(-1)!.message))
    assert.equal(summary.loss, '{"min":1}', 'sums go on')
    assert.ok(bench.notices.some((notice) => notice.includes('wandb sync')))
  })
})

describe(`what a process that dies leaves (seed ${SEED})`, () => {
  test('a file that is cut or grows anywhere behind what was committed is the same in the end', async (context) => {
    const random = new Random(SEED)
    const expected: GivenRow[] = Array.from({ length: 400 }, (_, step) => [
      step,
      Object.fromEntries(
        Array.from({ length: 1 + random.below(5) }, (_, key) => [`key${key}`, random.double()]),
      ),
    ])
    const bench = new OfflineBench(context)
    await bench.open()
    // row and state of each commit
    const committed: [number, SinkState][] = [[0, bench.state]]
    let next = 0
    while (next < expected.length) {
      const to = Math.min(expected.length, next + 1 + random.below(8))
      await bench.rows(...expected.slice(next, to))
      if (random.next() < 0.2) await bench.accepted({ kind: 'notes', notes: `at ${to}` })
      next = to
      committed.push([next, bench.state])
      if (random.next() > 0.15) continue
      // the last of what was written was not committed
      const [at, state] = committed[Math.max(0, committed.length - 1 - random.below(4))]!
      committed.length = committed.findIndex(([row]) => row === at) + 1
      await bench.sink.close()
      const settled = (state as { readonly bytes: number }).bytes
      const { size } = statSync(bench.path)
      truncateSync(bench.path, settled + random.below(size - settled + 1))
      if (random.next() < 0.3) appendFileSync(bench.path, Buffer.alloc(random.below(100), random.below(256)))
      await bench.open(state)
      next = at
    }
    await bench.accepted(END)
    assert.deepEqual(bench.notices, [])
    assert.equal(bench.logs.length, 1)
    assert.deepEqual(
      bench.read.map(({ _step, _timestamp, _runtime, global_step, ...values }) => [_step, values]),
      expected,
    )
  })

  test('of settled bytes that are missing the whole records are kept, and the user is told', async (context) => {
    const random = new Random(SEED)
    for (let turn = 0; turn < 15; turn++) {
      const bench = new OfflineBench(context)
      await bench.open()
      for (let step = 0; step < 100; step++) await bench.rows([step, { loss: step }])
      await bench.sink.close()
      const size = statSync(bench.path).size
      const cut = turn < 5 ? turn * 15 : random.below(size)
      truncateSync(bench.path, cut)
      const kept = cut < 7 ? [] : rowsOf(readLog(bench.path).records)
      await bench.open()
      assert.match(bench.notices.join(), /had lost \d+ bytes/)
      await bench.rows([100, { loss: 100 }])
      const { records, isTorn } = readLog(bench.path)
      assert.equal(isTorn, false)
      assert.equal(records[0]!.kind, 'run', `cut at ${cut}: sync refuses a file without`)
      assert.deepEqual(
        rowsOf(records).map(({ loss }) => loss),
        [...kept.map(({ loss }) => loss), 100],
      )
    }
  })

  test('a run that died before its first commit is taken over; a stranger of its name is left alone', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const own = bench.path
    await bench.sink.close()
    truncateSync(own, 30)
    await bench.open('forgotten')
    assert.deepEqual(bench.logs, [own])
    await bench.rows([0, { loss: 1 }])
    assert.equal(bench.read.length, 1)
    // of another run, begun in the same second
    const before = readFileSync(own)
    const other = new OfflineBench(context, { dir: bench.dir })
    Object.assign(other.run, { nonce: 'another nonce' })
    await other.open()
    assert.ok(readFileSync(own).equals(before))
  })

  test('nothing is written through a link', async (context) => {
    const bench = new OfflineBench(context)
    await bench.open()
    const { path } = bench
    await bench.sink.close()
    const elsewhere = join(bench.run.folder, 'elsewhere')
    writeFileSync(elsewhere, readFileSync(path))
    rmSync(path)
    symlinkSync(elsewhere, path)
    const before = readFileSync(elsewhere)
    await assert.rejects(bench.open(), /blocked/)
    assert.ok(readFileSync(elsewhere).equals(before))
  })
})
