import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { digestsOf } from '../../../../src/sinks/wandb/uploads/artifact-digest.ts'
import { addressFrom } from '../../../../src/sinks/wandb/uploads/store-put.ts'

const { signal } = new AbortController()
const hash = (content: Buffer, as: 'hex' | 'base64') => createHash('md5').update(content).digest(as)

describe('digests of what is to be sent', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-wandb-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const content = Buffer.alloc(2_500_000, 'some content, ')
  const location = join(folder, 'large')
  writeFileSync(location, content)
  const file = { path: 'large', bytes: content.length, location }

  it('are of the whole and of each part, read once and heard of', async () => {
    let reads = 0
    const [digest, reference] = (await digestsOf(
      [file, { path: 'far', ref: 's3://bucket/far' }],
      () => 1_200_000,
      () => reads++,
      signal,
    )) as { readonly md5: string; readonly parts: readonly string[] }[]
    const parts = [0, 1_200_000, 2_400_000].map((from) =>
      hash(content.subarray(from, from + 1_200_000), 'hex'),
    )
    assert.deepEqual([digest, reference], [{ md5: hash(content, 'base64'), parts }, undefined])
    assert.ok(reads >= 3 && reads <= 6, String(reads))
  })

  it('are never of what a link leads to, or of a file that became shorter', async () => {
    const link = join(folder, 'link')
    symlinkSync(location, link)
    for (const bad of [
      { ...file, location: link },
      { ...file, bytes: content.length + 1 },
    ]) {
      const answer = await digestsOf(
        [bad],
        () => undefined,
        () => {},
        signal,
      )
      assert.ok('status' in answer && answer.status === 'split' && answer.code === 'ERR_BLOB')
    }
  })

  it('an address takes the headers that came with it, and never who we are', () => {
    const lines = ['Content-MD5: abc==', 'Authorization:Basic x', 'x-a:b:c', ':none']
    assert.deepEqual(addressFrom('/put?s=1', lines, 'https://host/base')?.headers, {
      'content-md5': 'abc==',
      'x-a': 'b:c',
    })
    assert.equal(addressFrom('https://', lines, 'https://host'), undefined)
  })
})
