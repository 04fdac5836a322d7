/** Everything that keeps points and records of a run from one of its destinations. */
import { duration } from '../../core/duration.ts'
import { routingOf } from '../../core/routing.ts'
import type { CursorRewind, JournalReader, RunRecord, ThinnedStretch } from '../../core/types.ts'
import type { Filters, PointFilter } from './filter.ts'
import type { Lag } from './lag.ts'
import type { Ledger } from './ledger.ts'
import { KeepFirst } from './rewind-filter.ts'
import { Routes } from './route-filter.ts'
import type { DeliverySite } from './site.ts'
import { Thinning } from './thinning.ts'

/** That points are left out is said no more often. */
const SAY_EVERY_MS = 600_000

export interface RowsFiltersParts {
  readonly site: DeliverySite
  readonly lag: Lag
  openReader(from: number): JournalReader
  /** Those that the journal has by now; asked before anything is delivered, and never where something may have been. */
  rewindsAhead(): readonly CursorRewind[]
  /** The cursor of the destination's uploads; asked when the options that route have changed. */
  uploadsSeq(): number
}

/** What reads along belongs to one opening. */
export interface OpenedFilters {
  readonly reader: JournalReader
  readonly ledger: Ledger
  /** Saves the cursor. @throws TraceletError when the disk refuses */
  save(): void
}

export class RowsFilters {
  readonly #parts: RowsFiltersParts
  #routes: Routes | undefined
  #keepFirst: KeepFirst | undefined
  #saidAt = -Infinity

  constructor(parts: RowsFiltersParts) {
    this.#parts = parts
  }

  /** The cursor has been read. */
  loaded(ledger: Ledger): void {
    const { site, uploadsSeq } = this.#parts
    const routes = ledger.route(routingOf(site.options), () => {
      const settled = Math.max(ledger.cursor.seq, uploadsSeq())
      // what may have been stored behind the cursor is compared with what is sent: it must come as before
      const mustRepeat = site.definition.capabilities.rewrite === 'offset' && ledger.isOnDisk
      return mustRepeat ? Math.max(settled, site.journalSeq()) : settled
    })
    this.#routes = routes.length === 0 ? undefined : new Routes(routes)
    this.#keep(ledger)
  }

  /** Whether a record is for the destination. */
  keeps(seq: number, record: RunRecord): boolean {
    return this.#routes?.keeps(seq, record) ?? true
  }

  open(opened: OpenedFilters): Filters {
    const routes = this.#routes
    const points = [routes?.pointFilter(opened.reader), this.#thinning(opened), this.#rewinds(opened)]
    return {
      points: points.filter((filter) => filter !== undefined),
      records: routes === undefined ? [] : [routes],
    }
  }

  /** Uploads go by the routes from now on: were they lost in a crash, others could begin before what is uploaded. */
  #keep(ledger: Ledger): void {
    if (!ledger.isDirty || !ledger.isOnDisk) return
    try {
      ledger.saveInPlace(this.#parts.site.now())
    } catch {
      // it stays dirty and is saved with the next place, which tells of a disk that refuses
    }
  }

  /** Undefined where it is the sink's own business what becomes of what a run superseded. */
  #rewinds({ ledger }: OpenedFilters): KeepFirst | undefined {
    const { site, openReader } = this.#parts
    if (site.definition.capabilities.rewind !== 'keep-first') return undefined
    if (this.#keepFirst === undefined && !ledger.isOnDisk) this.#lookAhead(ledger)
    this.#keepFirst ??= new KeepFirst({
      known: ledger.rewinds,
      openReader: (from) => openReader(from),
      onRewind: (rewind) => {
        ledger.addRewind(rewind)
        this.#sayKept(rewind.fromStep)
      },
    })
    return this.#keepFirst
  }

  #lookAhead(ledger: Ledger): void {
    for (const { seq, fromStep } of this.#parts.rewindsAhead()) {
      ledger.addRewind({ seq, fromStep, isAhead: true })
      // saved before anything is sent
      ledger.touch()
      this.#sayMapped(
        `the run went back to step ${fromStep} before anything of it was sent to ${this.#parts.site.definition.title}: what it had logged at that step or beyond by then is left out (counted as filtered)`,
      )
    }
  }

  #sayKept(fromStep: number): void {
    const { title } = this.#parts.site.definition
    this.#sayMapped(
      `the run went back to step ${fromStep}: ${title} cannot replace what it holds, so of steps that a metric had reached before the first values stay there, and the new ones are left out (counted as filtered)`,
    )
  }

  #sayMapped(message: string): void {
    const { run, name: destination, tell } = this.#parts.site
    const issue = { code: 'ERR_MAPPED', message } as const
    tell({ type: 'issue', run: run.id, destination, severity: 'notice', issue })
  }

  #thinning({ ledger, save }: OpenedFilters): PointFilter | undefined {
    const { site, lag, openReader } = this.#parts
    const maxLagMs = site.live === undefined ? undefined : (site.options.maxLagMs as number | undefined)
    if (maxLagMs === undefined && ledger.thinned.length === 0) return undefined
    return new Thinning(maxLagMs, {
      stretches: ledger.thinned,
      openReader,
      filter: (reader) => this.#routes?.pointFilter(reader),
      now: () => site.now(),
      lagOf: (seq, now) => lag.ageOf(seq, now),
      pace: () => lag.rates?.delivered,
      journalSeq: () => site.journalSeq(),
      keep: (stretch) => ledger.thin(stretch, save),
      onBegin: (stretch, lagMs) => this.#say(stretch, lagMs, maxLagMs!),
    })
  }

  #say({ from, to, bucket }: ThinnedStretch, lagMs: number, maxLagMs: number): void {
    const now = this.#parts.site.now()
    if (now - this.#saidAt < SAY_EVERY_MS) return
    this.#saidAt = now
    this.#parts.lag.tell(
      `is ${duration(lagMs)} behind, which is more than maxLagMs (${duration(maxLagMs)}): of the ${(to - from).toLocaleString('en-US')} points that wait, ` +
        `only the lowest and the highest of each series go there, of every ${bucket.toLocaleString('en-US')} points; so it goes on whenever it is that late. The journal keeps all`,
    )
  }
}
