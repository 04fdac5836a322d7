/** Points and small records, in the order of the journal. */
import { RUN } from '../../core/counters.ts'
import type { CursorRewind, JournalReader, OpenResult, SinkState } from '../../core/types.ts'
import type { Ask, Cargo, Sending, SendingParts } from './cargo.ts'
import { Heartbeat } from './heartbeat.ts'
import { Lag } from './lag.ts'
import type { Ledger } from './ledger.ts'
import { RowsFilters } from './rows-filters.ts'
import { Sender } from './sender.ts'
import type { DeliverySite } from './site.ts'
import type { IsUpload } from './upload-feed.ts'

export interface RowsOptions {
  readonly site: DeliverySite
  /** @param pointsBelow how many of the sequence numbers below `from` are points, where that is known */
  openReader(from: number, pointsBelow?: number): JournalReader
  /** Rewinds in the journal, where nothing can have been delivered yet. Default: none. */
  rewindsAhead?(): readonly CursorRewind[]
  /** The cursor of the destination's uploads; asked when the options that route have changed. */
  uploadsSeq?(): number
  /** The uploads of the destination may have something to do. */
  onElsewhere(): void
}

/** Undefined where rows are open: what they hold is not settled. */
function pointsBelow({ cursor }: Ledger): number | undefined {
  const { seq, back, rows, settled } = cursor
  if (back !== seq || rows !== undefined) return undefined
  // of what is settled elsewhere, all are records
  return settled.delivered + settled.filtered + settled.rejected + settled.corrupt
}

export class RowsCargo implements Cargo {
  readonly opensAnyway = true
  readonly #options: RowsOptions
  #isUpload: IsUpload | undefined
  readonly #lag: Lag
  readonly #filters: RowsFilters
  readonly #heartbeat: Heartbeat
  #opened: SendingParts | undefined
  #hasOpened = false
  /** As far as the journal had grown when there was nothing more to send. */
  #idleAt: number | undefined

  constructor(options: RowsOptions) {
    this.#options = options
    const { site, openReader, rewindsAhead = () => [], uploadsSeq = () => 0 } = options
    this.#lag = new Lag(site)
    this.#heartbeat = new Heartbeat(site.definition.limits.beatMs, site.account.parkedBeats)
    this.#filters = new RowsFilters({ site, lag: this.#lag, openReader, rewindsAhead, uploadsSeq })
  }

  /** Which records it leaves to uploads; undefined before that is known. */
  get isUpload(): IsUpload | undefined {
    return this.#isUpload
  }

  /** Not sequence numbers: a close mark completes a row without one. */
  growth(): number {
    return this.#options.site.live?.[RUN.appends] ?? 0
  }

  ask(ledger: Ledger | undefined, isAtRest: boolean, now: number): Ask {
    // a row that is open is not worth an opening, again and again
    const isIdle = !isAtRest && this.#idleAt !== undefined && this.#idleAt === this.growth()
    if (ledger === undefined || !(isIdle || this.#isSettled(ledger))) return 'go'
    // nothing to tell the backend, which may be down
    if (isAtRest) return 'end'
    const openAt = this.#hasOpened ? this.#heartbeat.openAt(now) : now
    return openAt > now ? openAt : 'go'
  }

  loaded(ledger: Ledger): void {
    const { cursor } = ledger
    const { uploads } = this.#options.site.definition.capabilities
    this.#filters.loaded(ledger)
    if (uploads !== undefined) this.#isUpload = this.#leaveToUploads(ledger, uploads)
    if (cursor.url !== undefined) this.#tellUrl(cursor.url)
  }

  openState(ledger: Ledger): SinkState {
    return ledger.state
  }

  opened({ state, url }: Extract<OpenResult, { status: 'ready' }>, ledger: Ledger): void {
    this.#hasOpened = true
    this.#heartbeat.opened(this.#options.site.now())
    if (url) {
      if (url !== ledger.cursor.url) this.#tellUrl(url)
      ledger.setUrl(url)
    }
    if (state !== undefined) ledger.setState(state)
  }

  startSending(parts: SendingParts): Sending {
    const { openReader, onElsewhere } = this.#options
    const { ledger } = parts
    const reader = openReader(ledger.cursor.back, pointsBelow(ledger))
    const filters = this.#filters.open({ reader, ledger, save: () => sender.save(parts.site.now()) })
    const sender = new Sender({
      ...parts,
      reader,
      filters,
      heartbeat: this.#heartbeat,
      growth: () => this.growth(),
      onIdle: (growth) => {
        this.#idleAt = growth
      },
      onElsewhere,
    })
    this.#opened = parts
    return sender
  }

  look(ledger: Ledger, now: number): void {
    const { health, trouble } = this.#opened ?? {}
    this.#lag.look(ledger, health?.failures === 0 && !trouble!.isBlocked, now)
  }

  rest(): void {
    const ledger = this.#opened?.ledger
    this.#opened = undefined
    if (ledger !== undefined) this.look(ledger, this.#options.site.now())
  }

  #leaveToUploads(ledger: Ledger, kinds: readonly string[]): IsUpload {
    const from = ledger.leaveToUploads(kinds)
    return (seq, record) => seq >= (from.get(record.kind) ?? Infinity) && this.#filters.keeps(seq, record)
  }

  #tellUrl(url: string): void {
    const { run, name: destination, tell } = this.#options.site
    tell({ type: 'url', run: run.id, destination, url })
  }

  /** Whether the cursor stands at the end of the journal, with no row open behind it. */
  #isSettled({ cursor: { seq, rows } }: Ledger): boolean {
    return seq >= this.#options.site.journalSeq() && rows === undefined
  }
}
