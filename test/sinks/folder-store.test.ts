import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { FolderStore, folderOf } from '../../src/sinks/folder-store.ts'

describe('artifacts in a folder that the server shares with us', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-folder-store-'))
  after(() => rmSync(dir, { recursive: true, force: true }))

  it('are not looked for at a path of another system, which would be one below the working directory', () => {
    if (process.platform !== 'win32') assert.equal(folderOf('C:\\mlruns\\1\\r\\artifacts'), undefined)
    assert.equal(folderOf(join(dir, 'mlruns')), join(dir, 'mlruns'))
  })

  it('are whole or not there, also when a file becomes shorter as it is copied', async () => {
    const location = join(dir, 'source')
    writeFileSync(location, 'whole')
    const root = join(dir, 'root')
    const store = new FolderStore(root)
    const transfer = { signal: new AbortController().signal, sent: () => {} }
    assert.equal(await store.put('a/b', { location, size: 5 }, transfer), undefined)
    const refused = await store.put('a/b', { location, size: 6 }, transfer)
    assert.equal(refused?.status, 'retry')
    assert.deepEqual(readdirSync(root, { recursive: true }), ['a', join('a', 'b')])
    assert.equal(readFileSync(join(root, 'a', 'b'), 'utf8'), 'whole')
  })
})
