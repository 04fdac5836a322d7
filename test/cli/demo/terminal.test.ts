import assert from 'node:assert/strict'
import { test } from 'node:test'
import { temporaryFolder } from '../../run/program.ts'
import { tracelet } from '../run-cli.ts'
import { CTRL_C, inTerminal } from '../terminal.ts'

test('the demo in a terminal shows its progress and leaves only the report', async (context) => {
  const root = temporaryFolder(context)
  const shown = await inTerminal(context, root, ['demo', '--steps', '400'], { columns: 110 })
  if (shown === undefined) return
  assert.equal(shown.code, 0, shown.screen)
  assert.match(shown.screen, /training ━*─* +\d+ % {2}\d+\/400 steps/)
  const left = shown.lines.join('\n')
  assert.match(left, /^every point is accounted for$/m)
  assert.doesNotMatch(left, /━|steps\/s/)
})

test('Ctrl-C in the demo ends it, and what it had logged is kept', async (context) => {
  const root = temporaryFolder(context)
  const shown = await inTerminal(context, root, ['demo', '--steps', '100000'], {
    columns: 110,
    steps: [['steps/s', CTRL_C]],
  })
  if (shown === undefined) return
  assert.deepEqual([shown.code, shown.signal], [null, 'SIGINT'])
  const { stdout } = await tracelet(root, 'ls', '--json')
  const [run] = JSON.parse(stdout)
  assert.equal(run.state, 'died')
  assert.ok(run.points > 0)
})
