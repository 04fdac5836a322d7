import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Resume, startLogging } from '../../../src/index.ts'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { readRunFile } from '../../../src/pipeline/store/run-file.ts'
import { manyRuns, POINTS_PER_RUN } from '../../pipeline/delivery/many-runs.ts'
import { fakeModule } from '../../pipeline/delivery/run-folder.ts'
import { temporaryFolder } from '../../run/program.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { FakeMlflow } from '../../sinks/mlflow/fake-server.ts'
import { readEvents } from '../../sinks/tensorboard/read-events.ts'
import { tracelet, traceletWith } from '../run-cli.ts'

test('--to sends the whole history of an old run to a new destination, once, and writes it down', async (context) => {
  const root = temporaryFolder(context)
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const run = startLogging({
    dir: root,
    runId: 'old',
    backend: 'local',
    expName: 'study',
    params: { lr: 0.1 },
  })
  for (let step = 0; step < 300; step++) run.log({ loss: step / 4 }, { step })
  await run.finish()
  const openedAt = readRunFile(run.info.folder).openedAt
  const args = ['sync', 'old', '--to', 'mlflow:team', '--to-option', `uri=${fake.uri}`, '--json']
  const sent = await tracelet(root, ...args)
  assert.equal(sent.code, 0, sent.stderr)
  const { destinations } = JSON.parse(sent.stdout).runs[0]
  assert.deepEqual(Object.keys(destinations), ['mlflow:team'])
  const { delivered, sent: news, alreadyThere } = destinations['mlflow:team']
  assert.deepEqual([delivered, news.points, alreadyThere.points], [300, 300, 0])
  const [remote] = [...fake.store.runs.values()]
  assert.equal(remote!.status, 'FINISHED')
  const file = readRunFile(run.info.folder)
  assert.equal(file.openedAt, openedAt)
  assert.deepEqual(
    file.destinations.map(({ name }) => name),
    ['local', 'mlflow:team'],
  )
  const before = readFileSync(join(run.info.folder, 'run.json'))
  const requests = new Map(fake.requests)
  const again = await tracelet(root, ...args)
  assert.equal(again.code, 0)
  assert.deepEqual(JSON.parse(again.stdout).totals.sent, { points: 0, records: 0 })
  assert.deepEqual(readFileSync(join(run.info.folder, 'run.json')), before)
  assert.deepEqual(fake.requests, requests)
  const plain = await tracelet(root, 'sync', 'old')
  assert.match(plain.stdout, /^ +mlflow:team +300 +0 +300 /m)
})

test('--to a backend that keeps first values sends what counts of a run that has gone back, not what it superseded', async (context) => {
  const root = temporaryFolder(context)
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const log = async (resume: Resume | undefined, steps: number, value: number) => {
    const from = typeof resume === 'object' ? resume.fromStep! : 0
    const run = startLogging({ dir: root, backend: 'local', ...(resume ? { resume } : { runId: 'back' }) })
    for (let step = from; step < steps; step++) run.log({ loss: value }, { step })
    await run.finish()
  }
  await log(undefined, 30, 1)
  await log({ runId: 'back', fromStep: 20 }, 40, 2)
  await log({ runId: 'back', fromStep: 10 }, 15, 3)
  const words = ['sync', 'back', '--to', 'mlflow', '--to-option', `uri=${fake.uri}`, '--json']
  const sent = await tracelet(root, ...words)
  assert.equal(sent.code, 0, sent.stderr)
  assert.match(sent.stderr, /went back to step 10 before anything of it was sent to MLflow/)
  const { delivered, filtered } = JSON.parse(sent.stdout).runs[0].destinations.mlflow
  assert.deepEqual([delivered, filtered], [15, 40])
  const { step, value } = [...fake.store.runs.values()][0]!.metrics.get('loss')!
  const order = Array.from(step, (_, at) => at).sort((a, b) => step[a]! - step[b]!)
  assert.deepEqual(
    order.map((at) => [step[at], value[at]]),
    Array.from({ length: 15 }, (_, at) => [at, at < 10 ? 1 : 3]),
  )
  // from now on what is there stays
  await log({ runId: 'back', fromStep: 12 }, 17, 4)
  const again = await tracelet(root, 'sync', 'back', '--json')
  assert.equal(again.code, 0, again.stderr)
  const after = JSON.parse(again.stdout).runs[0].destinations.mlflow
  assert.deepEqual([after.sent.points, after.delivered, after.filtered], [2, 17, 43])
})

