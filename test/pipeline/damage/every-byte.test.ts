import assert from 'node:assert/strict'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { runFindings } from '../../../src/cli/doctor/run-check.ts'
import { overviewOf } from '../../../src/cli/overview.ts'
import { openRun } from '../../../src/index.ts'
import { appendDeadLetters } from '../../../src/pipeline/store/dead-letters.ts'
import { createRunFolder } from '../../../src/pipeline/store/folder.ts'
import { encodeGuard } from '../../../src/pipeline/store/guard-file.ts'
import { writeRunFile } from '../../../src/pipeline/store/run-file.ts'
import { writeBlob } from '../../sinks/blobs.ts'
import { appendFile } from '../../sinks/fakes/append-sink.ts'
import { fakeModule } from '../delivery/run-folder.ts'
import { syncRun } from '../delivery/sync-run.ts'
import { Scribe } from '../journal/scribe.ts'

const isLong = process.env.TRACELET_TEST_LONG === '1'
/** Every so many bytes, where not all; the places differ by pattern. */
const READ_STRIDE = isLong ? 1 : 31
const SYNC_STRIDE = isLong ? 5 : 401
const PATTERNS = [0xff, 0x01, 0x20] as const
/** Of a frame, the most that one flipped byte may cost. */
const FRAME_POINTS = 4
const POINTS = 5 * FRAME_POINTS

const root = mkdtempSync(join(tmpdir(), 'tracelet-every-byte-'))
after(() => rmSync(root, { recursive: true, force: true }))

/** Half of it delivered, so that there are cursors, both copies. */
async function smallRun(): Promise<string> {
  const folder = createRunFolder(join(root, 'whole'), 'project', 'small')
  const run = {
    id: 'small',
    name: 'small',
    project: 'project',
    experiment: 'e',
    createdAt: 1,
    nonce: 'n',
    folder,
  }
  writeRunFile(folder, {
    tracelet: '0.0.0',
    run,
    openedAt: 1,
    state: 'finished',
    destinations: [
      {
        name: 'append',
        kind: 'append',
        module: fakeModule('append'),
        options: { folder: join(root, 'files') },
        address: `file:${join(root, 'files')}`,
        addedAt: 1,
        usedAt: 1,
      },
    ],
  })
  const items: Scribe['items'] = []
  for (const life of ['first', 'second']) {
    const scribe = new Scribe(folder, { runId: 'small', nonce: life, segmentBytes: 900 }, items)
    for (let frame = life === 'first' ? 0 : 2; frame < (life === 'first' ? 2 : 5); frame++) {
      const steps = Array.from({ length: FRAME_POINTS }, (_, at) => frame * FRAME_POINTS + at)
      scribe.points(steps.map((step) => ({ name: 'loss', step, time: step, value: step / 3 }))).commit()
    }
    const files = [{ path: 'file', blob: writeBlob(folder, `content of ${life}`) }]
    scribe.record({ kind: 'artifact', name: life, type: 'artifact', time: 1, files, bytes: 9 })
    scribe.record({ kind: 'state', state: 'finished', time: 9 }).commit()
    scribe.writer.close()
    if (life === 'first') await syncRun(folder, { deadlineMs: 20_000, environment: {} })
  }
  appendDeadLetters(folder, [{ destination: 'append', seq: 1, kind: 'tags', code: 'X', reason: 'y', at: 1 }])
  mkdirSync(join(folder, 'guards'), { recursive: true })
  writeFileSync(join(folder, GUARD), encodeGuard('1'))
  return folder
}

/** Of a holder that nobody has heard of for long: one that has just been touched is waited for. */
const GUARD = join('guards', 'deliver-append.1.json')
const LONG_AGO = new Date(Date.now() - 3_600_000)

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
}

/** At most the points of one frame are missing, and none has another value. */
function assertPoints(points: readonly { step: number; value: number }[], where: string): void {
  for (const { step, value } of points) assert.equal(value, step / 3, where)
  assert.equal(new Set(points.map(({ step }) => step)).size, points.length, `${where}: doubled`)
  assert.ok(points.length >= POINTS - FRAME_POINTS, `${where}: ${points.length} points`)
}

test('a flipped byte of any file of a run costs at most its frame, whatever is done with the run', async (t) => {
  const whole = await smallRun()
  const sent = readFileSync(appendFile(join(root, 'files'), 'small'))
  const damaged = join(root, 'damaged')
  const counts = { reads: 0, syncs: 0 }
  for (const name of filesOf(whole)) {
    const bytes = readFileSync(join(whole, name))
    for (const [shift, bits] of PATTERNS.entries()) {
      for (let at = shift % READ_STRIDE; at < bytes.length; at++) {
        const isRead = (at - shift) % READ_STRIDE === 0
        const isSynced = (at - shift) % SYNC_STRIDE === 0
        if (!isRead && !isSynced) continue
        const where = `byte ${at} of ${name} xor ${bits}`
        rmSync(damaged, { recursive: true, force: true })
        cpSync(whole, damaged, { recursive: true })
        const flipped = Buffer.from(bytes)
        flipped[at]! ^= bits
        writeFileSync(join(damaged, name), flipped)
        utimesSync(join(damaged, GUARD), LONG_AGO, LONG_AGO)
        const { step, value } = openRun(damaged).history('loss')
        assertPoints(
          Array.from(step, (one, index) => ({ step: one, value: value[index]! })),
          where,
        )
        assert.ok(runFindings(overviewOf(damaged)).length > 0, where)
        counts.reads++
        if (!isSynced) continue
        writeFileSync(appendFile(join(root, 'files'), 'small'), sent)
        const { destinations } = await syncRun(damaged, { deadlineMs: 20_000, environment: {} })
        const stats = destinations.append!
        assert.ok(stats.complete, `${where}: ${stats.reason}`)
        const lines = readFileSync(appendFile(join(root, 'files'), 'small'), 'utf8')
          .split('\n')
          .slice(0, -1)
        const points = lines
          .map((line) => JSON.parse(line))
          .flatMap(([kind, , step, , value]) => (kind === 'point' ? [{ step, value: Number(value) }] : []))
        assertPoints(points, where)
        assert.equal(points.length, stats.delivered, where)
        counts.syncs++
      }
    }
  }
  t.diagnostic(`${counts.reads} times read, ${counts.syncs} times delivered`)
  assert.ok(counts.reads > 200 && counts.syncs > 20, JSON.stringify(counts))
})
