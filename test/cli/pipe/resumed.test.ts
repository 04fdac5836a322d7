/** `tracelet pipe --resume`: a program that is started anew goes on with its run, or goes back in it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { temporaryFolder } from '../../run/program.ts'
import { tracelet } from '../run-cli.ts'
import { pipeLines, theRun } from './piped.ts'

const lines = (first: number, values: readonly number[]) =>
  values.map((loss, index) => ({ step: first + index, loss }))

test('goes on with the run, and back to a step, which show and tail tell', async (context) => {
  const root = temporaryFolder(context)
  await pipeLines(root, lines(-2, [1, 1, 1, 1]), ['--run-id', 'r'])
  const { code } = await pipeLines(root, [{ loss: 2 }], ['--resume', 'r'])
  assert.equal(code, 0)
  assert.deepEqual([...theRun(root).history('loss').step], [-2, -1, 0, 1, 2])
  await pipeLines(root, lines(-1, [3, 3]), ['--resume', 'r', '--from-step=-1'])
  const { step, value } = theRun(root).history('loss')
  assert.deepEqual(
    [[...step], [...value]],
    [
      [-2, -1, 0],
      [1, 3, 3],
    ],
  )
  const { stdout } = await tracelet(root, 'show', 'r', '--json', '--metric', 'loss')
  const shown = JSON.parse(stdout)
  assert.deepEqual([shown.series[0].points, shown.series[0].history.value], [3, [1, 3, 3]])
  const tail = await tracelet(root, 'tail', 'r', '--from-start')
  assert.match(tail.stdout, /the run goes back: what follows replaces step -1 on\n/)
})

test('refuses what cannot be meant, in words', async (context) => {
  const root = temporaryFolder(context)
  for (const [args, message] of [
    [['--from-step', '5'], /--from-step needs --resume/],
    [['--resume', 'r', '--from-step', 'five'], /--from-step must be an integer .* 'five'/],
    [['--resume', 'r', '--from-step', ' '], /--from-step must be an integer/],
    [['--resume', 'r', '--run-id', 'q'], /'r' and runId 'q'/],
  ] as const) {
    const { code, stderr } = await pipeLines(root, [], args)
    assert.equal(code, 2)
    assert.match(stderr, message)
  }
  const { code, stderr } = await pipeLines(root, [], ['--resume', 'r'])
  assert.equal(code, 1)
  assert.match(stderr, /ERR_RUN_UNKNOWN.*no run 'r'/)
})
