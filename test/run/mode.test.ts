/** `mode`: a run that is sent later, and one that is not there at all. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AttachedRun } from '../../src/run/handle.ts'
import { Run } from '../../src/run/run.ts'
import { syncRun } from '../pipeline/delivery/sync-run.ts'
import { onlyRun, readJournal } from './journaled.ts'
import { runProgram, temporaryFolder } from './program.ts'

test('an offline run is journaled, says at once how it is sent, and sync sends it once', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const run = startLogging({
      mode: 'offline',
      backend: { tensorboard: {}, mlflow: { uri: 'http://127.0.0.1:1' } },
    })
    for (let step = 0; step < 100; step++) run.log({ loss: step }, { step })
    const began = performance.now()
    const stats = await run.finish()
    process.stdout.write(JSON.stringify({ stats, ms: performance.now() - began }))
  })
  assert.equal(ended.code, 0, ended.stderr)
  const runFolder = onlyRun(folder)
  const { stats, ms } = JSON.parse(ended.stdout)
  assert.equal(stats.journaled, 100)
  assert.ok(ms < 2000, `finish() took ${ms} ms`)
  assert.match(
    ended.stderr,
    /offline: nothing was sent to tensorboard, mlflow; send with: npx tracelet sync \//,
  )
  assert.doesNotMatch(ended.stderr, /ERR_/)
  assert.equal(readJournal(runFolder).count, 100)
  const isEventFile = (name: string) => name.includes('tfevents')
  const events = () => readdirSync(runFolder, { recursive: true }).map(String).filter(isEventFile)
  assert.deepEqual(events(), [])
  const synced = await syncRun(runFolder, {
    destinations: ['tensorboard'],
    deadlineMs: 20_000,
    environment: {},
    onMessage: () => {},
  })
  assert.equal(synced.destinations.tensorboard!.delivered, 100)
  assert.equal(events().length, 1)
})

test('an offline run of the local journal alone says nothing', async (context) => {
  const ended = await runProgram(temporaryFolder(context), async ({ startLogging }) => {
    const run = startLogging({ mode: 'offline', backend: 'local' })
    run.log({ loss: 1 })
    await run.finish()
  })
  assert.equal(ended.stderr, '')
})

test('a disabled run has every method of a run, touches no file and counts nothing', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(
    folder,
    async (tracelet, { folder }) => {
      const { startLogging, getActiveRun, attachRun, SummaryWriter } = tracelet
      const run = startLogging({ dir: `${folder}/runs`, params: { lr: 1 }, tags: ['a'] })
      if (getActiveRun() !== run) throw new Error('not the active run')
      run.log({ loss: 1, bad: 'x' as never }, { step: 0.5 })
      run.metric('loss').log(1, 2)
      run.setNotes('n')
      run.defineMetric('loss', { summary: 'nonsense' as never })
      run.logText('t', 'x')
      new SummaryWriter().addScalar('s', 1)
      run.useArtifact('data:v1')
      run.alert('a', 'b')
      await run.logFile('/nowhere')
      await run.logCode('/nowhere')
      const taken = await run.logArtifact('/nowhere')
      const handle = structuredClone(run.handle())
      const attached = attachRun(handle)
      attached.log({ loss: 1 })
      const flushed = await attached.flush()
      await run.flush()
      const stats = run.stats()
      const child = startLogging({ parent: run })
      await child.finish()
      const isParentActive = getActiveRun() === run
      await run.finish()
      process.stdout.write(
        JSON.stringify({ stats, taken, flushed, isParentActive, id: run.id, folder: run.info.folder }),
      )
    },
    [],
    { TRACELET_MODE: 'disabled', TRACELET_BACKEND: 'no-such-backend' },
  )
  assert.equal(ended.code, 0, ended.stderr)
  assert.equal(ended.stderr, '')
  const { stats, taken, flushed, isParentActive, id, folder: runFolder } = JSON.parse(ended.stdout)
  assert.equal(stats.accepted + stats.journaled + stats.refused + stats.records.accepted, 0)
  assert.deepEqual(stats.destinations, {})
  assert.equal(taken.status, 'taken')
  assert.equal(flushed, true)
  assert.equal(isParentActive, true)
  assert.equal(runFolder, join(folder, 'runs', 'default', id))
  assert.equal(existsSync(join(folder, 'runs')), false)
})

test('what a disabled run can be asked is what a run can be asked', async (context) => {
  const methods = [Run, AttachedRun].map((one) => [
    ...new Set(
      [one.prototype, Object.getPrototypeOf(one.prototype)].flatMap((proto) =>
        Reflect.ownKeys(proto).map(String),
      ),
    ),
  ])
  // protected: between a run and its logger
  const inner = new Set(['constructor', 'record', 'mark'])
  const ended = await runProgram(temporaryFolder(context), ({ startLogging, attachRun }) => {
    const run = startLogging({ mode: 'disabled' })
    const keys = [run, attachRun(run.handle())].map((one) => Reflect.ownKeys(one).map(String))
    process.stdout.write(JSON.stringify(keys))
  })
  const keys = JSON.parse(ended.stdout) as string[][]
  for (const [index, wanted] of methods.entries()) {
    assert.deepEqual(
      wanted.filter((name) => !inner.has(name) && !keys[index]!.includes(name)),
      [],
    )
    assert.ok(wanted.length > 15)
  }
})

test('an unknown mode is refused at the start', async (context) => {
  const ended = await runProgram(
    temporaryFolder(context),
    ({ startLogging }) => {
      startLogging()
    },
    [],
    { TRACELET_MODE: 'of' },
  )
  assert.equal(ended.code, 1)
  assert.match(ended.stderr, /TRACELET_MODE must be one of online, offline, disabled/)
})

test('run.json says who started the run and with which program', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const run = startLogging()
    await run.finish()
    process.stdout.write(JSON.stringify([run.info.user, run.info.program, process.argv[1]]))
  })
  const [user, program, argument] = JSON.parse(ended.stdout)
  const { run } = JSON.parse(readFileSync(join(onlyRun(folder), 'run.json'), 'utf8'))
  assert.equal(typeof user, 'string')
  assert.equal(program, argument)
  assert.deepEqual([run.user, run.program], [user, program])
})
