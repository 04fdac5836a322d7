import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { openRun, startLogging } from '../../../src/index.ts'
import { segmentName } from '../../../src/pipeline/journal/format.ts'
import { listSegments } from '../../../src/pipeline/journal/segment-file.ts'
import { closeDeadRun } from '../../../src/pipeline/store/close-dead-run.ts'
import { takeGuard } from '../../../src/pipeline/store/guard.ts'
import { readRunFile } from '../../../src/pipeline/store/run-file.ts'
import { readJournal } from '../../run/journaled.ts'
import { type RunningProgram, startProgram, temporaryFolder } from '../../run/program.ts'
import { syncRun } from '../delivery/sync-run.ts'

/** A program that has logged and flushed and lives on. */
async function startTrainer(root: string): Promise<{ folder: string; program: RunningProgram }> {
  const program = startProgram(
    root,
    async ({ startLogging }) => {
      const run = startLogging({ runId: 'dead', backend: 'tensorboard', params: { lr: 0.1 } })
      for (let step = 0; step < 50; step++) run.log({ loss: 1 / (step + 1) }, { step })
      await run.flush()
      console.log('flushed')
      setInterval(() => {}, 1000)
    },
    [],
  )
  await program.said('flushed')
  return { folder: join(root, 'default', 'dead'), program }
}

async function kill({ child, ended }: RunningProgram): Promise<void> {
  child.kill('SIGKILL')
  await ended
}

/** The folder of a run whose process was killed. */
async function deadRun(test: TestContext): Promise<string> {
  const { folder, program } = await startTrainer(temporaryFolder(test))
  await kill(program)
  return folder
}

const contentOf = (folder: string) =>
  listSegments(folder).map((number) => readFileSync(join(folder, segmentName(number))))

test('a run whose process was killed is closed as killed, at the time of its last point, once', async (test) => {
  const folder = await deadRun(test)
  const before = readJournal(folder)
  assert.equal(openRun(folder).state().state, 'running')
  const since = Date.now()
  assert.equal(closeDeadRun(folder), 'closed')
  const { state, time } = openRun(folder).state()
  assert.equal(state, 'killed')
  assert.equal(time, openRun(folder).history('loss').time.at(-1))
  assert.ok(time < since, 'not when it was found dead')
  assert.equal(readRunFile(folder).state, 'killed')
  const after = readJournal(folder)
  assert.deepEqual([after.states, after.count], [['running', 'killed'], before.count])
  assert.deepEqual(
    readdirSync(join(folder, 'guards')).filter((name) => name.startsWith('writer')),
    [],
  )
  const bytes = contentOf(folder)
  assert.equal(closeDeadRun(folder), 'ended')
  assert.deepEqual(contentOf(folder), bytes)
})

test('what was closed goes to the backend with the next delivery, and nothing more after that', async (test) => {
  const folder = await deadRun(test)
  const options = { deadlineMs: 30_000, environment: {} }
  const before = readJournal(folder).records.length
  assert.equal(closeDeadRun(folder), 'closed')
  const synced = await syncRun(folder, options)
  const { complete, pending, records } = synced.destinations.tensorboard!
  assert.deepEqual([complete, pending, records.pending], [true, 0, 0])
  assert.equal(synced.recordsJournaled, before + 1)
  assert.equal(records.delivered, synced.recordsJournaled)
  const eventFile = readdirSync(folder).find((name) => name.includes('tfevents'))!
  const bytes = readFileSync(join(folder, eventFile))
  assert.ok(bytes.includes('killed'), 'the event file has no word of the end')
  await syncRun(folder, options)
  assert.deepEqual(readFileSync(join(folder, eventFile)), bytes)
})

test('a run that a process writes is left alone, in this process and in another', async (test) => {
  const root = temporaryFolder(test)
  const { folder, program } = await startTrainer(root)
  const bytes = contentOf(folder)
  assert.equal(closeDeadRun(folder), 'alive')
  const copy = join(root, 'default', 'copy')
  cpSync(folder, copy, { recursive: true })
  assert.equal(closeDeadRun(copy), 'alive', 'a copy of what is being written')
  assert.deepEqual([contentOf(folder), contentOf(copy)], [bytes, bytes])
  await kill(program)
  assert.equal(closeDeadRun(copy), 'closed')
  const run = startLogging({ dir: root, runId: 'mine', backend: 'local' })
  await run.flush()
  assert.equal(closeDeadRun(run.info.folder), 'alive')
  await run.finish()
  assert.equal(closeDeadRun(run.info.folder), 'ended')
})

