/** What `tracelet doctor` and `tracelet show` say of a real MLflow server. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { tracelet, traceletWith } from '../cli/run-cli.ts'
import { finishedRun } from '../cli/runs.ts'
import { temporaryFolder } from '../run/program.ts'
import { startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'

test('a real server is told with its version, and a run there with its address', async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const server = await startMlflowServer(python)
  context.after(() => server.stop())
  const root = temporaryFolder(context)
  const environment = { TRACELET_BACKEND: 'mlflow', MLFLOW_TRACKING_URI: server.uri }
  const well = await traceletWith(root, environment, 'doctor')
  assert.equal(well.code, 0, well.stdout)
  assert.match(well.stdout, new RegExp(`✓ server: MLflow \\d+\\.\\d+\\.\\d+ at ${server.uri}`))
  assert.match(well.stdout, /✓ access: the API answers with no credentials/)

  await finishedRun(root, 'sent', { backend: { mlflow: { uri: server.uri } } })
  const run = await tracelet(root, 'doctor', 'sent')
  assert.equal(run.code, 0, run.stdout)
  assert.match(run.stdout, /✓ mlflow: has everything/)
  const shown = await tracelet(root, 'show', 'sent', '--no-plots')
  assert.match(shown.stdout, /^ {2}mlflow +15\d +0 +0 +0$/m)
  assert.match(shown.stdout, new RegExp(`^ {2}mlflow: ${server.uri}/#/experiments/\\d+/runs/\\w+$`, 'm'))
})

test("a real server's check of host names is explained", async (context) => {
  const python = await peerPython(context)
  if (python === undefined) return
  const server = await startMlflowServer(python, { args: ['--allowed-hosts', 'mlflow.example'] })
  context.after(() => server.stop())
  const environment = { TRACELET_BACKEND: 'mlflow', MLFLOW_TRACKING_URI: server.uri }
  const { code, stdout } = await traceletWith(join(temporaryFolder(context), 'runs'), environment, 'doctor')
  assert.equal(code, 1)
  assert.match(stdout, /✗ access: .*--allowed-hosts/)
})
