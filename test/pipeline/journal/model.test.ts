import assert from 'node:assert/strict'
import { appendFileSync, closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { RunRecord } from '../../../src/core/types.ts'
import { segmentName } from '../../../src/pipeline/journal/format.ts'
import { type JournalFileReader, openJournal } from '../../../src/pipeline/journal/reader.ts'
import { listSegments } from '../../../src/pipeline/journal/segment-file.ts'
import { Random, SEED } from '../../random.ts'
import { assertHonest, readBack, Scribe, temporaryFolder } from './scribe.ts'

const ROUNDS = 25
const OPERATIONS = 120

test(`random writers, crashes, full disks and failed syncs leave what an array would (seed ${SEED})`, (t) => {
  const random = new Random()
  for (let round = 0; round < ROUNDS; round++) {
    const folder = temporaryFolder(t)
    const segmentBytes = random.pick([1, 1000, 4000, 1_000_000])
    let process = 0
    let nonce = 'process 0'
    let disk: string | undefined
    const descriptors = new Map<string, number>()
    const files = {
      acquire: (path: string) => {
        const target = disk ?? path
        let fd = descriptors.get(target)
        if (fd === undefined) descriptors.set(target, (fd = openSync(target, 'a')))
        return fd
      },
      close: (path: string) => {
        const fd = descriptors.get(path)
        if (fd !== undefined) closeSync(fd)
        descriptors.delete(path)
      },
    }
    let scribe = new Scribe(folder, { segmentBytes, descriptors: files, nonce })
    /** Lane → position, as journaled by this process. */
    let lanes = new Map<number, number>()
    let stagedLanes: [number, number][] = []
    /** Ends of commits in the present segment. */
    let goodLengths: number[] = []
    let segment = 0
    const live = openJournal(folder, { live: true, limitSeq: () => scribe.items.length })
    let liveSeq = 0

    const reopen = (session: 'process' | 'drain') => {
      if (session === 'process') {
        nonce = `process ${++process}`
        lanes = new Map()
      }
      stagedLanes = []
      scribe = new Scribe(folder, { segmentBytes, descriptors: files, nonce, session }, scribe.items)
      assert.equal(scribe.writer.seq, scribe.items.length)
      assert.deepEqual(new Map([...scribe.writer.lanePositions].sort()), new Map([...lanes].sort()))
    }

    for (let operation = 0; operation < OPERATIONS; operation++) {
      if (scribe.writer.segment !== segment) goodLengths = [0]
      segment = scribe.writer.segment
      goodLengths.push(scribe.writer.committedBytes)
      const dice = random.below(100)
      if (dice < 40) {
        const lane = random.below(3)
        const position = operation + 1
        scribe.points(randomPoints(random), { lane, position, coalesced: 0 })
        stagedLanes.push([lane, position])
      } else if (dice < 50) scribe.record(randomRecord(random))
      else if (dice < 80) {
        scribe.commit()
        for (const [lane, position] of stagedLanes) lanes.set(lane, position)
        stagedLanes = []
      } else if (dice < 84) {
        disk = '/dev/full'
        const hadFrames = scribe.writer.stagedBytes > 0
        const { segment } = scribe.writer
        try {
          scribe.commit()
          for (const [lane, position] of stagedLanes) lanes.set(lane, position)
          // a new segment is made with a descriptor of its own, on the disk that is not full
          assert.ok(!hadFrames || scribe.writer.segment !== segment)
        } catch (error) {
          if ((error as { code?: string }).code !== 'ERR_JOURNAL_WRITE') throw error
        }
        stagedLanes = []
        disk = undefined
      } else if (dice < 88) {
        const id = { writer: scribe.writer, segment: scribe.writer.segment }
        const syncedBytes = random.pick(goodLengths)
        scribe.writer.handleSync({ id, syncedBytes, failure: '' })
        scribe.writer.handleSync({ id, syncedBytes: 0, failure: 'EIO' })
      } else if (dice < 92) {
        const path = join(folder, segmentName(scribe.writer.segment))
        files.close(path) // killed, perhaps within an append
        if (random.below(2) === 0) appendFileSync(path, Buffer.alloc(random.below(200), random.below(256)))
        reopen(random.pick(['process', 'drain']))
      } else if (dice < 94) {
        scribe.commit().writer.close()
        for (const [lane, position] of stagedLanes) lanes.set(lane, position)
        reopen(random.pick(['process', 'drain']))
      } else if (dice < 98) liveSeq = follow(live, liveSeq, scribe)
      else check(random, scribe)
    }
    scribe.commit().writer.close()
    assert.equal(follow(live, liveSeq, scribe), scribe.items.length)
    live.close()
    check(random, scribe)
    for (const path of descriptors.keys()) files.close(path)
    rmSync(folder, { recursive: true })
  }
})

function follow(live: JournalFileReader, from: number, scribe: Scribe): number {
  let seq = from
  for (let entry = live.next(); entry; entry = live.next()) {
    assert.notEqual(entry.kind, 'corrupt', `seed ${SEED}`)
    if (entry.kind === 'record') assert.deepEqual(entry.record, scribe.items[seq++])
    if (entry.kind !== 'points') continue
    for (const value of entry.points.value) {
      const item = scribe.items[seq++]
      assert.ok(item && 'value' in item && Object.is(item.value, value), `seed ${SEED}`)
    }
  }
  return seq
}

function check(random: Random, scribe: Scribe): void {
  for (const fromSeq of [0, random.below(scribe.items.length + 1)]) {
    const back = readBack(scribe.folder, { fromSeq })
    assert.deepEqual([assertHonest(back, scribe.items, fromSeq), back.corrupt], [[], []], `seed ${SEED}`)
  }
  assert.ok(listSegments(scribe.folder).length > 0)
}

function randomPoints(random: Random) {
  return Array.from({ length: random.below(12) }, () => ({
    name: `series ${random.below(20)}`,
    context: random.pick(['', 'val', '🚂']),
    step: random.below(3),
    time: random.double(),
    value: random.double(),
    row: random.below(2 ** 32),
  }))
}

function randomRecord(random: Random): RunRecord {
  return random.pick<RunRecord>([
    { kind: 'tags', tags: { [`t${random.below(9)}`]: 'x'.repeat(random.below(50)) } },
    { kind: 'params', params: { a: random.double(), b: null, c: random.below(2) === 0 } },
    { kind: 'state', state: 'running', time: random.double() },
  ])
}