test('a run of another machine is left alone until its guard was not touched for five minutes', async (test) => {
  const folder = await deadRun(test)
  const path = plantForeignGuard(folder)
  assert.equal(closeDeadRun(folder), 'alive')
  const sixMinutesAgo = Date.now() / 1000 - 360
  utimesSync(path, sixMinutesAgo, sixMinutesAgo)
  assert.equal(closeDeadRun(folder), 'closed')
})

test('a torn end is neither read nor written over; the last whole point tells the time', async (test) => {
  const folder = await deadRun(test)
  const [number] = listSegments(folder)
  const path = join(folder, segmentName(number!))
  const { size } = statSync(path)
  const bytes = readFileSync(path)
  writeFileSync(path, Buffer.concat([bytes, bytes.subarray(0, 100)]))
  assert.equal(closeDeadRun(folder), 'closed')
  assert.deepEqual(readFileSync(path).subarray(0, size), bytes)
  assert.equal(openRun(folder).state().time, openRun(folder).history('loss').time.at(-1))
  readJournal(folder)
})

test('a run of which nothing but the beginning is left ends when it began', async (test) => {
  const folder = await deadRun(test)
  const [number] = listSegments(folder)
  const path = join(folder, segmentName(number!))
  // behind the first record, whatever its length
  for (let bytes = statSync(path).size; readJournal(folder).count > 0; bytes -= 8) truncateSync(path, bytes)
  assert.equal(closeDeadRun(folder), 'closed')
  assert.equal(openRun(folder).state().time, readRunFile(folder).run.createdAt)
})

test('points that came after the end leave a run ended', async (test) => {
  const run = startLogging({ dir: temporaryFolder(test), backend: 'local' })
  await run.finish('failed')
  for (let step = 0; step < 20_000; step++) run.log({ late: step }, { step })
  await run.flush()
  // of the process that wrote them nothing is left but the journal
  const copy = join(temporaryFolder(test), 'copy')
  cpSync(run.info.folder, copy, { recursive: true, filter: (path) => !path.includes('guards') })
  assert.equal(closeDeadRun(copy), 'ended')
  assert.equal(openRun(copy).state().state, 'failed')
})

test('a time that the user gave a point is not believed beyond the run’s own time', async (test) => {
  for (const [given, bound] of [
    [86_400_000, 'start'],
    [Date.now() + 86_400_000, 'now'],
  ] as const) {
    const root = temporaryFolder(test)
    const program = startProgram(
      root,
      async ({ startLogging }, { args }) => {
        const run = startLogging({ runId: 'dead' })
        run.log({ loss: 1 }, { step: 1, time: Number(args[0]) })
        await run.flush()
        process.kill(process.pid, 'SIGKILL')
      },
      [String(given)],
    )
    await program.ended
    const folder = join(root, 'default', 'dead')
    assert.equal(closeDeadRun(folder), 'closed')
    const { time } = openRun(folder).state()
    const { createdAt } = readRunFile(folder).run
    if (bound === 'start') assert.equal(time, createdAt)
    else assert.ok(time >= createdAt && time <= Date.now())
  }
})

test('a folder in which nothing was journaled is left as it is', (test) => {
  const folder = temporaryFolder(test)
  assert.equal(closeDeadRun(folder), 'empty')
  assert.deepEqual(readdirSync(folder), [])
})

test('of many that find a run dead exactly one closes it', async (test) => {
  const folder = await deadRun(test)
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  const url = new URL(`../../../src/pipeline/store/close-dead-run${ending}`, import.meta.url).href
  const workers = Array.from(
    { length: 6 },
    () =>
      new Worker(
        `import { parentPort } from 'node:worker_threads'
         import { closeDeadRun } from ${JSON.stringify(url)}
         parentPort.postMessage(closeDeadRun(${JSON.stringify(folder)}))`,
        { eval: true, execArgv: ['--input-type=module'] },
      ),
  )
  const answers = (await Promise.all(workers.map((worker) => once(worker, 'message')))).flat()
  assert.equal(answers.filter((answer) => answer === 'closed').length, 1, answers.join())
  assert.deepEqual(readJournal(folder).states, ['running', 'killed'])
})

function plantForeignGuard(folder: string): string {
  const model = takeGuard(join(folder, '..', 'model'), 'writer')
  const content = JSON.parse(readFileSync(model.path, 'utf8'))
  model.release()
  mkdirSync(join(folder, 'guards'), { recursive: true })
  const path = join(folder, 'guards', 'writer.7.json')
  writeFileSync(path, '')
  const inode = String(statSync(path, { bigint: true }).ino)
  writeFileSync(path, JSON.stringify({ ...content, inode, host: 'other/other', boot: 'another' }))
  return path
}
