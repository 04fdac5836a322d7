import assert from 'node:assert/strict'
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
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
  const made = (name: string) => {
    closeSync(openSync(path(name), 'a', 0o600))
    return path(name)
  }
  const lengths = new Map<string, number>()
  beforeEach(() => lengths.clear())
  function append(name: string, text: string): number {
    const fd = descriptors.acquire(made(name))
    const bytes = (lengths.get(name) ?? 0) + writeSync(fd, text)
    lengths.set(name, bytes)
    syncer.dirty(fd, name, bytes)
    return fd
  }

  it('append to their file, which must be there, and stay the same while they are used', () => {
    const fd = descriptors.acquire(made('a'))
    writeSync(fd, 'one ')
    assert.equal(descriptors.acquire(made('a')), fd)
    writeSync(fd, 'two')
    assert.equal(readFileSync(path('a'), 'utf8'), 'one two')
    assert.throws(() => descriptors.acquire(path('missing')), { code: 'ENOENT' })
    assert.deepEqual([descriptors.held(path('a')), descriptors.held(path('missing'))], [fd, undefined])
  })

  it('are closed when they are the least recently used of too many', () => {
    const fds = ['a', 'b', 'c'].map((name) => descriptors.acquire(made(name)))
    descriptors.acquire(made('a'))
    descriptors.acquire(made('d'))
    assert.equal(descriptors.size, 3)
    assert.equal(descriptors.acquire(made('a')), fds[0])
    assert.equal(descriptors.acquire(made('c')), fds[2])
    writeSync(descriptors.acquire(made('b')), 'again')
    assert.equal(readFileSync(path('b'), 'utf8'), 'again')
    assert.equal(descriptors.size, 3)
  })

  it('are closed while dirty when all are: their files are synced by name, and none is forgotten', () => {
    const names = ['a', 'b', 'c', 'd', 'e']
    for (const name of names) append(name, 'x')
    assert.equal(descriptors.size, 3)
    for (const name of names) assert.notEqual(descriptors.unsyncedSince(path(name)), 0, name)
    append('a', 'yz')
    const reports = syncer.drain(10_000)
    assert.deepEqual(
      reports.map(({ id, syncedBytes, failure }) => [id, syncedBytes, failure]).sort(),
      names.map((name) => [name, name === 'a' ? 3 : 1, '']),
    )
    for (const name of names) assert.equal(descriptors.unsyncedSince(path(name)), 0, name)
    assert.equal(readFileSync(path('a'), 'utf8'), 'xyz')
  })

  it('of files that end are never too many, however many end at once', () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    for (const name of names) {
      append(name, 'x')
      descriptors.close(path(name))
      assert.ok(descriptors.size <= 3)
    }
    assert.deepEqual(
      syncer
        .drain(10_000)
        .map(({ id }) => id)
        .sort(),
      names,
    )
    assert.equal(descriptors.size, 0)
    assert.equal(syncer.isBusy, false)
  })

  it('of a file that was removed before its sync by name: nothing is there to be made safe', () => {
    for (const name of ['a', 'b', 'c', 'd']) append(name, 'x')
    rmSync(path('a'))
    assert.ok(syncer.drain(10_000).every(({ failure }) => failure === ''))
  })

  it('closed while dirty stay open until their bytes are safe, and their file can be opened again meanwhile', () => {
    const fd = descriptors.acquire(made('a'))
    syncer.dirty(fd, 'a', writeSync(fd, 'x'))
    descriptors.close(path('a'))
    assert.ok(isOpen(fd))
    assert.notEqual(descriptors.acquire(made('a')), fd)
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
