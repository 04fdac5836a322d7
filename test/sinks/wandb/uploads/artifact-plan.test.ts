import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import {
  type ArtifactFile,
  clientIdOf,
  collectionName,
  manifestOf,
} from '../../../../src/sinks/wandb/uploads/artifact-plan.ts'

const md5 = (text: string) => createHash('md5').update(text).digest('base64')

describe('what an artifact is known by', () => {
  it('has the digest of its lines, sorted by code points and not by halves of them', () => {
    const files: ArtifactFile[] = [
      { path: '\u{1f600}.txt', content: Buffer.from('a') },
      { path: '\uff5e.txt', content: Buffer.from('b') },
      { path: 'z', ref: 's3://bucket/z' },
      { path: 'a/b', ref: 's3://bucket/y', digest: 'etag', bytes: 7 },
    ]
    const md5s = new Map([
      ['\u{1f600}.txt', md5('a')],
      ['\uff5e.txt', md5('b')],
    ])
    const { manifest, digest } = manifestOf({ files }, md5s, new Map([['\uff5e.txt', 'QXJ0aWZhY3Q6MQ==']]))
    const lines = [
      'wandb-artifact-manifest-v1',
      'a/b:etag',
      'z:s3://bucket/z',
      `\uff5e.txt:${md5('b')}`,
      `\u{1f600}.txt:${md5('a')}`,
      '',
    ]
    assert.equal(digest, createHash('md5').update(lines.join('\n')).digest('hex'))
    assert.deepEqual(JSON.parse(manifest), {
      version: 1,
      storagePolicy: 'wandb-storage-policy-v1',
      storagePolicyConfig: { storageLayout: 'V2' },
      contents: {
        'a/b': { digest: 'etag', birthArtifactID: null, ref: 's3://bucket/y', size: 7 },
        z: { digest: 's3://bucket/z', birthArtifactID: null, ref: 's3://bucket/z', size: 0 },
        '\uff5e.txt': { digest: md5('b'), birthArtifactID: 'QXJ0aWZhY3Q6MQ==', size: 1 },
        '\u{1f600}.txt': { digest: md5('a'), birthArtifactID: null, size: 1 },
      },
    })
  })

  it('has a path that JavaScript would take for something else', () => {
    const files = [{ path: '__proto__', content: Buffer.from('a') }]
    const { manifest } = manifestOf({ files }, new Map([['__proto__', md5('a')]]))
    assert.match(manifest, /"__proto__":\{"digest"/)
  })

  it('is the same again after a crash, and another one in another run and place', () => {
    const ids = ['one', 'two'].flatMap((nonce) =>
      ['seq:1', 'seq:11', 'collection:seq:1'].map((place) => clientIdOf({ nonce }, place)),
    )
    assert.equal(new Set(ids).size, 6)
    assert.equal(clientIdOf({ nonce: 'one' }, 'seq:1'), ids[0])
    for (const id of ids) assert.match(id, /^[0-9a-f]{128}$/)
  })

  it('keeps a name that W&B can have, and makes another of every other', () => {
    const plain = ['data', 'Data-1.0_x', 'n'.repeat(128)]
    for (const name of plain) assert.equal(collectionName(name), name)
    const strange = ['a/b', 'a:b', 'a b', 'ä', '\u{1f600}', 'n'.repeat(129), 'n'.repeat(130), '', '\ud800']
    const names = strange.map(collectionName)
    for (const name of names) assert.match(name, /^[A-Za-z0-9_.-]{1,128}$/)
    assert.equal(new Set([...names, ...plain]).size, strange.length + plain.length)
  })
})
