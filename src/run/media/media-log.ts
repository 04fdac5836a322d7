/** Everything a producer logs that is larger than a point: checked, copied, and sent through its lane or parked. */
import { monotonicNow } from '../../core/clock.ts'
import { PRODUCER, RUN, runCounters } from '../../core/counters.ts'
import type { ErrorRecord } from '../../core/errors.ts'
import { PLOTLY_TYPE } from '../../core/media-types.ts'
import type { LoggedImage, RunRecord } from '../../core/types.ts'
import type { Content, FilesJob, ParkedRun, Snapshot } from '../../pipeline/parking/messages.ts'
import { BLOB_TO_BE, fitsParking, recordName } from '../../pipeline/parking/parked-record.ts'
import { MAX_PARKED_BYTES, type Parking } from '../../pipeline/parking/parking.ts'
import { attempt } from '../attempt.ts'
import { describe, type RunProducer } from '../producer.ts'
import { type FigureInput, isImageFigure, toPlotlyJson } from './figure.ts'
import { type HistogramInput, toHistogram } from './histogram.ts'
import { captioned, type ImageInput, type TakenImage, takeImage } from './image.ts'
import { isErrorRecord } from './numbers.ts'
import { type MediaPlace, Places } from './place.ts'
import { toPrCurve } from './pr-curve.ts'
import { type TableInput, toTable } from './table.ts'

/** Longer texts are not even tried in the lane. */
const INLINE_TEXT_BYTES = 65_536
/** Memory of a parked record beside its content. */
const RECORD_BYTES = 1024

export type TellIssue = (issue: ErrorRecord, key?: string) => void
type Numbers = ArrayLike<number> | Iterable<number>

export class MediaLog {
  readonly #producer: RunProducer
  readonly #run: ParkedRun
  readonly #sums: Float64Array
  readonly #parking: Parking
  readonly #tell: TellIssue
  readonly #places: Places

  constructor(producer: RunProducer, run: ParkedRun, parking: Parking, tell: TellIssue) {
    this.#producer = producer
    this.#run = run
    this.#sums = runCounters(run.counters)
    this.#parking = parking
    this.#tell = tell
    this.#places = new Places(producer.firstStep)
  }

  get parking(): Parking {
    return this.#parking
  }
  get runFolder(): string {
    return this.#run.folder
  }

