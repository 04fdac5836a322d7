/** However a process ends: its exit code is its own, its last points are in the journal, its state is told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onlyRun, readJournal, valuesOf } from './journaled.ts'
import { runProgram, startProgram, temporaryFolder } from './program.ts'

const POINTS = 1000
const EXPECTED = Array.from({ length: POINTS }, (_, i) => i / 3)

function journaled(folder: string) {
  return readJournal(onlyRun(folder))
}

test('the natural end without finish(): delivered, finished, exit code 0', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging({ params: { lr: 0.1 } })
    for (let i = 0; i < 1000; i++) run.log({ loss: i / 3 }, { step: i })
  })
  assert.deepEqual({ ...ended, ms: 0 }, { code: 0, signal: null, stdout: '', stderr: '', ms: 0 })
  const { states, params } = journaled(folder)
  assert.deepEqual(valuesOf(journaled(folder), 'loss'), EXPECTED)
  assert.deepEqual(states, ['running', 'finished'])
  assert.deepEqual(params, { lr: 0.1 })
})

test('the natural end with process.exitCode set: failed, and the code stays', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    startLogging().log({ loss: 1 })
    process.exitCode = 5
  })
  assert.equal(ended.code, 5)
  assert.deepEqual(journaled(folder).states, ['running', 'failed'])
})

test('process.exit(3) in the middle of a burst: everything logged is journaled', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    const loss = run.metric('loss')
    for (let i = 0; i < 1000; i++) loss.log(i, i / 3)
    process.exit(3)
  })
  assert.equal(ended.code, 3)
  assert.equal(ended.stdout, '')
  assert.deepEqual(valuesOf(journaled(folder), 'loss'), EXPECTED)
  assert.deepEqual(journaled(folder).states, ['running', 'failed'])
})

test('process.exit(0) is a finished run', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    startLogging().log({ loss: 1 })
    process.exit(0)
  })
  assert.equal(ended.code, 0)
  assert.deepEqual(journaled(folder).states, ['running', 'finished'])
})

test('an uncaught error: its own report and code 1, everything journaled, failed', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    for (let i = 0; i < 1000; i++) run.log({ loss: i / 3 }, { step: i })
    setTimeout(() => {
      throw new Error('out of memory, say')
    }, 5)
  })
  assert.equal(ended.code, 1)
  assert.match(ended.stderr, /Error: out of memory, say/)
  assert.deepEqual(valuesOf(journaled(folder), 'loss'), EXPECTED)
  assert.deepEqual(journaled(folder).states, ['running', 'failed'])
})

test('an unhandled rejection: its own report and code 1, everything journaled, failed', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    for (let i = 0; i < 1000; i++) run.log({ loss: i / 3 }, { step: i })
    void Promise.reject(new Error('nobody waits for me'))
  })
  assert.equal(ended.code, 1)
  assert.match(ended.stderr, /Error: nobody waits for me/)
  assert.deepEqual(valuesOf(journaled(folder), 'loss'), EXPECTED)
  assert.deepEqual(journaled(folder).states, ['running', 'failed'])
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} by default: ends the process at once, at most 20 ms of calls are missing`, async (context) => {
    const missingMs: number[] = []
    // what else runs on the machine can only add to it, so the least of three counts
    for (let attempt = 0; attempt < 3 && !(Math.min(...missingMs) <= 25); attempt++) {
      const folder = temporaryFolder(context)
      // every call's step is its time, so that what is missing at the end can be told in ms
      const program = startProgram(folder, ({ startLogging }) => {
        const run = startLogging()
        const loss = run.metric('loss')
        setInterval(() => {
          const until = performance.now() + 4
          while (performance.now() < until) loss.log(Date.now(), 1)
        }, 5)
        setTimeout(() => process.stderr.write('warm\n'), 500)
      })
      await program.said('warm')
      const killedAt = Date.now()
      program.child.kill(signal)
      const ended = await program.ended
      const diedAfterMs = Date.now() - killedAt
      assert.equal(ended.signal, signal)
      assert.equal(ended.code, null)
      assert.ok(diedAfterMs < 5_000, `died after ${diedAfterMs} ms`)
      const { points, states } = journaled(folder)
      const steps = points.get('loss')!.map(({ step }) => step)
      assert.ok(
        steps.every((step, i) => i === 0 || step >= steps[i - 1]!),
        'in order',
      )
      assert.deepEqual(states, ['running'])
      missingMs.push(killedAt - steps.at(-1)!)
    }
    context.diagnostic(`missing: ${missingMs.join(' ')} ms of calls`)
    // 20 ms until the append, and the pause between two bursts
    assert.ok(Math.min(...missingMs) <= 25, `${missingMs} ms of calls are missing`)
  })

  test(`${signal} with signals: true: everything journaled, state killed, the signal still ends the process`, async (context) => {
    const folder = temporaryFolder(context)
    const program = startProgram(folder, ({ startLogging }) => {
      const run = startLogging({ signals: true })
      for (let i = 0; i < 1000; i++) run.log({ loss: i / 3 }, { step: i })
      setInterval(() => undefined, 1000)
      process.stderr.write('warm\n')
    })
    await program.said('warm')
    program.child.kill(signal)
    const ended = await program.ended
    assert.equal(ended.signal, signal)
    assert.equal(ended.stdout, '')
    assert.deepEqual(valuesOf(journaled(folder), 'loss'), EXPECTED)
    assert.deepEqual(journaled(folder).states, ['running', 'killed'])
  })
}

test('a listener of the program for the signal keeps its say', async (context) => {
  const folder = temporaryFolder(context)
  const program = startProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    run.log({ loss: 1 })
    process.on('SIGTERM', () => {
      run.log({ loss: 2 })
      process.exit(9)
    })
    setInterval(() => undefined, 1000)
    process.stderr.write('warm\n')
  })
  await program.said('warm')
  program.child.kill('SIGTERM')
  assert.equal((await program.ended).code, 9)
  assert.deepEqual(valuesOf(journaled(folder), 'loss'), [1, 2])
})

test('main in one synchronous loop from the first call to process.exit: all of it is journaled', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    const run = startLogging()
    const loss = run.metric('loss')
    for (let i = 0; i < 300_000; i++) loss.log(i, i / 3)
    process.exit(0)
  })
  assert.equal(ended.code, 0)
  const values = valuesOf(journaled(folder), 'loss')
  assert.equal(values.length, 300_000)
  assert.ok(values.every((value, i) => value === i / 3))
})

test('two runs of one process both end well', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, ({ startLogging }) => {
    startLogging({ runId: 'one' }).log({ a: 1 })
    startLogging({ runId: 'two' }).log({ a: 2 })
    process.exit(4)
  })
  assert.equal(ended.code, 4)
  assert.deepEqual(valuesOf(readJournal(`${folder}/default/one`), 'a'), [1])
  assert.deepEqual(valuesOf(readJournal(`${folder}/default/two`), 'a'), [2])
  assert.deepEqual(readJournal(`${folder}/default/one`).states, ['running', 'failed'])
})

test('the process ends within 1 s after finish(), and no handle keeps it', async (context) => {
  const lingeringMs: number[] = []
  for (let round = 0; round < 10; round++) {
    const folder = temporaryFolder(context)
    const program = startProgram(folder, async ({ startLogging }) => {
      const run = startLogging({ backend: ['local', 'tensorboard'] })
      for (let i = 0; i < 1000; i++) run.log({ loss: i / 3 }, { step: i })
      await run.finish()
      process.stderr.write('finished\n')
    })
    await program.said('finished')
    const since = performance.now()
    const ended = await program.ended
    lingeringMs.push(performance.now() - since)
    assert.deepEqual([ended.code, ended.stdout, ended.stderr], [0, '', 'finished\n'])
  }
  lingeringMs.sort((a, b) => a - b)
  context.diagnostic(`ms after finish(): ${lingeringMs.map(Math.round).join(' ')}`)
  // what else runs on the machine and its disk can only add to it, but not the time of a timer or a connection
  assert.ok(lingeringMs[0]! < 1000 && lingeringMs.at(-1)! < 10_000, `${lingeringMs} ms`)
})

test('await run.flush() alone at the top level ends with code 0, not as an unsettled await', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const run = startLogging()
    run.log({ loss: 1 })
    const stats = await run.flush()
    if (stats.inRing !== 0 || stats.journaled !== 1) process.exit(20)
  })
  assert.deepEqual([ended.code, ended.stdout, ended.stderr], [0, '', ''])
})

test('a run that is disposed of with `await using` semantics is finished', async (context) => {
  const folder = temporaryFolder(context)
  const ended = await runProgram(folder, async ({ startLogging }) => {
    const run = startLogging()
    run.log({ loss: 1 })
    await run[Symbol.asyncDispose]()
  })
  assert.equal(ended.code, 0)
  assert.deepEqual(journaled(folder).states, ['running', 'finished'])
})
