import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, extname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import type { ErrorRecord } from '../../../src/core/errors.ts'
import type { Cursor, SettledCounts } from '../../../src/core/types.ts'
import {
  CursorStore,
  cursorPath,
  previousPath,
  settledFloor,
  uploadsName,
} from '../../../src/pipeline/store/cursor.ts'
import { MAX_STATE_BYTES } from '../../../src/pipeline/store/cursor-format.ts'

const ADDRESS = 'https://mlflow.example project 7'
const SETTLED: SettledCounts = {
  delivered: 1000,
  superseded: 1,
  filtered: 2,
  rejected: 3,
  corrupt: 4,
  recordsDelivered: 5,
  recordsFiltered: 6,
  recordsRejected: 7,
  recordsCorrupt: 8,
  elsewhere: 0,
}

describe('CursorStore', () => {
  let folder = ''
  let reports: ErrorRecord[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-cursor-'))
    reports = []
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const open = (name = 'mlflow') => new CursorStore(folder, name, (issue) => reports.push(issue))
  const load = (address = ADDRESS) => open().load(address)
  const path = () => cursorPath(folder, 'mlflow', ADDRESS)
  function saveAll(...cursors: Cursor[]): void {
    const store = open()
    store.load(ADDRESS)
    for (const one of cursors) store.save(one)
  }

  it('has nothing to load at first, and then what was saved last', () => {
    const store = open()
    assert.equal(store.load(ADDRESS), undefined)
    assert.equal(existsSync(dirname(path())), false)
    const saved: Cursor = {
      seq: 2 ** 52,
      back: 17,
      rows: [
        [3, 5],
        [9, 9],
      ],
      settled: SETTLED,
      state: { runId: 'é\u0000"', __proto__: null, lines: [1, -2.5e300, null, true] },
    }
    store.save(cursor(1))
    store.save(saved)
    assert.deepEqual(load(), JSON.parse(JSON.stringify(saved)))
    assert.deepEqual(reports, [])
    assert.equal(statSync(path()).mode & 0o777, 0o600)
    assert.equal(statSync(dirname(path())).mode & 0o777, 0o700)
  })

  it('keeps two files a destination however often it is saved', () => {
    saveAll(...Array.from({ length: 20 }, (_, index) => cursor(index)))
    assert.deepEqual(
      readdirSync(dirname(path())).sort(),
      [path(), previousPath(path())].map((file) => file.slice(dirname(path()).length + 1)).sort(),
    )
    assert.equal(load()!.seq, 19)
  })

  it('a shorter cursor after a longer one is whole', () => {
    saveAll(
      cursor(1, { note: 'x'.repeat(5000) }),
      cursor(2, { note: 'x'.repeat(6000) }),
      cursor(3),
      cursor(4),
    )
    assert.deepEqual(load(), cursor(4))
    assert.deepEqual(reports, [])
  })

  it('another address or another name starts at nothing', () => {
    saveAll(cursor(5))
    assert.equal(load(`${ADDRESS}0`), undefined)
    assert.equal(open('mlflow:team').load(ADDRESS), undefined)
    assert.deepEqual(reports, [])
  })

  it('C1 a file that was saved for another destination is not used, whatever its name', () => {
    saveAll(cursor(5))
    renameSync(path(), cursorPath(folder, 'mlflow', 'http://other'))
    assert.equal(load('http://other'), undefined)
    assert.equal(reports[0]!.code, 'ERR_CURSOR_DAMAGED')
  })

  it('C1 any flipped byte or bit is noticed, and the copy before it is used', () => {
    saveAll(cursor(7), cursor(8, { runId: 'abc' }))
    const sound = readFileSync(path())
    for (let at = 0; at < sound.length; at++) {
      for (const mask of [0x01, 0x20, 0x80, 0xff]) {
        const flipped = Buffer.from(sound)
        flipped[at]! ^= mask
        writeFileSync(path(), flipped)
        reports = []
        assert.deepEqual(load(), cursor(7), `byte ${at}, mask ${mask}`)
        assert.deepEqual(
          reports.map(({ code }) => code),
          ['ERR_CURSOR_DAMAGED'],
        )
      }
    }
  })

  it('C1 a file cut short or grown is noticed at every length', () => {
    saveAll(cursor(7), cursor(8))
    const sound = readFileSync(path())
    for (let length = 0; length < sound.length; length++) {
      writeFileSync(path(), sound.subarray(0, length))
      assert.equal(load()!.seq, 7, `length ${length}`)
    }
    for (const more of ['\n', '\0', ' ', '{}']) {
      writeFileSync(path(), Buffer.concat([sound, Buffer.from(more)]))
      assert.equal(load()!.seq, 7)
    }
  })

  it('starts at 0 and says so when both copies are damaged, or the only one', () => {
    saveAll(cursor(7))
    writeFileSync(path(), 'x')
    assert.equal(load(), undefined)
    assert.match(reports[0]!.message, /starting at 0/)
    writeFileSync(previousPath(path()), 'y')
    assert.equal(load(), undefined)
    assert.equal(reports.length, 2)
  })

  it('C2 a process killed between the two renames leaves the copy before, without a report', () => {
    saveAll(cursor(7), cursor(8))
    renameSync(path(), previousPath(path()))
    assert.equal(load()!.seq, 8)
    assert.deepEqual(reports, [])
    saveAll(cursor(9))
    assert.equal(load()!.seq, 9)
    assert.deepEqual(reports, [])
  })

  it('C2 a copy in the making that was torn off harms nothing', () => {
    saveAll(cursor(7), cursor(8))
    renameSync(previousPath(path()), `${path()}.tmp`)
    writeFileSync(`${path()}.tmp`, '{"format":"tracelet-cursor","ver')
    assert.equal(load()!.seq, 8)
    saveAll(cursor(9), cursor(10))
    assert.equal(load()!.seq, 10)
    assert.deepEqual(reports, [])
  })

  it('C2 is the last acknowledged one or the next after the process was killed at any instant', async () => {
    const module = new URL(`../../../src/pipeline/store/cursor${extname(import.meta.url)}`, import.meta.url)
    const script = `
      import { writeSync } from 'node:fs'
      import { CursorStore } from ${JSON.stringify(module.href)}
      const store = new CursorStore(${JSON.stringify(folder)}, 'mlflow', () => process.exit(1))
      const address = ${JSON.stringify(ADDRESS)}
      for (let seq = (store.load(address)?.seq ?? 0) + 1; ; seq++) {
        store.save({ seq, back: seq, settled: ${JSON.stringify(SETTLED)}, state: { note: 'x'.repeat(seq % 3000) } })
        writeSync(1, seq + ' ')
      }`
    for (let kill = 0; kill < 8; kill++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let output = ''
      child.stdout.on('data', (chunk) => {
        output += chunk
        if (output.length > 400 + 997 * kill) child.kill('SIGKILL')
      })
      await once(child, 'close')
      assert.equal(child.signalCode, 'SIGKILL')
      const acknowledged = Number(output.trim().split(' ').at(-1))
      const { seq } = load()!
      assert.ok(
        seq === acknowledged || seq === acknowledged + 1,
        `${seq} after ${acknowledged} was acknowledged`,
      )
      assert.deepEqual(reports, [])
    }
  })

  it('C3 a damaged file does not take the place of the sound one before it', () => {
    saveAll(cursor(7), cursor(8))
    writeFileSync(path(), 'x')
    saveAll(cursor(9))
    writeFileSync(path(), 'x')
    assert.equal(load()!.seq, 7)
    saveAll(cursor(10), cursor(11))
    writeFileSync(path(), 'x')
    assert.equal(load()!.seq, 10)
  })

  it('C4 goes forward only, within a process and after a restart', () => {
    const store = open()
    store.load(ADDRESS)
    store.save(cursor(8))
    store.save(cursor(8))
    assert.throws(() => store.save(cursor(7)), { code: 'ERR_LAW', message: /from 8 to 7/ })
    const later = open()
    later.load(ADDRESS)
    assert.throws(() => later.save(cursor(7)), { code: 'ERR_LAW' })
    assert.equal(load()!.seq, 8)
  })

  it('refuses what is no cursor, and one that was saved before any was loaded', () => {
    const store = open()
    assert.throws(() => store.save(cursor(1)), { code: 'ERR_LAW', message: /before it was loaded/ })
    store.load(ADDRESS)
    for (const seq of [-1, 0.5, Number.NaN, 2 ** 53]) {
      assert.throws(() => store.save({ ...cursor(1), seq }), { code: 'ERR_LAW' })
    }
    assert.throws(() => store.save({ ...cursor(5), back: 6 }), { code: 'ERR_LAW' })
  })

  it('takes a state of 64 KiB and not of a byte more', () => {
    const store = open()
    store.load(ADDRESS)
    const fits = 'x'.repeat(MAX_STATE_BYTES - '{"s":""}'.length)
    store.save(cursor(1, { s: fits }))
    assert.equal(load()!.state!.s, fits)
    assert.throws(() => store.save(cursor(2, { s: `${fits}x` })), {
      code: 'ERR_SINK_BUG',
      message: /65537 bytes/,
    })
    const circle: Record<string, unknown> = {}
    circle.circle = circle
    assert.throws(() => store.save(cursor(2, circle)), { code: 'ERR_SINK_BUG' })
    assert.equal(load()!.seq, 1)
  })

  it('refuses a newer version, but takes a changed version number for damage', () => {
    saveAll(cursor(7), cursor(8))
    const text = readFileSync(path(), 'utf8').replace('"version":1', '"version":2')
    writeFileSync(path(), text)
    assert.equal(load()!.seq, 7)
    const rest = text.replace(/"crc":"[0-9a-f]{8}/, '"crc":"')
    const crc = crc32(rest).toString(16).padStart(8, '0')
    writeFileSync(path(), text.replace(/"crc":"[0-9a-f]{8}/, `"crc":"${crc}`))
    assert.throws(() => load(), { code: 'ERR_JOURNAL_FORMAT', message: /version 2/ })
  })

  it('a save that the disk refuses leaves the cursor before it, and the next one works', () => {
    const store = open()
    store.load(ADDRESS)
    store.save(cursor(1))
    store.save(cursor(2))
    const aside = `${folder}-aside`
    renameSync(dirname(path()), aside)
    writeFileSync(dirname(path()), 'a file where the folder was')
    assert.throws(() => store.save(cursor(3)), { code: 'ERR_JOURNAL_WRITE' })
    rmSync(dirname(path()))
    renameSync(aside, dirname(path()))
    assert.equal(load()!.seq, 2)
    store.save(cursor(3))
    assert.equal(load()!.seq, 3)
    assert.deepEqual(reports, [])
  })
})

function cursor(seq: number, state?: Record<string, unknown>): Cursor {
  return { seq, back: seq, settled: SETTLED, ...(state && { state }) } as Cursor
}

it('a cursor of uploads keeps its files, its points and the address of the run, and is read beside that of the rows', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-cursors-'))
  try {
    const load = (name: string, address = ADDRESS) =>
      new CursorStore(folder, name, () => undefined).load(address)
    const save = (name: string, saved: Cursor) => {
      const store = new CursorStore(folder, name, () => undefined)
      store.load(ADDRESS)
      store.save(saved)
    }
    const rows: Cursor = {
      ...cursor(20, { id: 'r' }),
      url: 'http://there/r',
      uploads: { text: 0, artifact: 7 },
      routes: [{ from: 0, include: ['train/*'], everyN: 10 }, { from: 12 }],
      thinned: [{ from: 3, to: 30, bucket: 5 }],
    }
    const refused = { count: 2, first: [{ path: 'a', code: 'ERR_BLOB', reason: 'gone' }] }
    const uploads: Cursor = { ...cursor(40, { part: 3 }), files: 7, refused, points: 31 }
    save('mlflow', rows)
    save(uploadsName('mlflow'), uploads)
    assert.deepEqual(load('mlflow'), rows)
    assert.deepEqual(load(uploadsName('mlflow')), uploads)
    assert.equal(load(uploadsName('mlflow'), 'elsewhere'), undefined)
    // uploads may be ahead of the rows; how many of those below are points is theirs to know
    assert.deepEqual(settledFloor(folder), { seq: 40, points: 31 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('the floor is the cursor furthest ahead, damaged ones passed over', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-floor-'))
  try {
    assert.deepEqual(settledFloor(folder), { seq: 0, points: 0 })
    const settle = (destination: string, seq: number, delivered: number) => {
      const store = new CursorStore(folder, destination, () => undefined)
      store.load('somewhere')
      store.save({
        seq,
        back: seq,
        settled: { ...SETTLED, delivered, filtered: 0, rejected: 1, corrupt: 0 },
        state: undefined,
      })
    }
    settle('near', 10, 8)
    settle('far', 30, 25)
    assert.deepEqual(settledFloor(folder), { seq: 30, points: 26 })
    writeFileSync(cursorPath(folder, 'far', 'somewhere'), 'rubbish')
    assert.deepEqual(settledFloor(folder), { seq: 10, points: 9 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

it('routes and thinned stretches that cannot be are damage, not followed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-cursors-'))
  const wrong: readonly Partial<Cursor>[] = [
    { thinned: [{ from: 0, to: 9, bucket: 0 }] },
    { thinned: [{ from: -1, to: 9, bucket: 2 }] },
    { routes: [{ from: 0.5 }] },
  ]
  try {
    wrong.forEach((fields, index) => {
      const reports: ErrorRecord[] = []
      const store = new CursorStore(folder, `wrong-${index}`, (issue) => void reports.push(issue))
      store.load(ADDRESS)
      store.save({ ...cursor(20), ...fields })
      assert.equal(store.load(ADDRESS), undefined)
      assert.equal(reports[0]?.code, 'ERR_CURSOR_DAMAGED')
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
