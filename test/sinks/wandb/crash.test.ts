/**
 * A seeded journal is driven through the sink as the pipeline would, over crashes, lost answers, refusals and old
 * looks at the run; then the server's lines are held against a model that knows nothing of the sink's code.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Batch, RunInfo, RunRecord, Sink, SinkState, WriteResult } from '../../../src/core/types.ts'
import { wandb } from '../../../src/sinks/wandb/sink.ts'
import { Random, SEED } from '../../random.ts'
import { Bench, type Point, START_TIME } from '../bench.ts'
import { start } from './harness.ts'
import { type Fault, type StandInRequest, type StandInRun, WandbStandIn } from './stand-in/stand-in.ts'

const KEY = 'x'.repeat(40)
const POISON = 'poison'
const SEEDS = Number(process.env.TRACELET_TEST_CRASH_SEEDS ?? 10)
const BUDGET_MS = process.env.TRACELET_TEST_CRASH_SEEDS === undefined ? 12_000 : Number.POSITIVE_INFINITY

type Row = { readonly step: number; readonly points: readonly Point[] }
type Entry = { readonly row: Row } | { readonly record: RunRecord }
type Line = Readonly<Record<string, unknown>>

const ON_STREAM: readonly Fault[] = [
  { kind: 'cut' },
  { kind: 'lostAnswer' },
  { kind: 'lostAnswer' },
  { kind: 'cutAnswer' },
  { kind: 'falseSuccess' },
  { kind: 'answer', status: 503 },
  { kind: 'answer', status: 429, headers: { 'retry-after': '0' } },
]

/** Values are unique, so that each can be found; names of one step, too. */
function journalOf(random: Random): Entry[] {
  const entries: Entry[] = []
  let value = 0
  let step = random.below(3)
  const names = new Set<string>()
  const length = 15 + random.below(50)
  for (let at = 0; at < length; at++) {
    if (random.next() < 0.45) {
      const points: Point[] = []
      for (const name of ['loss', 'acc', 'system/gpu']) {
        if (random.next() < 0.6 || (points.length === 0 && name === 'acc'))
          points.push({ name, step, value: ++value })
      }
      if (random.next() < 0.06) points.push({ name: POISON, step, value: ++value })
      entries.push({ row: { step, points } })
      step = random.next() < 0.15 ? Math.max(0, step - random.below(4)) : step + 1 + random.below(2)
      continue
    }
    entries.push({ record: recordOf(random, step + random.below(2) * random.below(4), names, ++value) })
  }
  return entries
}

function recordOf(random: Random, step: number, names: Set<string>, id: number): RunRecord {
  const time = START_TIME + id
  const kind = random.below(8)
  if (kind === 0) return { kind: 'params', params: { [`p${id}`]: id } }
  if (kind < 3) return { kind: 'console', stream: 'stdout', text: `line ${id}\nof ${id}`, time }
  const name = `n${random.below(9)}`
  const isTaken = names.has(`${name} ${step}`)
  names.add(`${name} ${step}`)
  const own = isTaken ? `own${id}` : name
  if (kind === 3) {
    const counts = Float64Array.of(id, 0)
    return { kind: 'histogram', name: own, step, time, edges: Float64Array.of(0, 1, 2), counts }
  }
  if (kind === 4) {
    const image = { digest: String(id).padStart(64, '0'), bytes: 1, type: 'image/png' }
    return { kind: 'images', name: own, step, time, images: [{ image, width: 1, height: 1 }] } as RunRecord
  }
  if (random.next() < 0.06) {
    return { kind: 'text', name: POISON, step, time, text: `${id} ${'p'.repeat(40_000)}` }
  }
  const length = random.next() < 0.15 ? 12_000 + random.below(25_000) : 3
  return { kind: 'text', name: own, step, time, text: `${id} ${'t'.repeat(length)}` }
}

class Play {
  readonly random: Random
  readonly journal: Entry[]
  readonly rejected = new Set<number>()
  readonly #standIn: WandbStandIn
  readonly #bench: Bench
  readonly run: RunInfo
  /** In memory, and on disk. */
  #at = 0
  #state: SinkState
  #saved: { at: number; state: SinkState } = { at: 0, state: undefined }
  #sink: Sink | undefined
  beats = 0
  opens = 0
  /** Line of another writer, and where it stands. */
  intruder: { readonly at: number; readonly line: string } | undefined
  #intrudes: boolean
  readonly log: string[] = []
  outcome: 'done' | 'otherWriter' = 'done'

