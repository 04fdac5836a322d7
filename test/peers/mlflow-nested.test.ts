import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { startLogging } from '../../src/index.ts'
import { cliCommand, cliEnvironment } from '../cli/run-cli.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readUploads, sha256 } from './read-mlflow-uploads.ts'

interface SeenRun {
  readonly info: { readonly run_id: string; readonly status: string }
  readonly data: { readonly tags: readonly { readonly key: string; readonly value: string }[] }
}

describe('runs at a real MLflow server', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-nested-'))
  let server: MlflowServer | undefined

  after(async () => {
    await server?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })
  async function prepare(test: TestContext) {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    server ??= await startMlflowServer(python)
    return { python, uri: server.uri }
  }

  it('stand below their parents, also grandchildren and those whose parent ends first', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const parent = startLogging({ backend: { mlflow: { uri: peers.uri } }, dir, expName: 'n', runId: 'top' })
    const child = startLogging({ parent, runId: 'child' })
    const grandchild = startLogging({ parent: child, runId: 'grandchild' })
    for (const run of [parent, child, grandchild]) run.log({ loss: 1 })
    for (const run of [parent, child, grandchild]) await run.finish()
    const body = JSON.stringify({ experiment_ids: ['1'], max_results: 10 })
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${peers.uri}/api/2.0/mlflow/runs/search`, { method: 'POST', headers, body })
    const { runs } = (await answer.json()) as { runs: SeenRun[] }
    const tag = ({ data }: SeenRun, key: string) => data.tags.find((one) => one.key === key)?.value
    const named = new Map(runs.map((run) => [tag(run, 'tracelet.run_id'), run]))
    const parentOf = (name: string) => tag(named.get(name)!, 'mlflow.parentRunId')
    assert.equal(runs.length, 3)
    assert.ok(runs.every(({ info }) => info.status === 'FINISHED'))
    assert.deepEqual(
      [parentOf('top'), parentOf('child'), parentOf('grandchild')],
      [undefined, named.get('top')!.info.run_id, named.get('child')!.info.run_id],
    )
  })

  it('come from lines of another program with their files and their model', async (test) => {
    const peers = await prepare(test)
    if (!peers) return
    const weights = join(dir, 'net.bin')
    writeFileSync(weights, 'weights')
    const lines = [
      { type: 'params', params: { lr: 0.1 } },
      { type: 'text', name: 'sample', text: 'ü' },
      { type: 'artifact', path: weights },
      { type: 'model', path: weights, name: 'net', register: 'piped', alias: 'best' },
      ...[1, 2, 3].map((step) => ({ step, loss: 1 / step })),
    ]
    const args = ['pipe', '--backend', 'mlflow', '--exp-name', 'piped', '--run-id', 'piped']
    const [node, ...rest] = cliCommand(...args)
    const child = spawn(node!, rest, {
      env: { ...cliEnvironment(dir), MLFLOW_TRACKING_URI: peers.uri },
      stdio: ['pipe', 'ignore', 'inherit'],
      timeout: 60_000,
    })
    child.stdin.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    assert.deepEqual(await once(child, 'exit'), [0, null])
    const seen = await readUploads(peers.python, peers.uri, 'piped', 'tracelet.run_id', 'piped')
    assert.deepEqual(seen.artifacts, {
      'net.bin': sha256('weights'),
      'texts/sample/step_00000000.txt': sha256('ü'),
    })
    assert.equal(seen.models[0]!.files['net.bin'], sha256('weights'))
    assert.deepEqual(
      seen.versions.map(({ version, aliases }) => [version, aliases]),
      [['1', ['best']]],
    )
  })
})
