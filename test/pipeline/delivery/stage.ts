/**
 * One destination on a stage: a journal in memory, scripted sinks, a clock that stands still until nothing else moves.
 */
import { setImmediate as turnOfLoop } from 'node:timers/promises'
import {
  CURSOR_WORDS,
  createCounters,
  destinationCounters,
  RUN,
  runCounters,
} from '../../../src/core/counters.ts'
import type { DestinationOptions } from '../../../src/core/destination-options.ts'
import type {
  Batch,
  Cursor,
  OpenResult,
  RunInfo,
  RunRecord,
  Sink,
  SinkCapabilities,
  SinkLimits,
  SinkState,
  Upload,
  WriteResult,
} from '../../../src/core/types.ts'
import { Delivery } from '../../../src/pipeline/delivery/deliver.ts'
import { Account } from '../../../src/pipeline/delivery/limiter.ts'
import { RowsCargo } from '../../../src/pipeline/delivery/rows-cargo.ts'
import type { DeliveryGuard, DeliverySite } from '../../../src/pipeline/delivery/site.ts'
import { ToldTogether } from '../../../src/pipeline/delivery/told-together.ts'
import { UploadsCargo } from '../../../src/pipeline/delivery/uploads-cargo.ts'
import { readRewinds } from '../../../src/pipeline/journal/rewinds.ts'
import type { FromDelivery } from '../../../src/pipeline/messages.ts'
import type { DeadLetter } from '../../../src/pipeline/store/dead-letters.ts'
import { type SinkDefinition, tuned } from '../../../src/sinks/contract.ts'
import type { MemoryJournal } from './memory-journal.ts'

export interface SeenPoint {
  readonly name: string
  readonly step: number
  readonly value: number
}

const RUN_INFO: RunInfo = {
  id: 'run-1',
  name: 'run',
  project: 'p',
  experiment: 'e',
  createdAt: 0,
  nonce: 'n',
  folder: '/nowhere',
}

/** Undefined: `accepted`, or what comes next. */
type Script = (
  item: Batch | RunRecord,
  signal: AbortSignal,
) => WriteResult | undefined | Promise<WriteResult | undefined>

/** Undefined: `accepted`. */
type UploadRule = (
  upload: Upload,
  signal: AbortSignal,
) => WriteResult | undefined | Promise<WriteResult | undefined>

/** A step of an upload that was accepted. */
export interface SeenUpload {
  readonly seq: number
  /** Undefined for the step without a file. */
  readonly path: string | undefined
}

/** Answers by script, then `accepted`; keeps what it accepted. */
export class ScriptedSink {
  /** Each write takes the first. */
  script: Script[] = []
  /** Asked by every write before the script. */
  rule: Script | undefined
  uploadRule: UploadRule | undefined
  onOpen: (state: SinkState) => Promise<OpenResult> | OpenResult = () => ({ status: 'ready' })
  isStored: ((batch: Batch) => boolean) | undefined
  /** Set: the sink has beats. Undefined: `accepted`. */
  onBeat: ((signal: AbortSignal) => WriteResult | undefined | Promise<WriteResult | undefined>) | undefined
  /** Set: the sink prepares batches. */
  onPrepare: ((batch: Batch) => void) | undefined
  readonly points: SeenPoint[] = []
  readonly rows: SeenPoint[][] = []
  readonly records: RunRecord[] = []
  readonly uploads: SeenUpload[] = []
  /** With which state it was opened, each time. */
  readonly states: SinkState[] = []
  readonly sizes: number[] = []
  writes = 0
  opens = 0
  closes = 0
  mostUnderWay = 0
  storedAsked = 0
  #underWay = 0

  open = async (state: SinkState): Promise<OpenResult> => {
    this.opens++
    this.states.push(state)
    return await this.onOpen(state)
  }

  write = async (batch: Batch, signal: AbortSignal): Promise<WriteResult> => {
    const answer = await this.#answer(batch, signal)
    if (answer.status === 'accepted' || answer.status === 'partial') this.#keep(batch, answer)
    return answer
  }

  writeRecord = async (record: RunRecord, _seq: number, signal: AbortSignal): Promise<WriteResult> => {
    const answer = await this.#answer(record, signal)
    if (answer.status === 'accepted' || answer.status === 'partial') this.records.push(record)
    return answer
  }

