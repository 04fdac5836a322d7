/** Points and small records, in the order of the journal. */
import { RUN } from '../../core/counters.ts'
import { routingOf } from '../../core/routing.ts'
import type { JournalReader, OpenResult, SinkState } from '../../core/types.ts'
import type { Ask, Cargo, Sending, SendingParts } from './cargo.ts'
import type { DeliverySite } from './deliver.ts'
import type { Filters } from './filter.ts'
import type { Ledger } from './ledger.ts'
import { Routes } from './route-filter.ts'
import { Sender } from './sender.ts'
import type { IsUpload } from './upload-feed.ts'

export interface RowsOptions {
  readonly site: DeliverySite
  /** @param pointsBelow how many of the sequence numbers below `from` are points, where that is known */
  openReader(from: number, pointsBelow?: number): JournalReader
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
  readonly #options: RowsOptions
  #isUpload: IsUpload | undefined
  #routes: Routes | undefined
  #hasOpened = false

  constructor(options: RowsOptions) {
    this.#options = options
  }

  /** Which records it leaves to uploads; undefined before that is known. */
  get isUpload(): IsUpload | undefined {
    return this.#isUpload
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
    this.#routes = this.#route(ledger)
    if (uploads !== undefined) this.#isUpload = this.#leaveToUploads(ledger, uploads)
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
    return new Sender({ ...parts, reader, filters: this.#filters(reader), onElsewhere })
  }

  rest(): void {}

  /** All that may take points and records out; each opening has its own, since they read along. */
  #filters(reader: JournalReader): Filters {
    const routes = this.#routes
    const points = [routes?.pointFilter(reader)]
    return {
      points: points.filter((filter) => filter !== undefined),
      records: routes === undefined ? [] : [routes],
    }
  }

  /** Undefined when everything is for the destination. */
  #route(ledger: Ledger): Routes | undefined {
    const { site, uploadsSeq } = this.#options
    const routes = ledger.route(routingOf(site.options), () => {
      const settled = Math.max(ledger.cursor.seq, uploadsSeq?.() ?? 0)
      // what may have been stored behind the cursor is compared with what is sent: it must come as before
      const mustRepeat = site.definition.capabilities.rewrite === 'offset' && ledger.isOnDisk
      return mustRepeat ? Math.max(settled, site.journalSeq()) : settled
    })
    this.#keepRoutes(ledger)
    return routes.length === 0 ? undefined : new Routes(routes)
  }

  /** Uploads go by them from now on: were they lost in a crash, others could begin before what is uploaded. */
  #keepRoutes(ledger: Ledger): void {
    if (!ledger.isDirty || !ledger.isOnDisk) return
    try {
      ledger.saveInPlace(this.#options.site.now())
    } catch {
      // it stays dirty and is saved with the next place, which tells of a disk that refuses
    }
  }

  #leaveToUploads(ledger: Ledger, kinds: readonly string[]): IsUpload {
    const from = ledger.leaveToUploads(kinds)
    const routes = this.#routes
    return (seq, record) =>
      seq >= (from.get(record.kind) ?? Infinity) && (routes === undefined || routes.keeps(seq, record))
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
