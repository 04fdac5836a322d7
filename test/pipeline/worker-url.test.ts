import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { workerUrl } from '../../src/pipeline/worker-url.ts'

const DRAIN_HOST = new URL('../../src/pipeline/drain-host.js', import.meta.url).href

test("a thread's module is the one beside its caller", () => {
  assert.ok(existsSync(workerUrl('./drain-thread', DRAIN_HOST)))
  assert.ok(existsSync(workerUrl('./store/sync-thread', DRAIN_HOST)))
})

test('a program that was bundled into one file is told to keep tracelet external', () => {
  const bundle = pathToFileURL(join(tmpdir(), 'bundle', 'app.mjs')).href
  assert.throws(
    () => workerUrl('./drain-thread', bundle),
    (error: { code?: string; message: string }) =>
      error.code === 'ERR_UNSUPPORTED' &&
      error.message.includes('drain-thread.mjs is missing') &&
      error.message.includes('--external:tracelet'),
  )
})
