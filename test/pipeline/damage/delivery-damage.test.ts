import assert from 'node:assert/strict'
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { RunInfo } from '../../../src/core/types.ts'
import { createRunFolder } from '../../../src/pipeline/store/folder.ts'
import { readRunFile, writeRunFile } from '../../../src/pipeline/store/run-file.ts'
import { Random, SEED } from '../../random.ts'
import { writeBlob } from '../../sinks/blobs.ts'
import { appendFile } from '../../sinks/fakes/append-sink.ts'
import { IdentityServer } from '../../sinks/fakes/identity-server.ts'
import { OffsetServer } from '../../sinks/fakes/offset-server.ts'
import { fakeModule } from '../delivery/run-folder.ts'
import { type SyncedRun, syncRun } from '../delivery/sync-run.ts'
import { isPoint, readBack, Scribe } from '../journal/scribe.ts'
import { type Files, journalFiles, judge } from './model.ts'
import { EPOCH, type RandomRun, writeRandomRun } from './random-run.ts'
import { CHANGES, wreck } from './wreck.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
const ROUNDS = Number(process.env.TRACELET_TEST_ROUNDS ?? (isLong ? 1_000 : 24))
const NAMES = ['identity', 'offset', 'append'] as const
type Name = (typeof NAMES)[number]

const root = mkdtempSync(join(tmpdir(), 'tracelet-damage-'))
let identity: IdentityServer
let offset: OffsetServer

before(async () => {
  identity = await IdentityServer.start()
  offset = await OffsetServer.start()
})
after(async () => {
  await Promise.all([identity.stop(), offset.stop()])
  rmSync(root, { recursive: true, force: true })
})

function newRun(id: string): RunInfo {
  const folder = createRunFolder(root, 'project', id)
  const run = {
    id,
    name: id,
    project: 'project',
    experiment: 'e',
    createdAt: 1,
    nonce: `nonce of ${id}`,
    folder,
  }
  const options = {
    identity: { url: identity.url },
    offset: { url: offset.url },
    append: { folder: join(root, 'files') },
  }
  const destinations = NAMES.map((name) => ({
    name,
    kind: name,
    module: fakeModule(name),
    options: options[name],
    address: '',
    addedAt: 1,
    usedAt: 1,
  }))
  writeRunFile(folder, { tracelet: '0.0.0', run, openedAt: 1, state: 'finished', destinations })
  return run
}

/** Numbers of the points that each backend holds, as often as it holds them; values are compared. */
function held(run: RunInfo, { items }: RandomRun): Record<Name, number[]> {
  const file = appendFile(join(root, 'files'), run.id)
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
  const appended = lines
    .map((line) => JSON.parse(line))
    .flatMap(([kind, , step, time, value]) =>
      kind === 'point' ? [{ step, time, value: Number(value) }] : [],
    )
  const numbers = (points: Iterable<{ step: number; time: number; value: number }>) =>
    Array.from(points, ({ step, time, value }) => {
      const item = items[time - EPOCH]
      assert.ok(item !== undefined && isPoint(item), `a point of time ${time} was never logged`)
      assert.deepEqual({ step, value }, { step: item.step, value: item.value })
      return time - EPOCH
    }).sort((a, b) => a - b)
  return {
    identity: numbers(identity.runs.get(run.id)?.points.values() ?? []),
    offset: numbers(offset.points(run.id)),
    append: numbers(appended),
  }
}

function assertLaw({ journaled, recordsJournaled, destinations }: SyncedRun, where: string): void {
  for (const [name, stats] of Object.entries(destinations)) {
    const told = `${where}: ${name} ${JSON.stringify(stats)}`
    assert.ok(stats.complete, told)
    const { delivered, filtered, rejected, corrupt, records } = stats
    assert.equal(delivered + filtered + rejected + corrupt, journaled, told)
    assert.equal(
      records.delivered + records.filtered + records.rejected + records.corrupt,
      recordsJournaled,
      told,
    )
    assert.deepEqual([stats.pending, records.pending], [0, 0], told)
  }
}

async function deliver({ folder }: RunInfo, where: string): Promise<SyncedRun> {
  const synced = await syncRun(folder, { deadlineMs: 60_000, environment: {} })
  assertLaw(synced, where)
  return synced
}

