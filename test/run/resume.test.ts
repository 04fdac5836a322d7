/** Going on with a run, and going back in it: who it is, which steps follow, what still counts. */
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import {
  attachRun,
  type Issue,
  openRun,
  type Resume,
  type RunHandle,
  type StartOptions,
  SummaryWriter,
  startLogging,
} from '../../src/index.ts'
import { readRunFile } from '../../src/pipeline/store/run-file.ts'
import { readJournal } from './journaled.ts'
import { temporaryFolder } from './program.ts'

if (isMainThread) {
  /** Logs `values` at steps from `first` on, and ends. */
  const logOnce = async (options: StartOptions, first: number, values: readonly number[]) => {
    const run = startLogging(options)
    values.forEach((loss, index) => {
      run.log({ loss }, { step: first + index })
    })
    const stats = await run.finish()
    return { folder: run.info.folder, id: run.id, stats }
  }
  const steps = (folder: string, superseded = false) => [
    ...openRun(folder, { superseded }).history('loss').step,
  ]
  const values = (folder: string, superseded = false) => [
    ...openRun(folder, { superseded }).history('loss').value,
  ]

  test('a run that is resumed is the same run, in the places that it had', async (context) => {
    const dir = temporaryFolder(context)
    const first = { dir, backend: ['local', 'tensorboard'], project: 'vision', name: 'mine', expName: 'e' }
    const { folder, id } = await logOnce({ ...first, params: { lr: 1 } }, 0, [1, 2])
    const before = readRunFile(folder)
    const run = startLogging({ dir, resume: id, name: 'another', expName: 'f', tags: ['again'] })
    assert.deepEqual(run.info, { ...before.run, folder })
    assert.deepEqual(Object.keys(run.stats().destinations), ['local', 'tensorboard'])
    assert.equal(readRunFile(folder).state, 'running')
    run.log({ loss: 3 }, { step: 2 })
    const stats = await run.finish('failed')
    assert.deepEqual(stats.before, { points: 2, records: 3 })
    const { delivered, pending } = stats.destinations.tensorboard!
    assert.deepEqual([delivered, pending], [3, 0])
    const { states, params, tags, sessions } = readJournal(folder)
    assert.deepEqual(states, ['running', 'finished', 'running', 'failed'])
    assert.deepEqual([params, tags, sessions], [{ lr: 1 }, { again: '' }, 2])
    assert.deepEqual(
      [steps(folder), values(folder)],
      [
        [0, 1, 2],
        [1, 2, 3],
      ],
    )
    assert.equal(readRunFile(folder).destinations.length, 2)
    const eventFiles = readdirSync(folder).filter((name) => name.includes('tfevents'))
    assert.equal(eventFiles.length, 1)
  })

  test('that run.json was damaged, so that its copy was used, is told once', async (context) => {
    const dir = temporaryFolder(context)
    const { folder, id } = await logOnce({ dir, backend: 'local' }, 0, [1, 2])
    writeFileSync(join(folder, 'run.json'), '{')
    const issues: Issue[] = []
    const resumed = { dir, resume: id, onIssue: (issue: Issue) => void issues.push(issue) }
    await logOnce(resumed, 2, [3])
    assert.deepEqual(
      issues.map(({ code, severity }) => [code, severity]),
      [['ERR_JOURNAL_DAMAGED', 'notice']],
    )
    assert.match(issues[0]!.message, /run\.json is damaged .*copy/)
    await logOnce(resumed, 3, [4])
    assert.equal(issues.length, 1)
  })

  test('the state of a resumed run is told with the time of the new start', async (context) => {
    const dir = temporaryFolder(context)
    const { folder, id } = await logOnce({ dir, backend: 'local' }, 0, [1])
    const since = Date.now()
    await logOnce({ dir, resume: id, backend: 'local' }, 1, [1])
    const told = readJournal(folder).records.filter((record) => record.kind === 'state')
    assert.equal(told[0]!.time, readRunFile(folder).run.createdAt)
    assert.ok(told[2]!.time >= since)
  })

  test('a run that is not there is not made, and near names are told', async (context) => {
    const dir = temporaryFolder(context)
    await logOnce({ dir, backend: 'local', runId: 'resnet-17', project: 'p' }, 0, [1])
    assert.throws(() => startLogging({ dir, resume: 'resnet-71' }), {
      code: 'ERR_RUN_UNKNOWN',
      message: /no run 'resnet-71'.*did you mean 'resnet-17'/,
    })
    assert.throws(() => startLogging({ dir, resume: 'resnet-17', project: 'other' }), {
      code: 'ERR_RUN_UNKNOWN',
    })
    assert.deepEqual([readdirSync(dir), readdirSync(join(dir, 'p'))], [['p'], ['resnet-17']])
    await logOnce({ dir, backend: 'local', runId: 'resnet-17', project: 'q' }, 0, [1])
    assert.throws(() => startLogging({ dir, resume: 'resnet-17' }), {
      code: 'ERR_OPTION',
      message: /several projects/,
    })
    const { folder } = await logOnce({ dir, resume: 'resnet-17', project: 'q', backend: 'local' }, 1, [2])
    assert.deepEqual(steps(folder), [0, 1])
  })

  test('what cannot be resumed is refused in words, before anything is touched', (context) => {
    const dir = temporaryFolder(context)
    const cases: [resume: unknown, message: RegExp, more?: StartOptions][] = [
      [true, /id of a run or \{ runId, fromStep \}.*true/],
      ['', /id of a run/],
      [{}, /id of a run/],
      [{ runId: 5 }, /names 5/],
      [{ runId: 'a', fromstep: 5 }, /no 'fromstep'; did you mean 'fromStep'/],
      [{ runId: 'a', fromStep: 1.5 }, /fromStep must be an integer.*1\.5/],
      [{ runId: 'a', fromStep: '7' }, /fromStep must be an integer.*'7'/],
      [{ runId: 'a', fromStep: 2 ** 53 }, /fromStep must be an integer/],
      ['a', /'a' and runId 'b'/, { runId: 'b' }],
      ['a', /own parent/, { parent: 'a' }],
    ]
    for (const [resume, message, more] of cases) {
      assert.throws(() => startLogging({ dir, resume: resume as Resume, ...more }), {
        code: 'ERR_OPTION',
        message,
      })
    }
    assert.deepEqual(readdirSync(dir), [])
    // nothing is looked for by who is not to log
    startLogging({ dir, resume: 'a', mode: 'disabled' })
  })

  test('a run that is being written cannot be resumed until it is finished', async (context) => {
    const dir = temporaryFolder(context)
    const run = startLogging({ dir, backend: 'local', runId: 'r' })
    assert.throws(() => startLogging({ dir, resume: 'r' }), { code: 'ERR_RUN_BUSY', message: /group/ })
    await run.finish()
    const { stats } = await logOnce({ dir, resume: 'r' }, 0, [1])
    assert.equal(stats.journaled, 1)
  })

  test('a child of a resumed run is a run of its own', async (context) => {
    const dir = temporaryFolder(context)
    await logOnce({ dir, backend: 'local', runId: 'parent' }, 0, [1])
    const parent = startLogging({ dir, resume: 'parent' })
    const child = startLogging({ parent })
    assert.notEqual(child.id, parent.id)
    assert.equal(child.info.parent, 'parent')
    await child.finish()
    await parent.finish()
  })

  test('steps that are not given go on behind the highest one, however they are logged', async (context) => {
    const dir = temporaryFolder(context)
    const options = { dir, backend: 'local', runId: 'r' }
    const first = startLogging(options)
    for (let i = 0; i < 5; i++) first.log({ loss: i })
    first.log({ val: 1 }, { step: 40 })
    first.logHistogram('w', [1, 2], { step: 41 })
    await first.finish()
    for (const again of [{ resume: 'r' }, { runId: 'r' }]) {
      const before = openRun(first.info.folder).history('loss').step.at(-1)!
      const run = startLogging({ dir, backend: 'local', ...again })
      const expected = before === 4 ? 42 : 44
      run.log({ loss: 0 })
      run.logText('t', 'x')
      const writer = new SummaryWriter(run)
      writer.addScalar('tag', 1)
      const { handle, done } = attachedLog(run.handle())
      assert.equal(handle.firstStep, expected)
      await done
      run.log({ loss: 0 })
      await run.finish()
      const stored = openRun(run.info.folder)
      assert.deepEqual([...stored.history('loss').step.slice(-2)], [expected, expected + 1])
      assert.deepEqual(stored.texts('t').at(-1)!.step, expected)
      assert.deepEqual(stored.history('tag').step.at(-1), expected)
      assert.deepEqual(stored.history('attached').step.at(-1), expected)
    }
  })

  test('what a run logged from the step on that it goes back to does not count any more', async (context) => {
    const dir = temporaryFolder(context)
    const options = { dir, backend: 'local', runId: 'r' }
    const first = startLogging(options)
    for (let step = 0; step < 10; step++) first.log({ loss: step, acc: step / 10 }, { step })
    first.log({ late: 1 }, { step: 8 })
    for (const step of [4, 5, 6]) {
      first.logText('t', `first ${step}`, { step })
      first.logHistogram('h', [step], { step })
      first.logTable('rows', [{ a: step }], { step })
    }
    await first.finish()
    const run = startLogging({ dir, resume: { runId: 'r', fromStep: 5 } })
    run.log({ loss: 50 })
    run.log({ loss: 60 })
    run.logText('t', 'second 5', { step: 5 })
    await run.finish()
    const { folder } = run.info
    const stored = openRun(folder)
    assert.deepEqual(steps(folder), [0, 1, 2, 3, 4, 5, 6])
    assert.deepEqual(values(folder), [0, 1, 2, 3, 4, 50, 60])
    assert.deepEqual(
      stored.series().map(({ name, points }) => [name, points]),
      [
        ['loss', 7],
        ['acc', 5],
      ],
    )
    assert.deepEqual(
      stored.summary().map(({ name, points, max, last }) => [name, points, max, last.step]),
      [
        ['loss', 7, 60, 6],
        ['acc', 5, 0.4, 4],
      ],
    )
    assert.deepEqual(
      stored.texts('t').map((text) => text.text()),
      ['first 4', 'second 5'],
    )
    assert.deepEqual([stored.histograms('h').length, stored.tables('rows').length], [1, 1])
    assert.equal([...stored.records()].filter(({ kind }) => kind === 'rewind').length, 1)
    const all = openRun(folder, { superseded: true })
    assert.equal(all.history('loss').step.length, 12)
    assert.equal(all.texts('t').length, 4)
    assert.deepEqual(
      all.series().map(({ name }) => name),
      ['loss', 'acc', 'late'],
    )
  })

  test('of several rewinds each supersedes what stands before it, and negative steps are steps', async (context) => {
    const dir = temporaryFolder(context)
    const run = (fromStep: number): StartOptions => ({ dir, resume: { runId: 'r', fromStep } })
    const { folder } = await logOnce({ dir, backend: 'local', runId: 'r' }, -3, [1, 1, 1, 1, 1, 1])
    await logOnce(run(1), 1, [2, 2, 2])
    await logOnce(run(3), 3, [3, 3])
    assert.deepEqual(steps(folder), [-3, -2, -1, 0, 1, 2, 3, 4])
    assert.deepEqual(values(folder), [1, 1, 1, 1, 2, 2, 3, 3])
    await logOnce(run(-2), -2, [4])
    assert.deepEqual(
      [steps(folder), values(folder)],
      [
        [-3, -2],
        [1, 4],
      ],
    )
    await logOnce(run(100), 5, [5])
    assert.deepEqual(steps(folder), [-3, -2, 5])
    assert.equal(steps(folder, true).length, 13)
    const last = startLogging({ dir, resume: 'r' })
    last.log({ loss: 6 })
    await last.finish()
    assert.equal(steps(folder).at(-1), 6)
  })

  test('a rewind stands in the journal before start returns, ahead of all that follows it', async (context) => {
    const dir = temporaryFolder(context)
    const { folder } = await logOnce({ dir, backend: 'local', runId: 'r' }, 0, [1, 1])
    const run = startLogging({ dir, resume: { runId: 'r', fromStep: 1 } })
    const kinds = readJournal(folder).records.map(({ kind }) => kind)
    assert.equal(
      kinds.findLast((kind) => kind !== 'state'),
      'rewind',
    )
    await run.finish()
    const all = readJournal(folder).records.map(({ kind }) => kind)
    assert.deepEqual(all.slice(-3), ['rewind', 'state', 'state'])
  })

  const attachedLog = (handle: RunHandle) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: handle })
    const done = new Promise<void>((resolve, reject) => {
      worker.on('message', () => resolve())
      worker.on('error', reject)
    })
    return { handle, done }
  }
} else {
  const run = attachRun(workerData as RunHandle)
  run.log({ attached: 1 })
  await run.flush()
  parentPort!.postMessage('logged')
}