  constructor(seed: number, standIn: WandbStandIn, bench: Bench) {
    this.random = new Random(seed)
    this.#standIn = standIn
    this.#bench = bench
    this.run = bench.run()
    this.journal = journalOf(this.random)
    this.journal.push({ record: { kind: 'state', state: 'finished', time: START_TIME } })
    this.#intrudes = this.random.next() < 0.2
  }

  get remote(): StandInRun | undefined {
    return this.#standIn.runs.get(`stander/suite/${this.run.id}`)
  }

  async play(): Promise<void> {
    const hasBeats = this.random.next() < 0.6
    try {
      await this.#open()
      while (this.#at < this.journal.length && this.outcome === 'done') {
        const dice = this.random.next()
        if (dice < 0.07) await this.#crash()
        else if (dice < 0.1) await this.#park()
        else if (dice < 0.2 && hasBeats) await this.#beat()
        else await this.#next()
        if (this.random.next() < 0.3) this.#save()
      }
    } finally {
      await this.#sink?.close()
    }
  }

  #save(): void {
    this.#saved = { at: this.#at, state: this.#state && JSON.parse(JSON.stringify(this.#state)) }
  }

  async #crash(): Promise<void> {
    this.log.push(`crash at ${this.#at} to ${this.#saved.at}`)
    await this.#sink!.close()
    this.#at = this.#saved.at
    this.#state = this.#saved.state
    const { remote } = this
    if (this.#intrudes && remote !== undefined && this.random.next() < 0.5) {
      this.#intrudes = false
      const line = `{"_step":${1e6},"loss":-7,"_timestamp":1,"_runtime":1}`
      this.intruder = { at: remote.history.length, line }
      remote.appendByAnother(line)
      this.log.push(`another writes line ${this.intruder.at}`)
    }
    await this.#open()
  }

  async #park(): Promise<void> {
    this.#save()
    await this.#sink!.close()
    await this.#open()
  }

  async #open(): Promise<void> {
    this.opens++
    const knownLines = (this.#state as { lines?: { history: number } } | undefined)?.lines?.history
    for (let tries = 0; tries < 30; tries++) {
      this.#sink = wandb.create({
        run: this.run,
        options: { ...this.#bench.options, baseUrl: this.#standIn.url, apiKey: KEY } as never,
        notice: () => {},
      })
      // each befalls an opening once
      if (tries === 0) this.#planOpening(knownLines)
      const answer = await this.#sink.open(this.#state, new AbortController().signal)
      this.log.push(`open at ${this.#at} (${knownLines} of ${this.remote?.history.length}): ${say(answer)}`)
      if (answer.status === 'ready') {
        this.#standIn.faults.clear()
        this.#state = answer.state ?? this.#state
        return
      }
      await this.#sink.close()
      if (this.#isOtherWriter(answer)) return
    }
    assert.fail('it is never opened')
  }

  #planOpening(knownLines: number | undefined): void {
    const { random } = this
    const on = (name: string) => (request: { operation: string }) => request.operation === name
    const fault = random.pick<Fault>([
      { kind: 'cut' },
      { kind: 'lostAnswer' },
      { kind: 'answer', status: 503 },
    ])
    if (random.next() < 0.2) {
      const op = random.pick(['RunResumeStatus', 'UpsertBucket', 'HistoryPage'])
      this.#standIn.failNext(fault, on(op))
      this.log.push(`${fault.kind} on ${op}`)
    }
    const lines = 1 + random.below(3)
    if (random.next() < 0.2) this.#standIn.failNext({ kind: 'staleTail', lines }, on('RunResumeStatus'))
    // a count of 0 that is too old says what a new run says, and nothing can tell them apart
    else if (knownLines !== undefined && knownLines > 0 && random.next() < 0.1) {
      const tooFew = this.remote!.history.length - knownLines + 1
      this.#standIn.failNext({ kind: 'shortCount', lines: tooFew }, on('RunResumeStatus'))
    }
  }

  #isOtherWriter(answer: { status: string; code?: string }): boolean {
    if (answer.status !== 'blocked' || answer.code !== 'ERR_OTHER_WRITER') return false
    assert.ok(this.intruder, `no other writer is there: ${JSON.stringify(answer)}`)
    this.outcome = 'otherWriter'
    return true
  }

  #trouble(): void {
    // what is refused is never carried out, not even where the answer is lost
    const isTaken = ({ kind, body }: StandInRequest) => kind === 'file_stream' && !body.includes(POISON)
    if (this.random.next() < 0.2) this.#standIn.failNext(this.random.pick(ON_STREAM), isTaken)
  }

  async #beat(): Promise<void> {
    // the pipeline's word: what was settled before a beat is saved before it
    this.#save()
    this.beats++
    this.#trouble()
    const answer = await this.#sink!.beat!(new AbortController().signal)
    this.log.push(`beat: ${say(answer)}`)
    if (this.#isOtherWriter(answer)) return
    if (answer.status === 'accepted' && answer.state !== undefined) this.#state = answer.state
    else assert.notEqual(answer.status, 'blocked', JSON.stringify(answer))
  }

  /** The record that comes next, or some of the rows. */
  async #next(): Promise<void> {
    const entry = this.journal[this.#at]!
    if ('record' in entry) {
      await this.#settle(1, () =>
        this.#sink!.writeRecord(entry.record, this.#at, new AbortController().signal),
      )
      return
    }
    let count = 0
    const most = 1 + this.random.below(12)
    while (count < most && 'row' in (this.journal[this.#at + count] ?? {})) count++
    const batch = this.#batch(this.#at, count)
    if (this.random.next() < 0.3) this.#sink!.prepare!(batch)
    await this.#settle(count, () => this.#sink!.write(batch, new AbortController().signal))
  }

  async #settle(count: number, send: () => Promise<WriteResult>): Promise<void> {
    for (let tries = 0; tries < 30; tries++) {
      this.#trouble()
      const answer = await send()
      this.log.push(`${this.#at}+${count} ${this.#kindAt(this.#at)}: ${say(answer)}`)
      if (this.#isOtherWriter(answer)) return
      switch (answer.status) {
        case 'accepted':
          this.#at += count
          if (answer.state !== undefined) this.#state = answer.state
          return
        case 'split': {
          if (count === 1) {
            this.rejected.add(this.#at++)
            // the pipeline's word, too
            this.#save()
            return
          }
          const half = this.#batch(this.#at, Math.ceil(count / 2))
          await this.#settle(Math.ceil(count / 2), () =>
            this.#sink!.write(half, new AbortController().signal),
          )
          return
        }
        case 'retry':
          // killed before the answer came
          if (this.random.next() < 0.2) return this.#crash()
          continue
        default:
          assert.fail(JSON.stringify(answer))
      }
    }
    assert.fail('it is never settled')
  }

  #kindAt(at: number): string {
    const entry = this.journal[at]!
    return 'row' in entry
      ? `row ${entry.row.step}`
      : `${entry.record.kind} ${'step' in entry.record ? `${entry.record.name} ${entry.record.step}` : ''}`
  }

  #batch(at: number, count: number): Batch {
    const rows = this.journal.slice(at, at + count).map((entry) => (entry as { row: Row }).row)
    const starts = [0]
    for (const { points } of rows) starts.push(starts.at(-1)! + points.length)
    // rows that share a step stay two rows
    return { ...this.#bench.batch(rows.flatMap(({ points }) => points)), rows: Uint32Array.from(starts) }
  }
}