function put(folder: string, before: Files, now: Files): void {
  for (const name of before.keys()) rmSync(join(folder, name))
  for (const [name, bytes] of now) writeFileSync(join(folder, name), bytes)
}

function change(random: Random, path: string): string {
  const what = random.pick(Object.keys(CHANGES).filter((name) => name !== 'repeat'))
  writeFileSync(path, CHANGES[what]!(readFileSync(path), random, new Map()))
  return what
}

test(`what damage leaves of a journal reaches each backend once, with its own values (seed ${SEED})`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = new Random(SEED + round)
    const run = newRun(`journal-${round}`)
    const written = writeRandomRun(random, run.folder, run.id, 1 + random.below(2))
    const isBegun = random.below(2) === 0
    if (isBegun) await deliver(run, `round ${round}`)
    const sent = isBegun ? written.items.length : 0
    const whole = isBegun ? writeRandomRun(random, run.folder, run.id, 1, written) : written
    const files = journalFiles(run.folder)
    const { files: damaged, what } = wreck(files, random, 1)
    const where = `seed ${SEED}, round ${round}: ${what}`
    put(run.folder, files, damaged)
    await deliver(run, where)
    const { untouched } = judge(files, damaged)
    const must = whole.items.flatMap((item, seq) =>
      isPoint(item) && (seq < sent || untouched.has(seq)) ? [seq] : [],
    )
    const read = readBack(run.folder, { runId: run.id }).items
    const may = new Set([...must, ...read.keys()])
    for (const [name, numbers] of Object.entries(held(run, whole))) {
      assert.equal(new Set(numbers).size, numbers.length, `${where}: ${name} has something twice`)
      const has = new Set(numbers)
      assert.deepEqual(
        must.filter((seq) => !has.has(seq)),
        [],
        `${where}: ${name} lacks`,
      )
      assert.deepEqual(
        numbers.filter((seq) => !may.has(seq)),
        [],
        `${where}: ${name} has`,
      )
    }
    assert.deepEqual([offset.gaps, offset.conflicts], [0, 0], where)
    rmSync(run.folder, { recursive: true })
  }
})

test(`damaged cursors, guards, letters and run files cost nothing (seed ${SEED})`, async () => {
  for (let round = 0; round < ROUNDS / 3; round++) {
    const random = new Random(SEED + 1_000 + round)
    const run = newRun(`beside-${round}`)
    const first = writeRandomRun(random, run.folder, run.id, 1)
    await deliver(run, `round ${round}`)
    const whole = writeRandomRun(random, run.folder, run.id, 1, first)
    if (random.below(2) === 0) await deliver(run, `round ${round}`)
    const told: string[] = []
    const cursors = readdirSync(join(run.folder, 'cursors')).map((name) => join(run.folder, 'cursors', name))
    for (const path of cursors) if (random.below(2) === 0) told.push(`${change(random, path)} ${path}`)
    const runFile = join(run.folder, random.pick(['run.json', 'run.copy.json']))
    told.push(`${change(random, runFile)} ${runFile}`)
    const letters = join(run.folder, 'dead-letters.jsonl')
    writeFileSync(letters, CHANGES.noise!(Buffer.alloc(5_000, '{"seq":1}\n'), random, new Map()))
    const guard = join(run.folder, 'guards', 'deliver-identity.7.json')
    writeFileSync(
      guard,
      CHANGES.noise!(Buffer.alloc(300, '{"format":"tracelet-guard"}\n'), random, new Map()),
    )
    // fresh, it would be waited for
    utimesSync(guard, 0, 0)
    const where = `seed ${SEED}, round ${round}: ${told.join(', ')}`
    await deliver(run, where)
    assert.deepEqual(readRunFile(run.folder).run.nonce, run.nonce, where)
    const all = whole.items.flatMap((item, seq) => (isPoint(item) ? [seq] : []))
    assert.deepEqual(held(run, whole), { identity: all, offset: all, append: all }, where)
    assert.deepEqual([offset.gaps, offset.conflicts], [0, 0], where)
    rmSync(run.folder, { recursive: true })
  }
})

