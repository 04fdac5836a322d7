import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openRun } from '../../src/index.ts'
import { runProgram, temporaryFolder } from './program.ts'

const ENDS = [
  ['null', 'finished'],
  ["'done'", 'finished'],
  ['{ deadlineMs: 0 }', 'finished'],
  ['undefined, null', 'finished'],
  ["'failed', { deadlineMs: NaN }", 'failed'],
  ["'killed', { deadlineMs: 'soon' }", 'killed'],
] as const

for (const [given, outcome] of ENDS) {
  test(`finish(${given}) ends the run as ${outcome}, and its neighbours go on`, async (context) => {
    const folder = temporaryFolder(context)
    const { code, stdout, stderr } = await runProgram(
      folder,
      async ({ startLogging }, { folder: dir, args }) => {
        const options = { dir, backend: 'local', finishDeadlineMs: 3000 }
        const ended = startLogging({ ...options, runId: 'ended' })
        const other = startLogging({ ...options, runId: 'other' })
        ended.log({ loss: 1 })
        const end = new Function('run', `return run.finish(${args[0]})`)
        await end(ended)
        for (let step = 0; step < 100; step++) other.log({ loss: step }, { step })
        await other.flush(null as never)
        console.log(other.stats().journaled)
        await other.finish()
      },
      [given],
    )
    assert.equal(code, 0, stderr)
    assert.equal(stdout.trim(), '100')
    assert.doesNotMatch(stderr, /ERR_DRAIN_RESTARTED/)
    assert.equal(openRun('ended', { dir: folder }).state().state, outcome)
    assert.equal(openRun('other', { dir: folder }).history('loss').value.length, 100)
    const isUsual = given.startsWith('null') || given.startsWith('undefined')
    if (isUsual) assert.equal(stderr, '')
    else assert.match(stderr, /ERR_OPTION: finish\(\)/)
  })
}
