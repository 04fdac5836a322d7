import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERROR_CODES, TraceletError, toErrorRecord } from '../../src/core/errors.ts'
import { sourceFiles } from '../repository.ts'

/** Codes of Node's and of libraries, which the source looks for. */
const FOREIGN = /^ERR_(?:CONNECT_TIMEOUT|INVALID_|STREAM_|HTTP_|MODULE_|UNSUPPORTED_)/

function codesIn(files: readonly { readonly path: string; readonly text: string }[]): Set<string> {
  const codes = files.flatMap(({ text }) => text.match(/(?<=['"`])ERR_[A-Z_]+(?=['"`:])/g) ?? [])
  return new Set(codes.filter((code) => !FOREIGN.test(code)))
}

test('every code of the table is used by the source', () => {
  const used = codesIn(sourceFiles().filter(({ path }) => path !== 'core/errors.ts'))
  assert.deepEqual(
    Object.keys(ERROR_CODES).filter((code) => !used.has(code)),
    [],
  )
})

test('every code that the source uses stands in the table', () => {
  assert.deepEqual(
    [...codesIn(sourceFiles())].filter((code) => !Object.hasOwn(ERROR_CODES, code)),
    [],
  )
  assert.deepEqual([...codesIn([{ path: 'planted.ts', text: "throw oops('ERR_PLANTED')" }])], ['ERR_PLANTED'])
})

test('every code says in a few words what happened', () => {
  for (const [code, text] of Object.entries(ERROR_CODES)) {
    assert.match(code, /^ERR_[A-Z_]+$/)
    assert.ok(text.length >= 15 && text.length <= 120, code)
    assert.ok(!text.endsWith('.'), code)
  }
})

test('an error keeps its code, message and cause; what crosses threads keeps code and message', () => {
  const cause = new Error('EACCES')
  const error = new TraceletError('ERR_JOURNAL_WRITE', 'cannot write', { cause })
  assert.equal(error.code, 'ERR_JOURNAL_WRITE')
  assert.equal(error.name, 'TraceletError')
  assert.equal(error.cause, cause)
  assert.ok(error instanceof Error)
  const record = structuredClone(toErrorRecord(error, 'ERR_LAW'))
  assert.deepEqual(record, { code: 'ERR_JOURNAL_WRITE', message: 'cannot write' })
  assert.deepEqual(toErrorRecord(cause, 'ERR_LAW'), { code: 'ERR_LAW', message: 'EACCES' })
  assert.deepEqual(toErrorRecord('words', 'ERR_LAW'), { code: 'ERR_LAW', message: 'words' })
})
