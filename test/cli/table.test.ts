import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alignedTable } from '../../src/cli/table.ts'
import { width } from '../../src/cli/text.ts'

const ROWS = [
  ['run', 'points'],
  ['学習-1', '12'],
  ['b', '1,234'],
]

test('columns stand below each other, wide letters counted as two', () => {
  assert.deepEqual(alignedTable(ROWS, '  '), ['  run     points', '  学習-1      12', '  b        1,234'])
})

test('text gives way before numbers, and no line is wider than the terminal', () => {
  const rows = [
    ['a very long name of a run', '123456'],
    ['学習率学習率学習率学習率', '7'],
  ]
  assert.deepEqual(alignedTable(rows, '', { columns: 18 }), ['a very lo…  123456', '学習率学…        7'])
  for (let columns = 1; columns < 40; columns++) {
    for (const line of alignedTable(rows, ' ', { columns }))
      assert.ok(width(line) <= columns, `${columns}: ${line}`)
  }
})

test('a painted cell keeps its place', () => {
  const painted = alignedTable(ROWS, '', {
    paint: (cell, row) => (row === 0 ? `\x1b[2m${cell}\x1b[22m` : cell),
  })
  assert.equal(painted[0], '\x1b[2mrun   \x1b[22m  \x1b[2mpoints\x1b[22m')
})