test('a cursor of another run is not believed; one beyond the end of the journal stays as it is', async () => {
  const random = new Random()
  const [other, run] = [newRun('other'), newRun('mine')]
  writeRandomRun(random, other.folder, other.id, 2)
  await deliver(other, 'other')
  const mine = writeRandomRun(random, run.folder, run.id, 2)
  const cursors = join(run.folder, 'cursors')
  cpSync(join(other.folder, 'cursors'), cursors, { recursive: true })
  const told: string[] = []
  const synced = await syncRun(run.folder, {
    deadlineMs: 60_000,
    environment: {},
    onMessage: (message) => {
      if (message.type === 'issue') told.push(`${message.issue.code} ${message.issue.message}`)
    },
  })
  assertLaw(synced, 'foreign cursors')
  assert.ok(
    told.some((text) => /^ERR_CURSOR_DAMAGED .*of another run/.test(text)),
    told.join('\n'),
  )
  const all = mine.items.flatMap((item, seq) => (isPoint(item) ? [seq] : []))
  assert.deepEqual(held(run, mine), { identity: all, offset: all, append: all })
  // as a power cut may leave it
  const last = [...journalFiles(run.folder)].at(-1)!
  writeFileSync(join(run.folder, last[0]), last[1].subarray(0, last[1].length / 2))
  await syncRun(run.folder, { deadlineMs: 60_000, environment: {} })
  assert.deepEqual(held(run, mine), { identity: all, offset: all, append: all })
})

test('a file that is gone or has other bytes is rejected with its reason, the others arrive', async () => {
  const run = newRun('blobs')
  const scribe = new Scribe(run.folder, { runId: run.id })
  const blobs = ['gone', 'changed', 'sound'].map((name) => {
    const blob = writeBlob(run.folder, `content of ${name}`)
    const files = [{ path: 'file', blob }]
    scribe.record({ kind: 'artifact', name, type: 'artifact', time: EPOCH, files, bytes: blob.bytes })
    return join(run.folder, 'blobs', blob.digest.slice(0, 2), blob.digest)
  })
  scribe.record({ kind: 'state', state: 'finished', time: EPOCH }).commit()
  scribe.writer.close()
  const [gone, changed] = blobs
  rmSync(gone!)
  const bytes = readFileSync(changed!)
  bytes[0]! ^= 1
  writeFileSync(changed!, bytes)
  const { destinations } = await deliver(run, 'blobs')
  assert.equal(destinations.identity!.records.rejected, 2)
  assert.equal(destinations.identity!.records.delivered, 2)
  assert.deepEqual(
    identity.storedUploads(run.id).map(({ name }) => name),
    ['sound'],
  )
  const letters = readFileSync(join(run.folder, 'dead-letters.jsonl'), 'utf8')
  assert.match(letters, /ERR_BLOB.*is missing/)
  assert.match(letters, /ERR_BLOB.*was changed/)
})

test('a record that is damaged after it was uploaded and before rows pass it is counted once', async () => {
  const run = newRun('uploaded')
  const scribe = new Scribe(run.folder, { runId: run.id })
  scribe.points([{ name: 'a', step: 0, time: EPOCH, value: 1 }]).commit()
  const files = [{ path: 'file', blob: writeBlob(run.folder, 'content') }]
  scribe.record({ kind: 'artifact', name: 'x', type: 'artifact', time: EPOCH, files, bytes: 7 }).commit()
  scribe.record({ kind: 'state', state: 'finished', time: EPOCH }).commit()
  scribe.writer.close()
  await deliver(run, 'sound')
  // rows go back to the beginning, uploads have gone ahead
  const cursors = join(run.folder, 'cursors')
  for (const name of readdirSync(cursors)) if (!name.includes('.uploads')) rmSync(join(cursors, name))
  const [file, bytes] = [...journalFiles(run.folder)][0]!
  const at = bytes.indexOf('artifact')
  bytes[at]! ^= 1
  writeFileSync(join(run.folder, file), bytes)
  const { destinations } = await deliver(run, 'damaged')
  assert.equal(destinations.identity!.records.corrupt, 1)
  const again = await deliver(run, 'once more')
  assert.equal(again.destinations.identity!.records.corrupt, 1)
})
