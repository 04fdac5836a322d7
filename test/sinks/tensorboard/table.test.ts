import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_COLUMNS, MAX_ROWS, markdownTable, parseTableHead } from '../../../src/sinks/tensorboard/table.ts'

test('a table is Markdown with its columns as header', () => {
  const table = {
    columns: ['name', 'loss'],
    data: [
      ['a', 0.5],
      ['b', null],
      ['c', { x: [1] }],
    ],
  }
  assert.equal(
    markdownTable(table, 2, 3),
    ['| name | loss |', '| --- | --- |', '| a | 0.5 |', '| b |  |', '| c | {"x":\\[1\\]} |'].join('\n'),
  )
})

test('what Markdown or HTML would read in a cell is escaped', () => {
  const table = { columns: ['a|b'], data: [['*x* _y_ `z` \\ <b>&amp;</b> [l](u)\r\nnext\n\0last ']] }
  assert.equal(
    markdownTable(table, 1, 1).split('\n')[2],
    '| \\*x\\* \\_y\\_ &#96;z&#96; &#92; &#60;b&#62;&#38;amp;&#60;/b&#62; \\[l\\](u)<br>next<br> last |',
  )
})

test('of a large table the beginning is shown, and how much that is', () => {
  const columns = Array.from({ length: 60 }, (_, column) => `c${column}`)
  const data = Array.from({ length: 150 }, (_, row) => columns.map((_, column) => row * column))
  const lines = markdownTable({ columns, data }, 60, 9000).split('\n')
  assert.equal(lines.length, 2 + MAX_ROWS + 2)
  assert.equal(lines[5]!.split('|').length, MAX_COLUMNS + 2)
  assert.equal(
    lines.at(-1),
    "… 100 of 9000 rows, 50 of 60 columns are shown; the run's folder holds them all.",
  )
})

test('a long cell is cut between two characters', () => {
  const line = markdownTable({ columns: ['a'], data: [['🎯'.repeat(300)]] }, 1, 1).split('\n')[2]!
  assert.match(line, /^\| (?:🎯)+… \|$/u)
})

test('a cell shorter than the limit in characters is whole', () => {
  const text = '🎯'.repeat(100)
  assert.equal(markdownTable({ columns: ['a'], data: [[text]] }, 1, 1).split('\n')[2], `| ${text} |`)
})

test('the first bytes of a table give its whole rows, wherever they are cut', () => {
  const table = {
    columns: ['a"]}', '[[['],
    data: [
      [1, '\\"]],[['],
      [{ b: [[2]] }, '🎯'],
      [null, ']'],
      [[], {}],
    ],
  }
  const json = Buffer.from(JSON.stringify(table))
  const columnsEnd = json.indexOf('[[', json.indexOf('"data"')) + 1
  let rows = 0
  for (let length = 0; length < json.length; length++) {
    const head = parseTableHead(json.subarray(0, length), false)
    if (length <= columnsEnd) assert.equal(head, undefined, `cut at ${length}`)
    else {
      assert.deepEqual(head?.columns, table.columns, `cut at ${length}`)
      assert.deepEqual(head.data, table.data.slice(0, head.data.length), `cut at ${length}`)
      assert.ok(head.data.length >= rows)
      rows = head.data.length
    }
  }
  assert.equal(rows, table.data.length)
  assert.deepEqual(parseTableHead(json, true), table)
})

test('what is no table is none', () => {
  for (const json of [
    '',
    'null',
    '[]',
    '{}',
    '{"columns":[]}',
    '{"columns":[],"data":[1]}',
    '{"columns":{},"data":[]}',
  ]) {
    assert.equal(parseTableHead(Buffer.from(json), true), undefined, json)
    assert.equal(parseTableHead(Buffer.from(json), false), undefined, json)
  }
})