  text(name: string, text: string, place: MediaPlace): void {
    this.#attempt('logText', () => {
      if (typeof text !== 'string') return refused(`logText() takes a text, but was given ${describe(text)}`)
      const placed = this.#places.place(name, place)
      if ('code' in placed) return placed
      if (text.length <= INLINE_TEXT_BYTES && this.#producer.recordSmall({ ...placed, kind: 'text', text }))
        return undefined
      const content = { type: 'text/plain', bytes: new TextEncoder().encode(text) }
      return this.#park({ ...placed, kind: 'text', text: BLOB_TO_BE }, [content])
    })
  }

  histogram(
    name: string,
    values: HistogramInput,
    place: MediaPlace & { readonly bins?: number | undefined },
  ) {
    this.#attempt('logHistogram', () => {
      const histogram = toHistogram(values, place.bins, (issue) => this.#tell(about(name, issue)))
      if (isErrorRecord(histogram)) return histogram
      const placed = this.#places.place(name, place)
      return 'code' in placed ? placed : this.#put({ ...placed, kind: 'histogram', ...histogram })
    })
  }

  prCurve(
    name: string,
    labels: ArrayLike<number | boolean> | Iterable<number | boolean>,
    predictions: Numbers,
    place: MediaPlace & {
      readonly thresholds?: number | undefined
      readonly weights?: Numbers | number | undefined
    },
  ): void {
    this.#attempt('logPrCurve', () => {
      const tell = (issue: ErrorRecord) => this.#tell(about(name, issue))
      const curve = toPrCurve(labels, predictions, place.thresholds, place.weights, tell)
      if (isErrorRecord(curve)) return curve
      const placed = this.#places.place(name, place)
      return 'code' in placed ? placed : this.#put({ ...placed, kind: 'prCurve', ...curve })
    })
  }

  /** @param place `caption` stands over an image's own */
  image(
    name: string,
    image: ImageInput,
    place: MediaPlace & { readonly caption?: string | undefined },
  ): void {
    this.#attempt('logImage', () => this.#images(name, [captioned(image, place.caption)], place))
  }

  images(name: string, images: readonly ImageInput[], place: MediaPlace): void {
    this.#attempt('logImages', () => {
      if (!Array.isArray(images) || images.length === 0)
        return refused('logImages() takes an array of at least one image')
      return this.#images(name, images, place)
    })
  }

  #images(name: string, images: readonly ImageInput[], place: MediaPlace): ErrorRecord | undefined {
    const taken: TakenImage[] = []
    let bytes = 0
    for (const image of images) {
      const one = takeImage(image)
      if ('code' in one) return one
      taken.push(one)
      bytes += one.bytes
      // copies of what cannot wait anyway would only take memory
      if (bytes > MAX_PARKED_BYTES) return tooLarge(images.length)
    }
    const placed = this.#places.place(name, place)
    if ('code' in placed) return placed
    const list = taken.map(
      ({ width, height, caption }): LoggedImage => ({
        image: BLOB_TO_BE,
        width,
        height,
        ...(caption !== undefined && { caption }),
      }),
    )
    return this.#park(
      { ...placed, kind: 'images', images: list },
      taken.map(({ content }) => content),
    )
  }

  table(name: string, input: TableInput, place: MediaPlace): void {
    this.#attempt('logTable', () => {
      const table = toTable(input)
      if ('code' in table) return table
      const placed = this.#places.place(name, place)
      if ('code' in placed) return placed
      const { json, columns, rows } = table
      const content = { type: 'application/json', bytes: new TextEncoder().encode(json) }
      return this.#park({ ...placed, kind: 'table', table: BLOB_TO_BE, columns, rows }, [content])
    })
  }

  figure(name: string, figure: FigureInput, place: MediaPlace): void {
    this.#attempt('logFigure', () => {
      let content: Content
      let size: { width: number; height: number } | undefined
      if (isImageFigure(figure)) {
        const image = takeImage(figure)
        if ('code' in image) return image
        content = image.content
        size = { width: image.width, height: image.height }
      } else {
        const json = toPlotlyJson(figure)
        if (typeof json !== 'string') return json
        content = { type: PLOTLY_TYPE, bytes: new TextEncoder().encode(json) }
      }
      const placed = this.#places.place(name, place)
      if ('code' in placed) return placed
      return this.#park({ ...placed, kind: 'figure', figure: BLOB_TO_BE, ...size }, [content])
    })
  }

  /** A record without blobs: through the lane where it is small. */
  put(record: RunRecord): ErrorRecord | undefined {
    return this.#put(record)
  }

  /** Hands files over to be copied; tells what could not be. */
  parkFiles(
    job: Omit<FilesJob, 'class' | 'run'>,
    transfer: readonly ArrayBuffer[],
    settle: (snapshot: Snapshot) => void,
  ): ErrorRecord | undefined {
    const { record } = job
    if (!fitsParking(record)) return tooLong(record)
    return this.#handOver(record, () =>
      this.#parking.park(this.#run, { ...job, class: 'files', run: this.#run.number }, transfer, settle),
    )
  }

  tell(issue: ErrorRecord, key?: string): void {
    this.#tell(issue, key)
  }

  #put(record: RunRecord): ErrorRecord | undefined {
    return this.#producer.recordSmall(record) ? undefined : this.#park(record, [])
  }

  #park(record: RunRecord, contents: readonly Content[]): ErrorRecord | undefined {
    if (!fitsParking(record)) return tooLong(record)
    const buffers = contents.map((content) =>
      'pixels' in content ? content.pixels.data.buffer : content.bytes.buffer,
    ) as ArrayBuffer[]
    const bytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, RECORD_BYTES)
    const job = { class: 'media', run: this.#run.number, record, contents, bytes } as const
    return this.#handOver(record, () => this.#parking.park(this.#run, job, buffers))
  }

  /** Counts the record: as parked, or as lost when there is no room for it. */
  #handOver(record: RunRecord, park: () => ErrorRecord | undefined): ErrorRecord | undefined {
    const { counts } = this.#producer
    const until = this.#sums[RUN.parkedUntil]!
    const issue: ErrorRecord | undefined =
      until !== 0 && monotonicNow() > until
        ? { code: 'ERR_RUN_FINISHED', message: 'the run is finished' }
        : park()
    counts[PRODUCER.recordsAccepted]!++
    counts[issue ? PRODUCER.recordsLost : PRODUCER.recordsParked]!++
    return issue && { code: issue.code, message: `${recordName(record)} is lost: ${issue.message}` }
  }

  #attempt(call: string, work: () => ErrorRecord | undefined): void {
    attempt(call, (issue) => this.#tell(issue), work)
  }
}

function refused(message: string): ErrorRecord {
  return { code: 'ERR_VALUE', message }
}
function about(name: unknown, { code, message }: ErrorRecord): ErrorRecord {
  return { code, message: `'${String(name).slice(0, 100)}': ${message}` }
}
function tooLarge(count: number): ErrorRecord {
  return {
    code: 'ERR_VALUE_TOO_LONG',
    message: `${count} images take more than the ${MAX_PARKED_BYTES} bytes that can wait to be kept; log fewer at once`,
  }
}
function tooLong(record: RunRecord): ErrorRecord {
  return {
    code: 'ERR_VALUE_TOO_LONG',
    message: `${recordName(record)} does not fit into a record: captions, names or numbers are too long; log it as an artifact`,
  }
}
