/** The demo as a user starts it, and TensorBoard's own reader afterwards. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openRun } from '../../src/index.ts'
import { peerPython, runPeerScript } from './python.ts'

type Datum = readonly [step: number, wallSeconds: number, float32: string]
const MAIN = fileURLToPath(new URL(`../../src/cli/main${extname(import.meta.url)}`, import.meta.url))

test('TensorBoard finds every scalar the demo reports as delivered, equal to what the journal holds', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const root = mkdtempSync(join(tmpdir(), 'tracelet-demo-'))
  context.after(() => rmSync(root, { recursive: true, force: true }))
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, 'demo', '--steps', '300'], {
    env: { ...process.env, TRACELET_DIR: root },
  })
  const [, runId] = /^run (\S+)$/m.exec(stdout)!
  const [, delivered] = /^ {2}tensorboard +[\d,]+ +([\d,]+) .*✓$/m.exec(stdout)!

  const seen = (await runPeerScript(python, 'read_tensorboard.py', [root])) as {
    runs: Record<string, { classic: Record<string, Datum[]> }>
    experiment: { hparamInfos: { name: string }[] }
  }
  const scalars = seen.runs[`demo/${runId}`]!.classic
  const run = openRun(runId!, { dir: root })
  let points = 0
  for (const { name } of run.series()) {
    const { step, time, value } = run.history(name)
    points += value.length
    const expected = Array.from(value, (each, index) => [step[index], time[index]! / 1000, float32Of(each)])
    assert.deepEqual(scalars[name], expected, name)
  }
  assert.equal(Object.keys(scalars).length, run.series().length)
  assert.equal(points, Number(delivered!.replaceAll(',', '')))
  assert.ok(seen.experiment.hparamInfos.some(({ name }) => name === 'learningRate'))
})

function float32Of(value: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatBE(value)
  return bytes.toString('hex')
}