  upload = async (upload: Upload, signal: AbortSignal): Promise<WriteResult> => {
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay)
    try {
      await turnOfLoop()
      const answer = (await this.uploadRule?.(upload, signal)) ?? { status: 'accepted' }
      if (answer.status === 'accepted') this.uploads.push({ seq: upload.seq, path: upload.file?.path })
      return answer
    } finally {
      this.#underWay--
    }
  }

  asSink(): Sink {
    const { open, write, writeRecord, upload, close, isStored, onPrepare } = this
    const stored = async (batch: Batch): Promise<boolean> => {
      this.storedAsked++
      return isStored!(batch)
    }
    const beat = async (signal: AbortSignal): Promise<WriteResult> => {
      this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay)
      try {
        await turnOfLoop()
        return (await this.onBeat!(signal)) ?? { status: 'accepted' }
      } finally {
        this.#underWay--
      }
    }
    const optional = {
      ...(isStored && { stored }),
      ...(onPrepare && { prepare: onPrepare }),
      ...(this.onBeat && { beat }),
    }
    return { open, write, writeRecord, upload, close, ...optional }
  }

  close = async (): Promise<void> => {
    this.closes++
  }

  async #answer(batch: Batch | RunRecord, signal: AbortSignal): Promise<WriteResult> {
    this.writes++
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay)
    try {
      await turnOfLoop()
      const ruled = await this.rule?.(batch, signal)
      if (ruled !== undefined) return ruled
      return (await this.script.shift()?.(batch, signal)) ?? { status: 'accepted' }
    } finally {
      this.#underWay--
    }
  }

  #keep(batch: Batch, answer: WriteResult): void {
    this.sizes.push(batch.length)
    const rejected = new Set(answer.status === 'partial' ? answer.rejected.map(({ index }) => index) : [])
    const seen = (index: number): SeenPoint => ({
      name: batch.describe(batch.series[index]!).name,
      step: batch.step[index]!,
      value: batch.value[index]!,
    })
    if (batch.rows === undefined) {
      for (let index = 0; index < batch.length; index++)
        if (!rejected.has(index)) this.points.push(seen(index))
      return
    }
    for (let row = 0; row + 1 < batch.rows.length; row++) {
      if (rejected.has(row)) continue
      const points: SeenPoint[] = []
      for (let index = batch.rows[row]!; index < batch.rows[row + 1]!; index++) points.push(seen(index))
      this.rows.push(points)
      this.points.push(...points)
    }
  }
}

export interface StageOptions {
  readonly limits?: Partial<SinkLimits>
  readonly capabilities?: Partial<SinkCapabilities>
  readonly cursor?: Cursor
  readonly uploadsCursor?: Cursor
  /** The run's folder, where blobs lie. */
  readonly folder?: string
  readonly live?: boolean
  /** The destination was there when the run began: no rewind was ahead of it. */
  readonly isThereFromStart?: boolean
  /** Those of every destination. */
  readonly options?: Partial<DestinationOptions>
  readonly account?: Account
  /** A real sink in place of the scripted one; limits and capabilities are its own then. */
  readonly real?: {
    readonly definition: SinkDefinition
    readonly options: Readonly<Record<string, unknown>>
    readonly run: RunInfo
  }
}

export class Stage {
  readonly journal: MemoryJournal
  readonly sink = new ScriptedSink()
  /** The sink of the uploads. */
  readonly uploader = new ScriptedSink()
  readonly delivery: Delivery
  /** Only where the sink declares uploads. */
  readonly uploads: Delivery | undefined
  readonly told: FromDelivery[] = []
  readonly letters: DeadLetter[] = []
  readonly saved: Cursor[] = []
  readonly savedUploads: Cursor[] = []
  readonly counters = createCounters(1)
  /** Counters of the rows, and of the uploads. */
  readonly block: Float64Array
  readonly uploadsBlock: Float64Array
  readonly live: Float64Array | undefined
  now = 1_000
  /** Nothing is to be done before `next`. True: now there is, or the end has come. */
  onRest: ((next: number) => boolean) | undefined
  /** False: the clock goes on although a call has not been answered. */
  waitsForSink: boolean
  guardIsOurs = true
  guardsHeld = 0
  /** Set: saving, letters and the guard throw it. */
  diskError: Error | undefined
  guardError: Error | undefined
  createError: Error | undefined
  /** Thrown by the journal when it is read. */
  readError: Error | undefined
  slots = 0
  /** How often records were looked for on behalf of the uploads. */
  recordReaders = 0
  readonly #woken = new Set<Delivery>()
  readonly #dueAt = new Map<Delivery, number>()
  /** Calls of the sink that have not been answered. */
  #calls = 0
  #isDead = false
  readonly #sinks: Sink[] = []

