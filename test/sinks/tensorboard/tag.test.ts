import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  HPARAMS_TAGS,
  maxTagBytes,
  TagBook,
  type TagKind,
  TEXT_TAGS,
  tagOf,
} from '../../../src/sinks/tensorboard/tag.ts'

test('a plain name is its own tag', () => {
  for (const name of ['loss', 'train/loss', 'w[0]', 'a ]', '精度', '__proto__', ' '])
    assert.equal(tagOf(name, ''), name)
})

test('a context follows the name', () => {
  assert.equal(tagOf('train/loss', 'val'), 'train/loss [val]')
  assert.equal(tagOf('loss', 'a [b] 5%'), 'loss [a %5Bb] 5%25]')
})

test('tags with a meaning of their own are never a series', () => {
  for (const tag of [...Object.values(TEXT_TAGS), ...Object.values(HPARAMS_TAGS), '']) {
    assert.equal(tagOf(tag, ''), `${tag} []`)
  }
})

test('no two series of odd names and contexts share a tag or exceed its bound', () => {
  const parts = ['', 'a', ' ', '[', ']', ' [', ' []', ' [a]', '%', '%5B', '%25', '\n', ' [\n]']
  const names = parts.flatMap((first) => parts.map((second) => first + second))
  const seen = new Map<string, string>()
  for (const name of new Set(names)) {
    for (const context of new Set(names)) {
      const tag = tagOf(name, context)
      const series = JSON.stringify([name, context])
      assert.equal(seen.get(tag), undefined, `${series} and ${seen.get(tag)} share ${JSON.stringify(tag)}`)
      seen.set(tag, series)
      assert.ok(Buffer.byteLength(tag) <= maxTagBytes(Buffer.byteLength(name + context)))
    }
  }
})

const KINDS: readonly TagKind[] = ['scalars', 'histograms', 'images', 'text', 'pr_curves']

test('kinds that share names have tags of their own, whichever comes first', () => {
  const names = ['a', 'a [%text]', 'a [%text] []', 'a []', ' [%', '%', '']
  for (let first = 0; first < KINDS.length; first++) {
    const kinds = [...KINDS.slice(first), ...KINDS.slice(0, first)]
    const told: string[] = []
    const book = new TagBook([], (plain, tag) => told.push(`${plain} → ${tag}`))
    const seen = new Map<string, string>()
    for (const kind of kinds) {
      for (const name of names) {
        for (const context of kind === 'scalars' ? ['', '%text', '%', 'b'] : ['']) {
          const tag = book.tag(kind, name, context)
          assert.equal(book.tag(kind, name, context), tag)
          assert.equal(seen.get(tag), undefined, `${kind} ${name} has the tag of ${seen.get(tag)}`)
          seen.set(tag, `${kind} ${name}`)
          assert.ok(Buffer.byteLength(tag) <= maxTagBytes(Buffer.byteLength(name + context)))
        }
      }
    }
    assert.equal(told.length, names.length * (KINDS.length - 1))
    assert.equal(book.tag(kinds[0]!, 'a'), 'a')
  }
})

test('a book that knows what was met before decides as before', () => {
  const book = new TagBook()
  book.tag('images', 'a')
  book.tag('scalars', 'a')
  book.tag('scalars', 'b')
  const again = new TagBook(book.kept)
  assert.equal(again.tag('scalars', 'a'), 'a [%scalars]')
  assert.equal(again.tag('images', 'a'), 'a')
  assert.equal(again.tag('histograms', 'b'), 'b [%histograms]')
})

test('names of one kind leave room for those of two', () => {
  const book = new TagBook()
  for (let index = 0; index < 2000; index++) book.tag('scalars', `a name that is not short ${index}`)
  book.tag('images', 'late')
  book.tag('text', 'late')
  const again = new TagBook(book.kept)
  assert.equal(again.tag('text', 'late'), 'late [%text]')
})

test('what a cursor must hold of shared names is bounded, over all restarts', () => {
  let book = new TagBook()
  for (let restart = 0; restart < 5; restart++) {
    for (let index = 0; index < 100; index++) {
      const name = `${restart} ${index} ${'n'.repeat(200)}`
      book.tag('text', name)
      assert.equal(book.tag('scalars', name), `${name} [%scalars]`)
    }
    book = new TagBook(book.kept)
  }
  const bytes = JSON.stringify(book.kept).length
  assert.ok(bytes > 25_000 && bytes <= 32_768, `${bytes} bytes`)
})
