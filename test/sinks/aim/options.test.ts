import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import type { RunInfo } from '../../../src/core/types.ts'
import { contextOf } from '../../../src/sinks/aim/contexts.ts'
import {
  AIM_OPTIONS,
  type AimAddress,
  accountOf,
  addressOf,
  connectionOf,
  placeOf,
  prepareOptions,
  runHashOf,
} from '../../../src/sinks/aim/options.ts'
import { systemSeries } from '../../../src/sinks/aim/system-names.ts'

const given = (options: Record<string, unknown>, environment: Record<string, string> = {}) =>
  prepareOptions(resolveOptions(AIM_OPTIONS, options, environment, 'backend aim'))
const run = {
  id: 'r',
  name: 'r',
  project: 'p',
  experiment: 'e',
  createdAt: 0,
  nonce: 'n',
  folder: '/',
} as RunInfo

test('an address has Aim’s port, its base path and its scheme of TLS', () => {
  const of = (repo: string) => placeOf(given({ repo }))
  assert.deepEqual(of('/data/runs'), { folder: '/data/runs' })
  assert.deepEqual(of('/data/runs/.aim/'), { folder: '/data/runs' })
  assert.deepEqual(of('.'), { folder: process.cwd() })
  assert.deepEqual(of('aim://host'), { origin: 'http://host:53800', basePath: '' })
  assert.deepEqual(of('aim://host:1/'), { origin: 'http://host:1', basePath: '' })
  assert.deepEqual(of('aims://host/track/ing/'), { origin: 'https://host:53800', basePath: '/track/ing' })
  assert.deepEqual(of('https://host'), { origin: 'https://host:443', basePath: '' })
  assert.deepEqual(of('http://[::1]:8080/x'), { origin: 'http://[::1]:8080', basePath: '/x' })
  assert.deepEqual(placeOf(given({}, { AIM_REPO: 'aim://there' })), of('aim://there:53800'))
  for (const repo of ['https://host', 'http://host', 'aims://host', 'aims://host:443/x', 'aim://host:80']) {
    assert.equal(given(given({ repo })).repo, given({ repo }).repo, `${repo} prepared twice`)
  }
})

test('credentials move from the address to a header, and are no part of what is written down', () => {
  const options = given({ repo: 'aim://ann:s%20cret@host' })
  assert.equal(options.repo, 'aim://host:53800')
  const { headers, secrets } = connectionOf(options, placeOf(options) as AimAddress)
  const basic = Buffer.from('ann:s cret').toString('base64')
  assert.deepEqual(headers, { authorization: `Basic ${basic}` })
  assert.ok(secrets.includes(basic))
  for (const text of [addressOf(options, run), accountOf(options)]) assert.ok(!text.includes(basic), text)
  assert.notEqual(accountOf(options), accountOf(given({ repo: 'aim://host' })))
})

test('what cannot be is refused with a word on what to do', () => {
  const refused = (options: Record<string, unknown>, message: RegExp) =>
    assert.throws(
      () => given(options),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_OPTION')
        assert.match(error.message, message)
        return true
      },
    )
  refused({ repo: ' ' }, /folder/)
  refused({ repo: 's3://bucket' }, /'s3:'/)
  refused({ repo: 'aim://' }, /address/)
  refused({ runHash: '../x' }, /runHash/)
  refused({ headers: ['no colon'] }, /Name: value/)
  refused({ headers: ['X: a\r\nY: b'] }, /Name: value/)
})

test('a run has the same hash at every start, and that of another client where it is given', () => {
  assert.match(runHashOf(given({}), run), /^[0-9a-f]{24}$/)
  assert.equal(runHashOf(given({}), run), runHashOf(given({}), { ...run, id: 'other' }))
  assert.notEqual(runHashOf(given({}), run), runHashOf(given({}), { ...run, nonce: 'm' }))
  assert.equal(runHashOf(given({ runHash: 'abc123' }), run), 'abc123')
})

test('contexts are objects', () => {
  assert.deepEqual(contextOf('').members, {})
  assert.equal(contextOf('').hash, -4504863053055089774n)
  assert.deepEqual(contextOf('train').members, { subset: 'train' })
  assert.equal(contextOf('subset=train').hash, contextOf('train').hash)
  assert.equal(contextOf('train').hash, -8686149688933388395n)
  assert.deepEqual(contextOf('subset=val, rank=0').members, { subset: 'val', rank: '0' })
  assert.deepEqual(contextOf('a=1,a=2').members, { subset: 'a=1,a=2' }, 'two of one name are no object')
  assert.deepEqual(contextOf('x,y=1').members, { subset: 'x,y=1' })
})

test('the machine’s series have Aim’s letters before their names', () => {
  assert.equal(systemSeries({ name: 'system/cpu', context: '' }).name, '__system__cpu')
  assert.equal(systemSeries({ name: 'system/', context: '' }).name, 'system/')
  assert.equal(systemSeries({ name: 'loss', context: '' }).name, 'loss')
  const names = ['memory', 'memory_percent', 'disk', 'disk./.usagePercent', 'disk_percent', 'cpu', 'x']
  const stored = names.map((name) => systemSeries({ name: `system/${name}`, context: '' }).name)
  assert.equal(new Set(stored).size, names.length, `two of them share a name: ${stored}`)
  assert.equal(stored[3], '__system__disk_percent')
})
