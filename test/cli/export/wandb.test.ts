/** A run as W&B's own files: as which run, and with the rows that an offline run has. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openRun, startLogging } from '../../../src/index.ts'
import { temporaryFolder } from '../../run/program.ts'
import { logsOf, readLog, rowsOf, textOf } from '../../sinks/wandb/offline/read-log.ts'
import { traceletWith } from '../run-cli.ts'
import { finishedRun } from '../runs.ts'
import { treeOf } from './tree.ts'

/** Of the machine's own settings nothing counts. */
const NOTHING_ELSE = {
  ...{ WANDB_API_KEY: '', WANDB_ENTITY: '', WANDB_PROJECT: '', WANDB_RUN_ID: '', WANDB_NAME: '' },
  ...{ WANDB_MODE: '', WANDB_DIR: '', WANDB_NOTES: '', WANDB_TAGS: '', WANDB_JOB_TYPE: '' },
}
const WANDB = ['--format', 'wandb']

/** Project and entity that a file names first. */
function placeIn(path: string): (string | undefined)[] {
  const { message } = readLog(path).records.find(({ kind }) => kind === 'run')!
  return [textOf(message, 3), textOf(message, 2)]
}

test('a run that never knew of W&B is written as its files, row by row, with its end', async (context) => {
  const root = temporaryFolder(context)
  const out = temporaryFolder(context)
  const folder = await finishedRun(root, 'r', { params: { lr: 0.5 }, project: 'vision' })
  const before = treeOf(folder)
  const told = await traceletWith(root, NOTHING_ELSE, 'export', 'r', ...WANDB, '--out', out)
  assert.equal(told.code, 0, told.stderr)
  const [log, ...others] = logsOf(out, 'r')
  assert.deepEqual(others, [])
  assert.match(told.stdout, new RegExp(`with: wandb sync ${join(log!, '..')}$`, 'm'))
  const { records, isTorn } = readLog(log!)
  assert.deepEqual([isTorn, records.at(-1)!.kind], [false, 'exit'])
  const { value } = openRun('r', { dir: root }).history('hole')
  assert.deepEqual(
    rowsOf(records).map(({ hole }) => hole),
    [...value],
  )
  assert.deepEqual(placeIn(log!), ['vision', undefined])
  assert.deepEqual(treeOf(folder), before)
  const again = await traceletWith(root, NOTHING_ELSE, 'export', 'r', ...WANDB, '--out', out)
  assert.equal(again.code, 1)
  assert.match(again.stderr, /ERR_EXPORT_EXISTS/)
})

test('it is the run that it is at W&B, over what the environment says; the command line stands over both', async (context) => {
  const root = temporaryFolder(context)
  const wandb = { project: 'theirs', entity: 'ann', runId: 'own-id', mode: 'offline' }
  const dir = temporaryFolder(context)
  const run = startLogging({
    ...{ dir: root, runId: 'r', quiet: true },
    backend: { wandb, 'wandb-offline': { dir, project: 'theirs', entity: 'ann', runId: 'own-id' } },
  })
  run.log({ loss: 1 }, { step: 0 })
  await run.finish()
  const environment = { ...NOTHING_ELSE, WANDB_ENTITY: 'shell', WANDB_RUN_ID: 'shell' }
  const [first, second] = [temporaryFolder(context), temporaryFolder(context)]
  const same = await traceletWith(root, environment, 'export', 'r', ...WANDB, '--out', first)
  assert.equal(same.code, 0, same.stderr)
  assert.deepEqual(placeIn(logsOf(first, 'own-id')[0]!), ['theirs', 'ann'])
  const words = [...WANDB, '--option', 'entity=bob', '--option', 'runId=other', '--out', second]
  const other = await traceletWith(root, environment, 'export', 'r', ...words)
  assert.equal(other.code, 0, other.stderr)
  assert.deepEqual(placeIn(logsOf(second, 'other')[0]!), ['theirs', 'bob'])
})
