import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { workerUrl } from '../../src/pipeline/worker-url.ts'
import { cliEnvironment, tracelet } from '../cli/run-cli.ts'
import { HoldingProxy, type Moment } from './holding-proxy.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { readUploads, sha256 } from './read-mlflow-uploads.ts'
import type { UploadOrders } from './uploading-program.ts'

const EXPERIMENT = 'killed uploads'
const PROGRAM = fileURLToPath(workerUrl('./uploading-program', import.meta.url))
const LIMIT_MS = 60_000

const MOMENTS: Readonly<Record<string, Moment>> = {
  'amid a file': { method: 'PUT', path: /\/data\/large$/, at: 'amid' },
  'after a file that it never heard was stored': { method: 'PUT', path: /\/data\/large$/, at: 'answered' },
  'after a logged model was made': { method: 'POST', path: /\/logged-models$/, at: 'answered' },
  'amid a file of a model': { method: 'PUT', path: /\/models\/.*weights$/, at: 'amid' },
  'after the model was an output of the run': { method: 'POST', path: /\/runs\/outputs$/, at: 'answered' },
  'after a version was made': { method: 'POST', path: /\/model-versions\/create$/, at: 'answered' },
  'after an alias was set': { method: 'POST', path: /\/registered-models\/alias$/, at: 'answered' },
}

describe('a run killed while it uploads, and synced', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-mlflow-killed-'))
  const large = Buffer.alloc(8 * 1024 * 1024, 'large')
  let server: MlflowServer | undefined
  let proxy: HoldingProxy | undefined

  after(async () => {
    await proxy?.stop()
    await server?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  async function prepare(test: TestContext) {
    const python = await peerPython(test)
    if (python === undefined) return undefined
    if (server === undefined) {
      for (const folder of ['data', 'model']) mkdirSync(join(dir, folder))
      writeFileSync(join(dir, 'data', 'large'), large)
      writeFileSync(join(dir, 'data', 'small'), 'small')
      writeFileSync(join(dir, 'model', 'config'), 'config')
      writeFileSync(join(dir, 'model', 'weights'), large)
    }
    server ??= await startMlflowServer(python)
    proxy ??= await HoldingProxy.start(server.port)
    return { python, server, proxy }
  }

  for (const [i, [when, moment]] of Object.entries(MOMENTS).entries()) {
    it(`${when}: each file, one logged model, one version`, async (test) => {
      const peers = await prepare(test)
      if (!peers) return
      const runId = `killed-${i}`
      const orders: UploadOrders = {
        ...{ dir, uri: peers.proxy.uri, runId, expName: EXPERIMENT },
        ...{ artifact: join(dir, 'data'), model: join(dir, 'model') },
      }
      const held = peers.proxy.hold(moment)
      const child = spawn(process.execPath, [PROGRAM, JSON.stringify(orders)], {
        env: cliEnvironment(dir),
        stdio: ['ignore', 'inherit', 'inherit'],
        timeout: LIMIT_MS,
      })
      const ended = once(child, 'exit')
      await Promise.race([held, ended.then(() => assert.fail('it ended before it was killed'))])
      child.kill('SIGKILL')
      await ended

      for (let repeat = 0; repeat < 2; repeat++) {
        const { code, stdout, stderr } = await tracelet(dir, 'sync', runId)
        assert.equal(code, 0, stdout + stderr)
      }
      const seen = await readUploads(peers.python, peers.server.uri, EXPERIMENT, 'tracelet.run_id', runId)
      assert.deepEqual(seen.artifacts, { 'data/large': sha256(large), 'data/small': sha256('small') })
      assert.equal(seen.models.length, 1)
      const [model] = seen.models
      assert.equal(model!.status, 'READY')
      assert.deepEqual([model!.files.config, model!.files.weights], [sha256('config'), sha256(large)])
      assert.deepEqual(
        seen.versions.map(({ version, aliases, source }) => [version, aliases, source]),
        [['1', ['champion'], `models:/${model!.id}`]],
      )
      assert.deepEqual(
        seen.outputs.map(({ modelId }) => modelId),
        [model!.id],
      )
    })
  }
})
