import assert from 'node:assert/strict'
import { test } from 'node:test'
import { progressOf } from '../../src/cli/delivery-progress.ts'
import { progressLine } from '../../src/cli/progress.ts'
import type { DestinationStats } from '../../src/core/types.ts'

function statsOf(
  pending: number,
  records: number,
  files: [number, number],
  bytes: [number, number],
): DestinationStats {
  const none = { delivered: 0, filtered: 0, rejected: 0, corrupt: 0 }
  return {
    ...none,
    superseded: 0,
    pending,
    records: { ...none, pending: records },
    uploads: { files: { sent: files[0], known: files[1] }, bytes: { sent: bytes[0], known: bytes[1] } },
    state: 'live',
    lagMs: 0,
    url: '',
    reason: '',
  }
}

test('progress counts from what was there at first, over all destinations, and ends with the bytes of files', () => {
  let now: Record<string, DestinationStats> = {
    a: statsOf(100, 5, [2, 4], [1000, 5000]),
    b: statsOf(50, 5, [0, 0], [0, 0]),
  }
  const look = progressOf(() => now)
  assert.deepEqual(look(), { label: 'delivering', unit: 'items', done: 0, total: 160, more: '2/4 files' })
  now = { a: statsOf(20, 5, [2, 4], [1000, 5000]), b: statsOf(0, 0, [0, 0], [0, 0]) }
  assert.deepEqual(look(), { label: 'delivering', unit: 'items', done: 135, total: 160, more: '2/4 files' })
  now = { a: statsOf(0, 2, [3, 5], [3000, 9000]), b: statsOf(0, 0, [0, 0], [0, 0]) }
  assert.deepEqual(look(), { label: 'uploading', unit: 'bytes', done: 2000, total: 8000, more: '3/5 files' })
})

test('what is uploading stays so to its end', () => {
  let now = { a: statsOf(0, 1, [0, 1], [0, 100]) }
  const look = progressOf(() => now)
  assert.equal(look().unit, 'bytes')
  now = { a: statsOf(0, 1, [1, 1], [100, 100]) }
  assert.deepEqual(look(), { label: 'uploading', unit: 'bytes', done: 100, total: 100, more: '1/1 files' })
})

test('bytes are told with their units, rate and what is left', () => {
  assert.equal(
    progressLine('uploading', 3 * 1024 ** 2, 12 * 1024 ** 2, 'bytes', 1500),
    'uploading ━━━━━━──────────────────  25 %  3.0 MiB/12 MiB  2.0 MiB/s  4.5 s left',
  )
})