  constructor(journal: MemoryJournal, options: StageOptions = {}) {
    this.journal = journal
    this.waitsForSink = options.real !== undefined
    const block = destinationCounters(this.counters, 0)
    this.block = block.subarray(0, CURSOR_WORDS)
    this.uploadsBlock = block.subarray(CURSOR_WORDS)
    const words = runCounters(this.counters)
    this.live = options.live ? words : undefined
    this.publish()
    const limits: SinkLimits = {
      maxItems: 100,
      maxBytes: 1e9,
      pointBytes: () => 100,
      inFlight: 1,
      lingerMs: 0,
      ...options.limits,
    }
    const capabilities: SinkCapabilities = {
      shape: 'points',
      rewrite: 'identity',
      records: ['params', 'tags', 'state'],
      values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
      maxNameLength: 1000,
      ...options.capabilities,
    }
    const scripted = (sink: ScriptedSink): SinkDefinition => ({
      kind: 'scripted',
      title: 'Scripted',
      options: {},
      limits,
      capabilities,
      address: () => 'here',
      account: () => 'us',
      create: () => {
        if (this.createError) throw this.createError
        return sink.asSink()
      },
    })
    const together = new ToldTogether(
      (message) => this.told.push(message),
      () => this.now,
    )
    const hasUploads = (options.real?.definition ?? scripted(this.sink)).capabilities.uploads !== undefined
    const site = (
      sink: ScriptedSink,
      own: Float64Array,
      saved: Cursor[],
      first: Cursor | undefined,
    ): DeliverySite => {
      const given = { ...options.real?.options, ...options.options }
      const definition = tuned(options.real?.definition ?? scripted(sink), given)
      return {
        run: options.real?.run ?? { ...RUN_INFO, ...(options.folder && { folder: options.folder }) },
        name: definition.kind,
        definition: { ...definition, create: (context) => this.#watched(definition.create(context)) },
        options: given,
        address: 'here',
        live: this.live,
        journalSeq: () => this.live?.[RUN.seq] ?? this.journal.seq,
        block: own,
        account: options.account ?? new Account(8),
        cursors: {
          load: () => saved.at(-1) ?? first,
          save: (cursor) => {
            if (this.#isDead) return
            if (this.diskError) throw this.diskError
            saved.push(structuredClone(cursor))
          },
        },
        takeGuard: (): DeliveryGuard => {
          if (this.guardError) throw this.guardError
          this.guardsHeld++
          return { touch: () => this.guardIsOurs, release: () => void this.guardsHeld-- }
        },
        appendLetters: (letters) => {
          if (this.diskError) throw this.diskError
          this.letters.push(...letters)
        },
        takeSlot: () => {
          this.slots = 1
          return true
        },
        giveSlot: () => {
          this.slots = 0
        },
        isSuperseded: () => false,
        wake: (delivery) => void this.#woken.add(delivery),
        onLandmark: () => this.#wakeUploads(),
        tell: hasUploads ? together.half() : (message) => void this.told.push(message),
        now: () => this.now,
        wallNow: () => 1_700_000_000_000,
        random: () => 0.5,
      }
    }
    const rowsSite = site(this.sink, this.block, this.saved, options.cursor)
    const rowsCargo = new RowsCargo({
      site: rowsSite,
      openReader: (from) => this.#limited(journal.reader(from)),
      onElsewhere: () => this.#wakeUploads(),
      rewindsAhead: () =>
        options.isThereFromStart ? [] : readRewinds(this.#limited(journal.recordsReader(0))),
      uploadsSeq: () => (this.savedUploads.at(-1) ?? options.uploadsCursor)?.seq ?? 0,
    })
    this.delivery = new Delivery(rowsSite, rowsCargo)
    if (!hasUploads) return
    const uploadsSite = site(this.uploader, this.uploadsBlock, this.savedUploads, options.uploadsCursor)
    this.uploads = new Delivery(
      uploadsSite,
      new UploadsCargo({
        site: uploadsSite,
        journal: words,
        rowsBlock: this.block,
        rows: this.delivery,
        isUpload: () => rowsCargo.isUpload,
        openRecords: (from) => {
          this.recordReaders++
          return this.#limited(journal.recordsReader(from))
        },
      }),
    )
  }

  /** What the writer of the journal does after an append. */
  publish(): void {
    const words = runCounters(this.counters)
    if (words[RUN.seq] !== this.journal.seq) words[RUN.appends]!++
    words[RUN.seq] = this.journal.seq
    words[RUN.recordsJournaled] = this.journal.records
  }

  get issues(): { severity: string; code: string; message: string }[] {
    return this.told.flatMap((message) =>
      message.type === 'issue' ? [{ severity: message.severity, ...message.issue }] : [],
    )
  }

  get closed(): Extract<FromDelivery, { type: 'closed' }> | undefined {
    return this.told.find((message) => message.type === 'closed')
  }

  get cursor(): Cursor {
    return this.saved.at(-1)!
  }

  get uploadsCursor(): Cursor {
    return this.savedUploads.at(-1)!
  }

  /**
   * Gives turns until `until` holds; moves the clock on only when nothing else can happen.
   * @throws when nothing will ever happen any more
   */
  async play(until: () => boolean = () => this.closed !== undefined, maxNow = Infinity): Promise<void> {
    for (let turns = 0; turns < 100_000; turns++) {
      if (until()) return
      const next = this.#turns()
      if (next <= this.now || this.onRest?.(next)) continue
      if (next === Infinity && this.#calls === 0 && until()) return
      const patienceEnds = performance.now() + (next === Infinity ? 2_000 : 0)
      for (let rounds = 0; !this.#isWoken && (rounds < 5 || performance.now() < patienceEnds); rounds++) {
        await turnOfLoop()
      }
      while (this.#calls > 0 && !this.#isWoken && this.waitsForSink) await turnOfLoop()
      if (this.#isWoken) continue
      if (next === Infinity || next > maxNow)
        throw new Error(`nothing happened until ${maxNow}; next turn at ${next}`)
      this.now = next
    }
    throw new Error('it does not come to an end')
  }

  /** As a kill leaves it: nothing is saved any more; resolves when the sink's last calls have ended. */
  async abandon(): Promise<void> {
    this.#isDead = true
    while (this.#calls > 0) await turnOfLoop()
    for (const sink of this.#sinks) await sink.close()
  }

  /** Delivers to the end of the journal. */
  async finish(inMs = 60_000): Promise<void> {
    this.publish()
    this.end(inMs)
    await this.play()
  }

  /** The run has ended: nothing comes any more. */
  end(inMs: number): void {
    this.delivery.finish(this.now + inMs, this.now)
    this.uploads?.finish(this.now + inMs, this.now)
  }

  get #isWoken(): boolean {
    return this.#woken.size > 0
  }

  #wakeUploads(): void {
    if (this.uploads !== undefined) this.#woken.add(this.uploads)
  }

  /** A turn for each that was woken, is due or has more to read. Returns when the next must be. */
  #turns(): number {
    for (const delivery of [this.delivery, this.uploads]) {
      if (delivery === undefined) continue
      const isDue = (this.#dueAt.get(delivery) ?? -Infinity) <= this.now
      if (!isDue && !delivery.hasGrown && !this.#woken.has(delivery)) continue
      this.#woken.delete(delivery)
      this.#dueAt.set(delivery, delivery.turn(this.now))
    }
    return this.#isWoken ? this.now : Math.min(...this.#dueAt.values())
  }

  #limited<Reader extends { readonly seq: number; next(): unknown }>(reader: Reader): Reader {
    const { next } = reader
    return Object.defineProperty(reader, 'next', {
      value: () => {
        if (this.readError) throw this.readError
        // what is not published is not read
        if (this.live && reader.seq >= this.live[RUN.seq]!) return undefined
        return next.call(reader)
      },
    })
  }

  #watched(sink: Sink): Sink {
    this.#sinks.push(sink)
    const watch = async <Answer>(call: Promise<Answer>): Promise<Answer> => {
      this.#calls++
      try {
        return await call
      } finally {
        this.#calls--
      }
    }
    return {
      open: (state, signal) => watch(sink.open(state, signal)),
      write: (batch, signal) => watch(sink.write(batch, signal)),
      ...(sink.beat && { beat: (signal) => watch(sink.beat!(signal)) }),
      ...(sink.prepare && { prepare: (batch) => sink.prepare!(batch) }),
      writeRecord: (record, seq, signal) => watch(sink.writeRecord(record, seq, signal)),
      ...(sink.upload && { upload: (upload, signal) => watch(sink.upload!(upload, signal)) }),
      ...(sink.stored && { stored: (batch, signal) => watch(sink.stored!(batch, signal)) }),
      close: () => watch(sink.close()),
    }
  }
}