function say(answer: { status: string; code?: string; reason?: string }): string {
  return [answer.status, answer.code, answer.reason].filter(Boolean).join(' ')
}

/** Keys of a line that are no values of the user's. */
const OWN = new Set(['_step', '_timestamp', '_runtime', '_wandb', 'global_step'])

/** Every value of the history, the events and the console, in their order. */
function valuesOf(rows: readonly Line[]): string[] {
  return rows.flatMap((row) =>
    Object.entries(row).flatMap(([key, value]) => (OWN.has(key) ? [] : [`${key} ${idOf(value)}`])),
  )
}

function idOf(value: unknown): string {
  if (typeof value === 'string') return value.slice(0, 12)
  if (typeof value !== 'object') return String(value)
  const { values, path } = value as { values?: number[]; path?: string }
  return String(values?.[0] ?? Number(/(\d{20})\.png$/.exec(path!)?.[1] === undefined ? NaN : 0))
}

/** What must be there, by the words of the design alone: as values, and as lines where no beat has made others. */
function modelOf(journal: readonly Entry[], rejected: ReadonlySet<number>) {
  const values: string[] = []
  const output: string[] = []
  for (const [at, entry] of journal.entries()) {
    if (rejected.has(at)) continue
    if ('row' in entry) {
      for (const { name, value } of entry.row.points)
        if (!name.startsWith('system/')) values.push(`${name} ${value}`)
    } else if (entry.record.kind === 'console') output.push(...entry.record.text.split('\n'))
    else if ('step' in entry.record) values.push(`${entry.record.name} ${recordId(entry.record)}`)
  }
  return { values: values.sort(), output }
}

