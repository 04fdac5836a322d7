import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { blobPath } from '../../../src/core/blob-path.ts'
import type { BlobRef } from '../../../src/core/types.ts'
import { toTable } from '../../../src/run/media/table.ts'
import { BlobError } from '../../../src/sinks/run-blobs.ts'
import { openTable } from '../../../src/sinks/wandb/tables.ts'
import { manifestOf } from '../../../src/sinks/wandb/uploads/artifact-plan.ts'
import { Random, SEED } from '../../random.ts'
import { storeBlob } from '../mlflow/run-blobs.ts'
import { GOLDEN_TABLES } from './golden-tables.ts'

const folder = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
type Given = { readonly columns: readonly string[]; readonly data: readonly (readonly unknown[])[] }

/** As a run keeps it. */
function blobOf(given: Given): BlobRef {
  const table = toTable(given as { columns: string[]; data: unknown[][] })
  assert.ok('json' in table, JSON.stringify(table))
  return storeBlob(folder, table.json, 'application/json')
}

async function filesOf(blob: BlobRef): Promise<{ readonly run: string; readonly artifact: string }> {
  const table = await openTable(blob, folder)
  const text = async (spelling: 'run' | 'artifact') => {
    const parts: Buffer[] = []
    for await (const chunk of table.chunks(spelling)) parts.push(chunk)
    const bytes = Buffer.concat(parts)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    assert.deepEqual(await table.measured(spelling), { bytes: bytes.length, sha256 })
    return bytes.toString()
  }
  return { run: await text('run'), artifact: await text('artifact') }
}

describe('tables for W&B', () => {
  after(() => rmSync(folder, { recursive: true, force: true }))

  for (const { title, given, run, artifact, digest } of GOLDEN_TABLES) {
    it(`byte by byte as the SDK writes them: ${title}`, async () => {
      const made = await filesOf(blobOf(given))
      assert.equal(made.run, run)
      assert.equal(made.artifact, artifact)
      const content = Buffer.from(made.artifact)
      const md5 = createHash('md5').update(content).digest('base64')
      const plan = { files: [{ path: 'k.table.json', content }] }
      assert.equal(manifestOf(plan, new Map([['k.table.json', md5]])).digest, digest)
    })
  }

  it('hold the first 10,000 rows as a file of the run, and 200,000 as an artifact', async () => {
    const data = Array.from({ length: 200_001 }, (_, row) => [row])
    const { run, artifact } = await filesOf(blobOf({ columns: ['n'], data }))
    assert.deepEqual(JSON.parse(run), { columns: ['n'], data: data.slice(0, 10_000) })
    const { data: rows, nrows } = JSON.parse(artifact) as { data: number[][]; nrows: number }
    assert.equal(nrows, 200_000)
    assert.deepEqual(rows, data.slice(0, 200_000))
  })

  it(`are the same however their bytes fall into parts (seed ${SEED})`, async () => {
    const random = new Random()
    const below = (most: number) => random.below(most)
    for (let round = 0; round < 8; round++) {
      const columns = Array.from(
        { length: 1 + below(6) },
        (_, at) => `${'ü]["}{,\\'.slice(0, below(9))}${at}`,
      )
      const cell = (): unknown => {
        const odd = ['"', '\\', '[[', ']]', '}', '漢', '\u{1f600}', '\n', 'a']
        switch (below(6)) {
          case 0:
            return random.next() * 10 ** (below(40) - 20)
          case 1:
            return Array.from({ length: below(4) }, () => odd[below(odd.length)])
          case 2:
            return { [odd[below(odd.length)]!]: [{ deep: [below(9)] }] }
          case 3:
            // longer than what is read at once
            return odd[below(odd.length)]!.repeat(below(100) === 0 ? 70_000 : below(30))
          default:
            return below(2) === 0 ? null : below(1000)
        }
      }
      const data = Array.from({ length: below(1500) }, () => columns.map(cell))
      const { run, artifact } = await filesOf(blobOf({ columns, data }))
      assert.deepEqual(JSON.parse(run), { columns, data })
      assert.deepEqual((JSON.parse(artifact) as Given).data, data)
    }
  })

  it('call a column of numbers numeric, whatever number it begins with', async () => {
    const { run, artifact } = await filesOf(
      blobOf({
        columns: ['nan', 'words', 'list', 'box'],
        data: [
          [Number.NaN, 'NaN', [Number.NaN, 1], { x: Infinity }],
          [Infinity, 'none', [2], { x: 1, y: 'a' }],
          [1, null, null, { x: 2 }],
        ],
      }),
    )
    assert.equal(
      run,
      '{"columns":["nan","words","list","box"],"data":[[NaN,"NaN",[NaN,1],{"x":Infinity}],[Infinity,"none",[2],{"x":1,"y":"a"}],[1,null,null,{"x":2}]]}',
    )
    const { column_types: types } = JSON.parse(artifact.replaceAll(/(?<=[ [])Infinity/g, '9')) as {
      column_types: { params: { type_map: Record<string, { params: { allowed_types: unknown[] } }> } }
    }
    const none = { wb_type: 'none' }
    const [number, text] = [{ wb_type: 'number' }, { wb_type: 'string' }]
    const optional = (type: object) => ({ params: { allowed_types: [none, type] }, wb_type: 'union' })
    assert.deepEqual(types.params.type_map, {
      nan: optional(number),
      words: optional(text),
      list: optional({ params: { element_type: optional(number), length: 1 }, wb_type: 'list' }),
      box: optional({ params: { type_map: { x: number, y: optional(text) } }, wb_type: 'typedDict' }),
    })
    assert.ok(artifact.includes('[[null, "NaN", [null, 1], {"x": Infinity}]'), artifact)
  })

  it('let the thread do other things while they are read', async () => {
    const data = Array.from({ length: 100_000 }, (_, row) => [
      row,
      row / 7,
      `row ${row}`,
      null,
      row % 2 === 0,
    ])
    const blob = blobOf({ columns: ['a', 'b', 'c', 'd', 'e'], data })
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    const table = await openTable(blob, folder)
    const parts: number[] = []
    for await (const { length } of table.chunks('artifact')) parts.push(length)
    clearInterval(timer)
    assert.ok(turns >= blob.bytes / 65_536 / 4, `${turns} turns for ${blob.bytes} bytes`)
    assert.ok(Math.max(...parts) < 4 * 65_536, `a part of ${Math.max(...parts)} bytes`)
  })

  it('are refused where a blob is missing, damaged or no table', async () => {
    const store = (text: string) => storeBlob(folder, text, 'application/json')
    const gone = store('{"columns":["gone"],"data":[]}')
    rmSync(blobPath(folder, gone.digest))
    const damaged = store('{"columns":["a"],"data":[[1]]}')
    writeFileSync(blobPath(folder, damaged.digest), '{"columns":["a"],"data":[[2]]}')
    const none = ['', '{}', '[1]', '{"columns":["a"],"data":[[1]]', '{"columns":["a"],"data":[[1,2]]}']
    const odd = [
      '{"columns":[1],"data":[]}',
      '{"data":[[1]],"columns":["a"]}',
      '{"columns":["a"],"data":[[nope]]}',
    ]
    const blobs = [gone, damaged, ...[...none, ...odd].map(store), { ...gone, digest: '../../secret' }]
    for (const [at, blob] of blobs.entries()) {
      await assert.rejects(
        async () => {
          for await (const _ of (await openTable(blob, folder)).chunks('artifact'));
        },
        BlobError,
        String(at),
      )
    }
  })
})
