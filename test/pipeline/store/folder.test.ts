import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import {
  createRunFolder,
  findRunFolder,
  folderName,
  listRunFolders,
  newRunId,
  runFolder,
} from '../../../src/pipeline/store/folder.ts'

/** The format: a change of any right-hand side would lose the folders that are on disks. */
const NAMES: readonly (readonly [name: string, folder: string])[] = [
  ['resnet-50_v1.2', 'resnet-50_v1.2'],
  ['20261123-101502-x7k2mq', '20261123-101502-x7k2mq'],
  ['ResNet', '+res+net'],
  ['+res+net', '%2bres%2bnet'],
  ['lr=1e-3, b=2', 'lr%3d1e-3%2c%20b%3d2'],
  ['', '%'],
  ['.', '%2e'],
  ['..', '%2e%2e'],
  ['.hidden', '%2ehidden'],
  ['-rf', '%2drf'],
  ['end.', 'end%2e'],
  ['end..', 'end.%2e'],
  ['end ', 'end%20'],
  ['a/b\\c', 'a%2fb%5cc'],
  ['../../etc', '%2e.%2f..%2fetc'],
  ['nul\u0000\n\u007f', 'nul%00%0a%7f'],
  ['a:b*c?d"e<f>g|h', 'a%3ab%2ac%3fd%22e%3cf%3eg%7ch'],
  ['100%', '100%25'],
  ['%41', '%2541'],
  ['con', '%63on'],
  ['nul.txt', '%6eul.txt'],
  ['com1', '%63om1'],
  ['CON', '+c+o+n'],
  ['console', 'console'],
  ['com10', 'com10'],
  ['é', '%c3%a9'],
  ['e\u0301', 'e%cc%81'],
  ['İ', '%c4%b0'],
  ['実験', '%e5%ae%9f%e9%a8%93'],
  ['😀', '%f0%9f%98%80'],
  ['\ud83d', '%ud83d'],
  ['__proto__', '__proto__'],
  ['x'.repeat(100), 'x'.repeat(100)],
  ['x'.repeat(101), `${'x'.repeat(66)}%-c675a2e604b0cd1229c036e3ce0c8742`],
]

describe('folderName', () => {
  for (const [name, folder] of NAMES) {
    it(`${JSON.stringify(name.slice(0, 20))} is ${JSON.stringify(folder.slice(0, 40))}`, () => {
      assert.equal(folderName(name), folder)
    })
  }

  it('F1–F3 can be undone, so short names never share a folder', () => {
    for (const name of randomNames(20)) assert.equal(undo(folderName(name)), name)
  })

  it('gives names that are legal everywhere and stay apart where case, form and last dots do not count', () => {
    const seen = new Map<string, string>()
    for (const name of [...NAMES.map(([text]) => text), ...randomNames(20), ...randomNames(200)]) {
      const folder = folderName(name)
      assert.match(folder, /^[a-z0-9_+%][a-z0-9_.+%-]{0,99}$/, name)
      assert.doesNotMatch(folder, /\.$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/, name)
      const folded = folder.toLowerCase().normalize('NFC')
      assert.equal(seen.get(folded) ?? name, name)
      seen.set(folded, name)
    }
  })

  it('F4 tells long names apart by what was cut off', () => {
    const long = `Long ${'é'.repeat(300)}`
    assert.ok(folderName(long).length <= 100)
    assert.equal(folderName(long), folderName(long))
    assert.notEqual(folderName(long), folderName(`${long}.`))
    assert.match(folderName(long), /^\+long%20(%c3%a9)+(%c3)?%-[0-9a-f]{32}$/)
  })
})

describe('run folders', () => {
  let root = ''
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'tracelet-folder-'))
  })
  after(() => rmSync(root, { recursive: true }))

  it('are made for their owner alone, with what is missing above', () => {
    const folder = createRunFolder(join(root, 'new', 'root'), 'Vision', 'Run 1')
    assert.equal(folder, join(root, 'new', 'root', '+vision', '+run%201'))
    for (const part of [folder, join(folder, '..'), join(folder, '..', '..')]) {
      assert.equal(statSync(part).mode & 0o777, 0o700)
    }
    assert.equal(createRunFolder(join(root, 'new', 'root'), 'Vision', 'Run 1'), folder)
  })

  it('are found by id in whatever project they are', () => {
    const at = join(root, 'found')
    const made = [
      ['vision', 'a'],
      ['vision', 'both'],
      ['Speech', 'b'],
      ['Speech', 'both'],
    ].map(([project, id]) => {
      const folder = createRunFolder(at, project!, id!)
      writeFileSync(join(folder, 'run.json'), '')
      return folder
    })
    createRunFolder(at, 'vision', 'without-run-file')
    mkdirSync(join(at, '.cache', 'thing'), { recursive: true })
    writeFileSync(join(at, 'note.txt'), '')
    assert.deepEqual(listRunFolders(at).sort(), made.sort())
    assert.equal(findRunFolder(at, 'b'), runFolder(at, 'Speech', 'b'))
    assert.equal(findRunFolder(at, 'both', 'vision'), runFolder(at, 'vision', 'both'))
    assert.throws(() => findRunFolder(at, 'both'), { code: 'ERR_OPTION', message: /several projects/ })
    assert.throws(() => findRunFolder(at, 'botj'), {
      code: 'ERR_RUN_UNKNOWN',
      message: /did you mean 'both'/,
    })
    assert.throws(() => findRunFolder(at, 'a', 'Speech'), { code: 'ERR_RUN_UNKNOWN' })
    assert.throws(() => findRunFolder(at, 'without-run-file'), { code: 'ERR_RUN_UNKNOWN' })
  })

  it('are none where there is no root yet', () => {
    assert.deepEqual(listRunFolders(join(root, 'nowhere')), [])
    assert.throws(() => findRunFolder(join(root, 'nowhere'), 'a'), { code: 'ERR_RUN_UNKNOWN' })
  })
})

describe('newRunId', () => {
  it('sorts by time and is its own folder name', () => {
    const early = newRunId(new Date('2026-11-23T10:15:02.999Z'))
    const late = newRunId(new Date('2026-11-23T10:15:03Z'))
    assert.match(early, /^20261123-101502-[a-km-np-z2-9]{6}$/)
    assert.ok(early < late)
    assert.equal(folderName(early), early)
  })

  it('differs within a second', () => {
    const now = new Date()
    assert.equal(new Set(Array.from({ length: 1000 }, () => newRunId(now))).size, 1000)
  })
})

/** The inverse of F1–F3, written from the rule. */
function undo(folder: string): string {
  if (folder === '%') return ''
  return folder.replace(/\+(.)|%u(....)|((?:%[0-9a-f]{2})+)/g, (_, upper, half, bytes) => {
    if (upper !== undefined) return upper.toUpperCase()
    if (half !== undefined) return String.fromCharCode(Number.parseInt(half, 16))
    return Buffer.from(bytes.replaceAll('%', ''), 'hex').toString()
  })
}

/** 3,000 names of at most `length` characters, of pieces that are near each other; the same in every run. */
function randomNames(length: number): string[] {
  const pieces = [
    'a',
    'A',
    '.',
    '-',
    '_',
    ' ',
    '/',
    '%',
    '+',
    '%2e',
    'con',
    'é',
    'e\u0301',
    '\ud800',
    '\udc00',
    '~',
    'É',
  ]
  let state = 20261123
  const next = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  return Array.from({ length: 3000 }, () =>
    Array.from({ length: next(length / 3 + 1) }, () => pieces[next(pieces.length)]).join(''),
  )
}
