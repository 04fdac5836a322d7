/**
 * What must hold, after a kill, of everything that is logged besides points: each is whole and as it was logged, none
 * is there twice, each name is a prefix, and what a flush promised is there.
 */
import assert from 'node:assert/strict'
import { type ArtifactFile, openRun, type StoredRun } from '../../src/index.ts'
import { decodePng } from '../decode-png.ts'
import type { StoredUpload } from '../sinks/harness.ts'
import { diaryPath, type Orders } from './orders.ts'
import { ENTRY, readDiary } from './progress.ts'
import { THREADS, type Thread } from './truth.ts'
import {
  fileOf,
  imageOf,
  kindOf,
  RECORD_KINDS,
  recordName,
  type TrainedKind,
  textOf,
} from './truth-records.ts'
import { type StoredSeries, seriesOf } from './verdict.ts'

/** How many texts, images and files are there of the last life, after a look at each. */
export function checkStoredRecords(folder: string, orders: Orders, journal: readonly StoredSeries[]): number {
  const run = openRun(folder)
  let found = 0
  for (const thread of THREADS) {
    const stored = new Map(RECORD_KINDS.map((kind) => [kind, readKind(run, orders.life, thread, kind)]))
    const diary = readDiary(diaryPath(orders, thread))
    for (const [kind, numbers] of stored) {
      const which = `${thread}'s ${kind}s of life ${orders.life}`
      const all = numbers.map((_, index) => RECORD_KINDS.indexOf(kind) + index * RECORD_KINDS.length)
      assert.deepEqual(numbers, all, `${which} are no prefix`)
      found += numbers.length
    }
    const has = (n: number) => stored.get(kindOf(n))!.includes(n)
    const promised = diary.findLast(({ kind }) => kind === ENTRY.flushed || kind === ENTRY.finished)
    for (let n = 0; n < (promised?.records ?? 0); n++)
      assert.ok(has(n), `${thread}: record ${n}, which a flush promised, is missing`)
    checkOrder(thread, diary, seriesOf(journal, orders.life, thread)[0]!.step.length, has)
  }
  return found
}

/** A short text goes the way of the points: where a later point has arrived it has. */
function checkOrder(
  thread: Thread,
  diary: ReturnType<typeof readDiary>,
  rowsStored: number,
  has: (n: number) => boolean,
): void {
  for (const { kind, rows, records } of diary) {
    const n = records - 1
    if (kind !== ENTRY.recorded || kindOf(n) !== 'note' || rows >= rowsStored) continue
    assert.ok(has(n), `${thread}: text ${n} came before row ${rows} and is missing, of ${rowsStored} rows`)
  }
}

/** The numbers of those that are stored, in the order of the journal. */
function readKind(run: StoredRun, life: number, thread: Thread, kind: TrainedKind): number[] {
  const name = recordName(life, thread, RECORD_KINDS.indexOf(kind))
  switch (kind) {
    case 'image':
      return run.images(name).map(({ step, content }) => {
        const { data, shape } = imageOf(life, thread, step)
        const { width, height, channels, data: stored } = decodePng(content.read())
        assert.deepEqual([height, width, channels], shape, `${name} ${step}`)
        assert.deepEqual([...stored], [...data], `${name} ${step}`)
        return step
      })
    case 'file':
      return run.artifacts().flatMap((artifact) => {
        const n = Number(/\d+$/.exec(artifact.name)?.[0])
        if (artifact.name !== recordName(life, thread, n)) return []
        const [file, ...others]: ArtifactFile[] = artifact.files()
        assert.deepEqual([file?.path, others.length], [`${n}.bin`, 0], artifact.name)
        assert.ok(file!.content!.read().equals(fileOf(life, thread, n)), `content of ${artifact.name}`)
        return [n]
      })
    default:
      return run.texts(name).map((text) => {
        assert.equal(text.text(), textOf(life, thread, text.step), `${name} ${text.step}`)
        return text.step
      })
  }
}

/** Each record of the journal that is uploaded is there once, its files by their digests. */
export function checkUploads(uploads: readonly StoredUpload[], folder: string): void {
  const expected = [...openRun(folder).records()].flatMap((record): StoredUpload[] => {
    if (record.kind === 'images') {
      const files = record.images.map(({ image }, index) => [String(index), image.digest])
      return [{ kind: record.kind, name: record.name, files: Object.fromEntries(files) }]
    }
    if (record.kind === 'text') {
      const files = typeof record.text === 'string' ? {} : { 0: record.text.digest }
      return [{ kind: record.kind, name: record.name, files }]
    }
    if (record.kind !== 'artifact') return []
    assert.ok(Array.isArray(record.files))
    const files = record.files.map(({ path, blob }) => [path, blob.digest])
    return [{ kind: record.kind, name: record.name, files: Object.fromEntries(files) }]
  })
  const lines = (all: readonly StoredUpload[]) => all.map((upload) => JSON.stringify(upload)).sort()
  assert.deepEqual(lines(uploads), lines(expected), 'uploads')
}

/** What a backend holds of a run besides points. */
export interface RemoteRecords {
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  readonly outcome: string | undefined
}

export function checkRemoteRecords(where: string, held: RemoteRecords, folder: string): void {
  const run = openRun(folder)
  const params = Object.entries(run.params()).map(([name, value]) => [name, String(value)])
  const { outcome, tags } = held
  assert.deepEqual(
    { params: { ...held.params }, tags: { ...tags }, outcome },
    { params: Object.fromEntries(params), tags: run.tags(), outcome: run.state().state },
    where,
  )
}
