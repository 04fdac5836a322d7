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

test('a number is never cut, and columns that can be spared go first', () => {
  const rows = [
    ['a', '123456', 'text'],
    ['b', '7', 'more'],
  ]
  assert.deepEqual(alignedTable(rows, '', { columns: 6 }), ['a    …', 'b    7'])
  assert.deepEqual(alignedTable(rows, '', { columns: 10, left: [0, 2], spare: [1] }), ['a  text', 'b  more'])
  assert.deepEqual(alignedTable(rows, '', { columns: 80, left: [0, 2], spare: [1] }), [
    'a  123456  text',
    'b       7  more',
  ])
})

test('one very long text does not make every line as long, and is whole where there is no terminal', () => {
  const long = 'x'.repeat(4096)
  const [first, second] = alignedTable([
    [long, '1'],
    ['b', '2'],
  ])
  assert.equal(first, `${long}  1`)
  assert.ok(second!.length < 200, `${second!.length}`)
})