function recordId(record: RunRecord): string {
  if (record.kind === 'text') return (record.text as string).slice(0, 12)
  if (record.kind === 'histogram') return String(record.counts[0])
  return '0'
}

/** Lines of the history where nothing but rows and ends brought what is held. */
function linesOf(journal: readonly Entry[], rejected: ReadonlySet<number>): [number, string[]][] {
  const lines: [number, string[]][] = []
  let held: { step: number; values: string[] }[] = []
  for (const [at, entry] of journal.entries()) {
    if (rejected.has(at)) continue
    if ('record' in entry) {
      const { record } = entry
      if (record.kind === 'state') for (const group of held.splice(0)) lines.push([group.step, group.values])
      if (!('step' in record)) continue
      let group = held.find(({ step }) => step === record.step)
      if (group === undefined) held.push((group = { step: record.step as number, values: [] }))
      group.values.push(`${(record as { name: string }).name} ${recordId(record)}`)
      continue
    }
    const { step, points } = entry.row
    const values = points.filter(({ name }) => !name.startsWith('system/')).map((p) => `${p.name} ${p.value}`)
    for (const group of held) {
      if (group.step < step) lines.push([group.step, group.values])
      else if (group.step === step) values.push(...group.values)
    }
    held = held.filter((group) => group.step > step)
    if (values.length > 0) lines.push([step, values])
  }
  return lines
}

function check(play: Play): void {
  const remote = play.remote!
  const rows = remote.rows()
  const steps = rows.map(({ _step }) => _step as number)
  if (play.intruder !== undefined) {
    assert.equal(play.outcome, 'otherWriter', 'another writer was not noticed')
    assert.equal(remote.history[play.intruder.at], play.intruder.line, 'his line is gone')
  } else {
    const model = modelOf(play.journal, play.rejected)
    assert.deepEqual(valuesOf(rows).sort(), model.values, 'each value once')
    assert.deepEqual(
      remote.output.map((line) => line.slice(line.indexOf(' ') + 1)),
      model.output,
      'each console line once, in order',
    )
    const system = play.journal.flatMap((entry, at) =>
      'row' in entry && !play.rejected.has(at)
        ? entry.row.points.flatMap(({ name, value }) => (name.startsWith('system/') ? [value] : []))
        : [],
    )
    assert.deepEqual(
      remote.eventRows().map((row) => row['system.gpu']),
      system,
    )
    assert.equal(remote.state, 'finished')
    const isPlain = play.beats === 0 && !JSON.stringify(play.journal).includes('t'.repeat(5000))
    if (isPlain && play.rejected.size === 0) {
      const lines = rows.map((row) => [row.global_step, valuesOf([row]).sort()])
      assert.deepEqual(
        lines,
        linesOf(play.journal, play.rejected).map(([step, values]) => [step, values.sort()]),
      )
      let last = -1
      for (const [at, { global_step }] of rows.entries()) {
        last = Math.max(last + 1, global_step as number)
        assert.equal(steps[at], last)
      }
    }
  }
  assert.deepEqual(remote.problems, [])
  const isRising = steps.every((step, at) => at === 0 || step > steps[at - 1]!)
  assert.ok(isRising || play.intruder !== undefined, '_step does not rise')
}

let standIn: WandbStandIn
let bench: Bench

before(async () => {
  standIn = await WandbStandIn.start({ apiKey: KEY, tailLength: 3 })
  standIn.planFaults({
    ...{ seed: 1, share: 1 },
    faults: [{ kind: 'answer', status: 400, body: '{"error":"a line is refused"}' }],
    matches: ({ kind, body }) => kind === 'file_stream' && body.includes(POISON),
  })
  bench = new Bench(await start())
})

after(async () => {
  await standIn.stop()
  await bench.end()
})

test('whatever befalls the sink, each value is there once, and another writer is seen before his lines are lost', async () => {
  const until = Date.now() + BUDGET_MS
  const failed: string[] = []
  let crashes = 0
  for (let at = 0; at < SEEDS && Date.now() < until; at++) {
    const seed = SEED + at
    const play = new Play(seed, standIn, bench)
    try {
      standIn.faults.clear()
      await play.play()
      check(play)
    } catch (error) {
      failed.push(
        `TRACELET_TEST_SEED=${seed}: ${(error as Error).message}\n${play.log.slice(-Number(process.env.TAIL ?? 25)).join('\n')}`,
      )
    }
    crashes += play.opens - 1
  }
  assert.deepEqual(standIn.problems, [])
  assert.ok(crashes > 0)
  assert.equal(failed.length, 0, `${failed.length} of ${SEEDS}: ${failed.slice(0, 3).join('\n\n')}`)
})
