/** Random journals: sessions, segments, rows and records of every kind, each point telling its number by its time. */
import type { BlobRef, RunRecord } from '../../../src/core/types.ts'
import type { Random } from '../../random.ts'
import { writeBlob } from '../../sinks/blobs.ts'
import { type Item, Scribe } from '../journal/scribe.ts'

/** Point `seq` has the time EPOCH + seq: a backend's points are told apart by it. */
export const EPOCH = 1_700_000_000_000

export interface RandomRun {
  /** Item i has sequence number i. */
  readonly items: Item[]
  readonly blobs: readonly BlobRef[]
}

/** Appends up to `sessions` sessions to the journal in the folder. */
export function writeRandomRun(
  random: Random,
  folder: string,
  runId: string,
  sessions: number,
  before: RandomRun = { items: [], blobs: [] },
): RandomRun {
  const items = before.items
  const blobs = [...before.blobs]
  for (let session = 0; session < sessions; session++) {
    const segmentBytes = random.pick([300, 2_000, 20_000])
    const scribe = new Scribe(
      folder,
      { runId, nonce: `life ${items.length} ${session}`, segmentBytes },
      items,
    )
    for (let commits = 1 + random.below(8); commits > 0; commits--) {
      for (let frames = 1 + random.below(3); frames > 0; frames--) {
        if (random.below(3) === 0) scribe.record(randomRecord(random, folder, blobs))
        else stageRows(random, scribe)
      }
      scribe.commit()
    }
    // else whoever delivers it takes it for a run whose process died, and says so in the journal
    if (session === sessions - 1) scribe.record({ kind: 'state', state: 'finished', time: EPOCH }).commit()
    scribe.writer.close()
  }
  return { items, blobs }
}

function stageRows(random: Random, scribe: Scribe): void {
  const rows = Array.from({ length: 1 + random.below(6) }, () => scribe.writer.takeRow())
  const step = random.below(1_000)
  let seq = scribe.items.length + scribe.staged.length
  const points = rows.flatMap((row) =>
    Array.from({ length: 1 + random.below(5) }, (_, at) => ({
      name: `${random.below(8) === 0 ? 'rare' : 'loss'}/${at}`,
      context: at === 2 ? 'val' : '',
      step: step + row,
      time: EPOCH + seq++,
      value: random.double(),
      row,
    })),
  )
  scribe.points(points, { closed: random.below(4) === 0 ? [] : rows })
}

function randomRecord(random: Random, folder: string, blobs: BlobRef[]): RunRecord {
  const text = 'x'.repeat(random.below(300))
  const number = random.below(1e9)
  const placed = { name: `r${number}`, step: random.below(100), time: EPOCH }
  const blob = (): BlobRef => {
    const made = writeBlob(folder, `content ${number} ${text}`)
    blobs.push(made)
    return made
  }
  const counts = Float64Array.from({ length: 1 + random.below(9) }, () => random.below(100))
  const makers: (() => RunRecord)[] = [
    () => ({ kind: 'params', params: { [`p${number}`]: random.double(), flag: true, none: null, text } }),
    () => ({ kind: 'tags', tags: { [`t${number}`]: text } }),
    () => ({ kind: 'state', state: 'running', time: EPOCH }),
    () => ({ kind: 'notes', notes: text }),
    () => ({ kind: 'metric', name: `m${number}`, goal: 'minimize' }),
    () => ({ kind: 'dataset', name: 'd', digest: String(number), source: text, sourceType: 'local' }),
    () => ({ kind: 'console', stream: random.pick(['stdout', 'stderr']), text, time: EPOCH }),
    () => ({ ...placed, kind: 'text', text }),
    () => ({ ...placed, kind: 'text', text: blob() }),
    () => ({ ...placed, kind: 'histogram', edges: new Float64Array(counts.length + 1), counts }),
    () => ({ ...placed, kind: 'images', images: [{ image: blob(), width: 1, height: 2 }] }),
    () => ({ ...placed, kind: 'table', table: blob(), columns: 1, rows: 1 }),
    () => ({ ...placed, kind: 'figure', figure: blob(), width: 3, height: 4 }),
    () => ({
      ...placed,
      kind: 'prCurve',
      truePositives: counts,
      falsePositives: counts,
      trueNegatives: counts,
      falseNegatives: counts,
    }),
    () => ({
      kind: 'artifact',
      name: placed.name,
      type: 'artifact',
      time: EPOCH,
      files: [{ path: 'a/b', blob: blob() }],
      bytes: 9,
    }),
    () => ({ kind: 'files', time: EPOCH, files: [{ path: `f${number}`, blob: blob() }], bytes: 9 }),
    () => ({ kind: 'input', artifact: `${placed.name}:latest`, type: text, time: EPOCH }),
    () => ({ kind: 'alert', title: placed.name, text, level: 'warn', time: EPOCH, waitMs: number }),
    () => ({ kind: 'model', name: placed.name, time: EPOCH, files: [{ path: 'm', blob: blob() }], bytes: 9 }),
  ]
  return random.pick(makers)()
}
