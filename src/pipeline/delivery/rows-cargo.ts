/** Points and small records, in the order of the journal. */
import { RUN } from '../../core/counters.ts'
import type { JournalReader, OpenResult, SinkState } from '../../core/types.ts'
import type { Ask, Cargo, Sending, SendingParts } from './cargo.ts'
import type { DeliverySite } from './deliver.ts'
import { type Filters, NO_FILTERS } from './filter.ts'
import type { Ledger } from './ledger.ts'
import { Sender } from './sender.ts'

export interface RowsOptions {
  readonly site: DeliverySite
  /** @param pointsBelow how many of the sequence numbers below `from` are points, where that is known */
  openReader(from: number, pointsBelow?: number): JournalReader
  /** What is not for the destination; asked at each opening. Default: everything is for it. */
  filters?(reader: JournalReader, ledger: Ledger): Filters
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
  readonly #options: RowsOptions
  #uploads: ReadonlyMap<string, number> | undefined
  #hasOpened = false

  constructor(options: RowsOptions) {
    this.#options = options
  }

  /** Kinds of records that it leaves to uploads, each from which sequence number on; undefined before it is known. */
  get uploads(): ReadonlyMap<string, number> | undefined {
    return this.#uploads
  }

  /** Not sequence numbers: a close mark completes a row without one. */
  growth(): number {
    return this.#options.site.live?.[RUN.appends] ?? 0
  }

  ask(ledger: Ledger | undefined, isAtRest: boolean): Ask {
    if (ledger === undefined || !this.#isSettled(ledger)) return 'go'
    // nothing to tell the backend, which may be down
    if (isAtRest) return 'end'
    return this.#hasOpened ? Infinity : 'go'
  }

  loaded(ledger: Ledger): void {
    const { cursor } = ledger
    const { uploads } = this.#options.site.definition.capabilities
    if (uploads !== undefined) this.#uploads = ledger.leaveToUploads(uploads)
    if (cursor.url !== undefined) this.#tellUrl(cursor.url)
  }

  openState(ledger: Ledger): SinkState {
    return ledger.state
  }

  opened({ state, url }: Extract<OpenResult, { status: 'ready' }>, ledger: Ledger): void {
    this.#hasOpened = true
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
    const filters = this.#options.filters?.(reader, ledger) ?? NO_FILTERS
    return new Sender({ ...parts, reader, filters, onElsewhere })
  }

  rest(): void {}

  #tellUrl(url: string): void {
    const { run, name: destination, tell } = this.#options.site
    tell({ type: 'url', run: run.id, destination, url })
  }

  /** Whether the cursor stands at the end of the journal, with no row open behind it. */
  #isSettled({ cursor: { seq, rows } }: Ledger): boolean {
    return seq >= this.#options.site.journalSeq() && rows === undefined
  }
}
