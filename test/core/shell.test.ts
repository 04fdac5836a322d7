import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { shellWord, syncCommandFor } from '../../src/core/shell.ts'

const FOLDERS = [
  '/home/a/.tracelet/p/run-1',
  '/home/a b/.tracelet/Übung/größe 1e-3',
  "/home/o'hara/$HOME/`id`/!x/*?[a]/a;b&c|d>(e)",
  '/home/実験/\u{1F9EA} run',
  '/home/a"b\\c/~/#d',
]

describe('a command that is printed to be pasted', () => {
  it('gives the shell the very folder', { skip: process.platform === 'win32' }, () => {
    for (const folder of FOLDERS) {
      const pasted = syncCommandFor(folder).replace('npx tracelet sync', 'printf %s')
      const { stdout, status } = spawnSync('/bin/sh', ['-c', pasted], { encoding: 'utf8' })
      assert.deepEqual([stdout, status], [folder, 0])
    }
  })

  it('stays plain where nothing needs quotes', () => {
    assert.equal(syncCommandFor(FOLDERS[0]!), 'npx tracelet sync /home/a/.tracelet/p/run-1')
    assert.equal(shellWord('/home/Übung/größe', 'linux'), '/home/Übung/größe')
    assert.equal(shellWord('C:\\Users\\ann lee\\p', 'win32'), '"C:\\Users\\ann lee\\p"')
    assert.equal(shellWord('C:\\p', 'win32'), 'C:\\p')
  })
})
