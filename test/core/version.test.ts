import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { VERSION } from '../../src/core/version.ts'
import { REPOSITORY } from '../repository.ts'

test('the version is that of the package', () => {
  const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'))
  assert.equal(VERSION, manifest.version)
})