test('--to another address under the same name begins there anew, and back at the first one nothing is sent', async (context) => {
  const root = temporaryFolder(context)
  const servers = await Promise.all([IdentityServer.start(), IdentityServer.start()])
  context.after(() => Promise.all(servers.map((server) => server.stop())))
  const [folder] = manyRuns(root, 1, {})
  const to = (url: string) =>
    tracelet(
      root,
      ...['sync', folder!, '--to', 'identity', '--to-option', `module=${fakeModule('identity')}`],
      ...['--to-option', `url=${url}`, '--json'],
    )
  const sent: number[] = []
  for (const { url } of [servers[0], servers[1], servers[0]]) {
    const { code, stdout, stderr } = await to(url)
    assert.equal(code, 0, stderr)
    sent.push(JSON.parse(stdout).totals.sent.points)
  }
  assert.deepEqual(sent, [POINTS_PER_RUN, POINTS_PER_RUN, 0])
  for (const { runs } of servers) assert.equal(runs.get('run-00000')?.points.size, POINTS_PER_RUN)
})

test('what the backend takes from its environment counts, many runs go at once, and a live one is told of', async (context) => {
  const root = temporaryFolder(context)
  const folders = manyRuns(root, 6, {})
  const logDir = join(root, 'events')
  const writer = takeGuard(folders[0]!, 'writer')
  const toTensorBoard = () =>
    tracelet(root, 'sync', '--all', '--to', 'tensorboard', '--to-option', `logDir=${logDir}`)
  const first = await toTensorBoard()
  assert.equal(first.code, 1)
  assert.match(first.stderr, new RegExp(`run-00000: ERR_RUN_BUSY: process ${process.pid} .* writes this run`))
  assert.match(first.stdout, /^ +tensorboard +100 +100 +0 /m)
  writer.release()
  const second = await toTensorBoard()
  assert.equal(second.code, 0, second.stderr)
  assert.match(second.stdout, /^ +tensorboard +120 +20 +100 /m)
  for (let index = 0; index < 6; index++) {
    const values = readEvents(join(logDir, `run-0000${index}`)).filter(({ value }) => value !== undefined)
    assert.equal(values.length, POINTS_PER_RUN)
  }
  const fake = await FakeMlflow.start()
  context.after(() => fake.stop())
  const environment = { MLFLOW_TRACKING_URI: fake.uri }
  const third = await traceletWith(root, environment, 'sync', folders[0]!, '--to', 'mlflow')
  assert.equal(third.code, 0, third.stderr)
  assert.equal(fake.store.runs.size, 1)
})

test('a run whose run.json is damaged is sent as its copy says, which is told once', async (context) => {
  const root = temporaryFolder(context)
  const server = await IdentityServer.start()
  context.after(() => server.stop())
  const folders = manyRuns(root, 2, { identity: server.url })
  const damage = () => folders.map((folder) => writeFileSync(join(folder, 'run.json'), '{'))
  const other = ['--to', 'identity:other', '--to-option', `module=${fakeModule('identity')}`]
  for (const words of [
    ['sync', '--all'],
    ['sync', folders[0]!, ...other, '--to-option', `url=${server.url}`],
  ]) {
    damage()
    const { stderr } = await tracelet(root, ...words)
    const told = stderr.match(/run\.json is damaged \(it is not JSON\): going on from its copy/g)
    assert.equal(told?.length, words.includes('--all') ? 2 : 1, stderr)
  }
  assert.equal(server.runs.get('run-00001')?.points.size, POINTS_PER_RUN)
})

test('what is wrong with --to is told before anything is written', async (context) => {
  const root = temporaryFolder(context)
  const [folder] = manyRuns(root, 1, {})
  const before = readFileSync(join(folder!, 'run.json'))
  const wrong: [string[], number, RegExp][] = [
    [['--to', 'mlfow'], 1, /ERR_BACKEND_UNKNOWN.*did you mean 'mlflow'\?/],
    [['--to', 'mlflow', '--to-option', 'url=x'], 1, /ERR_OPTION.*did you mean 'uri'\?/],
    [['--to', 'mlflow', '--to-option', 'uri'], 2, /KEY=VALUE/],
    [['--to-option', 'uri=x'], 2, /needs --to/],
    [
      ['--to', 'mlflow', '--to-option', 'token=abc123'],
      2,
      /no place for a secret: set MLFLOW_TRACKING_TOKEN/,
    ],
  ]
  for (const [args, code, message] of wrong) {
    const told = await tracelet(root, 'sync', folder!, ...args)
    assert.equal(told.code, code, told.stderr)
    assert.match(told.stderr, message)
    assert.doesNotMatch(told.stderr, /abc123/)
  }
  assert.deepEqual(readFileSync(join(folder!, 'run.json')), before)
})

test('a destination that would append to the files of another of the run is refused', async (context) => {
  const root = temporaryFolder(context)
  const logDir = join(root, 'events')
  const run = startLogging({ dir: root, runId: 'shown', backend: { tensorboard: { logDir } } })
  run.log({ loss: 1 }, { step: 1 })
  await run.finish()
  const told = await tracelet(
    root,
    ...['sync', 'shown', '--to', 'tensorboard:b', '--to-option', `logDir=${logDir}`],
  )
  assert.equal(told.code, 1)
  assert.match(told.stderr, /ERR_OPTION: .* would write the same files/)
})
