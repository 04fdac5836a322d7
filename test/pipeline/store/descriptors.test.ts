import assert from 'node:assert/strict'
import { fstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Descriptors } from '../../../src/pipeline/store/descriptors.ts'
import { Syncer } from '../../../src/pipeline/store/syncer.ts'

describe('Descriptors', () => {
  let folder = ''
  let syncer: Syncer<string>
  let descriptors: Descriptors
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-descriptors-'))
    syncer = new Syncer()
    descriptors = new Descriptors(syncer, 3)
  })
  afterEach(() => {
    syncer.drain(10_000)
    descriptors.closeAll()
    syncer.stop()
    rmSync(folder, { recursive: true })
  })
  const path = (name: string) => join(folder, name)

  it('append to their file, made for its owner alone, and stay the same while they are used', () => {
    const fd = descriptors.acquire(path('a'))
    writeSync(fd, 'one ')
    assert.equal(descriptors.acquire(path('a')), fd)
    writeSync(fd, 'two')
    assert.equal(readFileSync(path('a'), 'utf8'), 'one two')
    assert.equal(statSync(path('a')).mode & 0o777, 0o600)
  })

  it('are closed when they are the least recently used of too many', () => {
    const fds = ['a', 'b', 'c'].map((name) => descriptors.acquire(path(name)))
    descriptors.acquire(path('a'))
    descriptors.acquire(path('d'))
    assert.equal(descriptors.size, 3)
    assert.equal(descriptors.acquire(path('a')), fds[0])
    assert.equal(descriptors.acquire(path('c')), fds[2])
    writeSync(descriptors.acquire(path('b')), 'again')
    assert.equal(readFileSync(path('b'), 'utf8'), 'again')
    assert.equal(descriptors.size, 3)
  })

  it('are not closed while dirty: they are synced at once and closed later, and the limit is kept again', () => {
    const fds = ['a', 'b', 'c', 'd', 'e'].map((name) => {
      const fd = descriptors.acquire(path(name))
      syncer.dirty(fd, name, writeSync(fd, 'x'))
      return fd
    })
    assert.equal(descriptors.size, 5)
    assert.ok(fds.every(isOpen))
    assert.ok(syncer.isBusy)
    syncer.drain(10_000)
    descriptors.acquire(path('f'))
    assert.equal(descriptors.size, 3)
    assert.equal(descriptors.acquire(path('d')), fds[3])
    assert.equal(descriptors.acquire(path('e')), fds[4])
  })

  it('closed while dirty stay open until their bytes are safe, and their file can be opened again meanwhile', () => {
    const fd = descriptors.acquire(path('a'))
    syncer.dirty(fd, 'a', writeSync(fd, 'x'))
    descriptors.close(path('a'))
    assert.ok(isOpen(fd))
    assert.notEqual(descriptors.acquire(path('a')), fd)
    assert.deepEqual(
      syncer.drain(10_000).map(({ syncedBytes }) => syncedBytes),
      [1],
    )
    assert.equal(isOpen(fd), false)
    descriptors.close(path('never opened'))
  })
})

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}
