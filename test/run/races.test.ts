/** Who may write a run when several want to: one process at a time, and what it wrote is there once. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Run, startLogging, type TraceletError } from '../../src/index.ts'
import { readJournal, valuesOf } from './journaled.ts'
import { startProgram, temporaryFolder } from './program.ts'

const RACERS = 4
const WAIT_MS = 60_000

/** As soon as nobody else writes the run. */
async function whenFree(start: () => Run): Promise<Run> {
  for (const until = Date.now() + WAIT_MS; ; await sleep(5)) {
    try {
      return start()
    } catch (error) {
      if ((error as TraceletError).code !== 'ERR_RUN_BUSY' || Date.now() > until) throw error
    }
  }
}

test('of several processes that start or resume one run at once exactly one gets it', async (context) => {
  const root = temporaryFolder(context)
  for (const isThere of [false, true]) {
    const at = String(Date.now() + 700)
    const racers = Array.from({ length: RACERS }, (_, index) =>
      startProgram(
        root,
        async ({ startLogging }, { args }) => {
          const { readdirSync, writeFileSync } = await import('node:fs')
          const [at, index, isThere, racers] = args
          while (Date.now() < Number(at));
          try {
            const run = startLogging(isThere === 'true' ? { resume: 'r' } : { runId: 'r' })
            run.log({ [`racer${index}`]: 1 }, { step: 1 })
            await run.flush()
            console.log('won')
            const haveTried = () => readdirSync('.').filter((name) => name.startsWith(`tried-${at}`)).length
            while (haveTried() < Number(racers) - 1) await new Promise((resolve) => setTimeout(resolve, 20))
            await run.finish()
          } catch (error) {
            console.log((error as { code: string }).code)
            writeFileSync(`tried-${at}-${index}`, '')
          }
        },
        [at, String(index), String(isThere), String(RACERS)],
      ),
    )
    const ended = await Promise.all(racers.map(({ ended }) => ended))
    const said = ended.map(({ stdout }) => stdout.trim()).sort()
    assert.deepEqual(
      said,
      [...Array(RACERS - 1).fill('ERR_RUN_BUSY'), 'won'],
      ended.map(({ stderr }) => stderr).join(),
    )
    const { count, states } = readJournal(join(root, 'default', 'r'))
    assert.deepEqual([count, states.length], isThere ? [2, 4] : [1, 2])
  }
})

test('a run is resumed while its process is being killed: what was flushed is there, all of it once', async (context) => {
  const root = temporaryFolder(context)
  const folder = join(root, 'default', 'r')
  for (let life = 0; life < 4; life++) {
    const program = startProgram(
      root,
      async ({ startLogging }) => {
        const run = startLogging({ runId: 'r' })
        const first = 1 + (globalThis as never as { first: number }).first
        for (let value = first; ; value++) {
          run.log({ loss: value }, { step: value })
          if (value % 100 === 0) await run.flush()
          if (value === first + 500) console.log('flushed')
        }
      },
      [],
      { NODE_OPTIONS: `--import=data:text/javascript,globalThis.first=${life * 1_000_000}` },
    )
    await program.said('flushed')
    program.child.kill('SIGKILL')
    const run = await whenFree(() => startLogging({ dir: root, resume: 'r', backend: 'local' }))
    run.log({ ours: life }, { step: life })
    await run.finish()
    await program.ended
    const journaled = readJournal(folder)
    const values = valuesOf(journaled, 'loss').filter((value) => value > life * 1_000_000)
    assert.ok(values.length >= 500, `${values.length} are there`)
    assert.deepEqual(
      values,
      values.map((_, index) => life * 1_000_000 + 1 + index),
    )
    assert.equal(valuesOf(journaled, 'ours').length, life + 1)
  }
})

test('runs are finished and resumed in one process again and again without loss', async (context) => {
  const dir = temporaryFolder(context)
  for (let life = 0; life < 10; life++) {
    const run = startLogging({ dir, runId: 'r', backend: 'tensorboard' })
    for (let i = 0; i < 100; i++) run.log({ loss: life * 100 + i })
    const stats = await run.finish()
    assert.deepEqual([stats.before.points, stats.journaled], [life * 100, 100])
    const { delivered, pending } = stats.destinations.tensorboard!
    assert.deepEqual([delivered, pending], [(life + 1) * 100, 0])
  }
  const { points } = readJournal(join(dir, 'default', 'r'))
  assert.deepEqual(
    points.get('loss')!.map(({ step, value }) => [step, value]),
    Array.from({ length: 1000 }, (_, at) => [at, at]),
  )
})

test('a process in another container that was frozen for long, and whose run was taken over, writes no more', async (context) => {
  const unshare = ['--pid', '--fork', '--mount-proc', '--kill-child']
  try {
    execFileSync('unshare', [...unshare, 'true'], { stdio: 'ignore' })
  } catch {
    context.skip('needs the right to make a PID namespace')
    return
  }
  const root = temporaryFolder(context)
  const folder = join(root, 'default', 'r')
  const program = join(root, 'frozen.mjs')
  const ending = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
  writeFileSync(
    program,
    `import { startLogging } from ${JSON.stringify(new URL(`../../src/index${ending}`, import.meta.url).href)}
     const run = startLogging({ runId: 'r', dir: ${JSON.stringify(root)}, backend: 'local' })
     let step = 0
     const log = () => { run.log({ theirs: step }, { step }); step++ }
     for (let i = 0; i < 100; i++) log()
     await run.flush()
     console.log('flushed')
     setInterval(log, 5)`,
  )
  const child = spawn('unshare', [...unshare, process.execPath, program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  context.after(() => child.kill('SIGKILL'))
  let said = ''
  const untilSaid = async (text: RegExp) => {
    for (const until = Date.now() + WAIT_MS; !text.test(said); await sleep(20)) {
      assert.ok(Date.now() < until, `it never said ${text}: ${said}`)
    }
  }
  child.stdout.on('data', (text: Buffer) => (said += text))
  child.stderr.on('data', (text: Buffer) => (said += text))
  await untilSaid(/flushed/)
  assert.throws(() => startLogging({ dir: root, resume: 'r' }), { code: 'ERR_RUN_BUSY' })
  const node = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'))
  process.kill(node, 'SIGSTOP')
  const [guard] = readdirSync(join(folder, 'guards')).filter((name) => name.startsWith('writer'))
  const sixMinutesAgo = Date.now() / 1000 - 360
  utimesSync(join(folder, 'guards', guard!), sixMinutesAgo, sixMinutesAgo)
  const run = startLogging({ dir: root, resume: 'r', backend: 'local' })
  for (let step = 0; step < 50; step++) run.log({ ours: step }, { step })
  await run.flush()
  process.kill(node, 'SIGCONT')
  // at its next touch of the guard, 10 s at most
  await untilSaid(/ERR_RUN_BUSY.*another process took run r over/)
  for (let step = 50; step < 100; step++) run.log({ ours: step }, { step })
  await run.finish()
  const journaled = readJournal(folder)
  assert.deepEqual(
    valuesOf(journaled, 'ours'),
    Array.from({ length: 100 }, (_, step) => step),
  )
  const theirs = valuesOf(journaled, 'theirs')
  assert.ok(theirs.length >= 100)
  assert.deepEqual(
    theirs,
    theirs.map((_, step) => step),
  )
  assert.deepEqual(journaled.states, ['running', 'running', 'finished'])
})
