/** What TensorBoard is asked about one run, by its readers and over HTTP. */
import { setTimeout as sleep } from 'node:timers/promises'
import { runPeerScript } from './python.ts'
import type { TensorBoardServer } from './tensorboard-server.ts'

const LOADED_WITHIN_MS = 60_000

export interface ReadMedia {
  readonly histograms: Readonly<
    Record<
      string,
      readonly {
        readonly step: number
        readonly wallSeconds: number
        readonly min: number
        readonly num: number
        readonly sum: number
        readonly sumSquares: number
        readonly limits: readonly number[]
        readonly counts: readonly number[]
      }[]
    >
  >
  readonly images: Readonly<
    Record<
      string,
      readonly {
        readonly step: number
        readonly wallSeconds: number
        readonly width: number
        readonly height: number
        /** Hexadecimal. */
        readonly bytes: string
      }[]
    >
  >
  readonly tensors: Readonly<
    Record<
      string,
      readonly { readonly step: number; readonly wallSeconds: number; readonly value: unknown }[]
    >
  >
}

/** As `EventAccumulator` reads the run's folder. */
export function readMedia(python: string, folder: string): Promise<ReadMedia> {
  return runPeerScript(python, 'read_tensorboard_media.py', [folder]) as Promise<ReadMedia>
}

/** The answers of the plugins for one run, as its dashboards ask for them. */
export class RunOnServer {
  readonly #server: TensorBoardServer
  readonly #run: string

  constructor(server: TensorBoardServer, run: string) {
    this.#server = server
    this.#run = run
  }

  /** Resolves once the server has read the record that ends the run, the last of its file. */
  async loaded(): Promise<void> {
    const deadline = Date.now() + LOADED_WITHIN_MS
    for (;;) {
      const states = await this.texts('tracelet/state').catch(() => [])
      if (states.some(([, html]) => /finished|failed|killed/.test(html))) return
      if (Date.now() > deadline) throw new Error(`tensorboard did not read ${this.#run} to its end`)
      await sleep(100)
    }
  }

  /** Tags of the run on a dashboard, sorted. */
  async tags(plugin: string): Promise<string[]> {
    const answer = (await this.#server.ask(`plugin/${plugin}/tags`)) as Record<string, string[] | object>
    const found = answer[this.#run] ?? []
    return (Array.isArray(found) ? found : Object.keys(found)).sort()
  }

  /** Of a tag: step, then rows of left edge, right edge, count. */
  async histograms(tag: string): Promise<[step: number, bins: [number, number, number][]][]> {
    const answer = await this.#server.ask(`plugin/histograms/histograms?${this.#query(tag)}`)
    return (answer as [number, number, [number, number, number][]][]).map(([, step, bins]) => [step, bins])
  }

  async texts(tag: string): Promise<[step: number, html: string][]> {
    const answer = await this.#server.ask(`plugin/text/text?${this.#query(tag)}`)
    return (answer as { step: number; text: string }[]).map(({ step, text }) => [step, text])
  }

  /** @param sample place of an image among those of its step */
  async images(tag: string, sample = 0): Promise<[step: number, bytes: string][]> {
    const query = `${this.#query(tag)}&sample=${sample}`
    const answer = (await this.#server.ask(`plugin/images/images?${query}`)) as {
      step: number
      query: string
    }[]
    const images: [number, string][] = []
    for (const { step, query } of answer) {
      const bytes = await this.#server.bytes(`plugin/images/individualImage?${query}`)
      images.push([step, bytes.toString('hex')])
    }
    return images
  }

  async prCurves(tag: string): Promise<Record<string, number | number[]>[]> {
    const answer = await this.#server.ask(`plugin/pr_curves/pr_curves?${this.#query(tag)}`)
    return (answer as Record<string, Record<string, number | number[]>[]>)[this.#run]!
  }

  async scalars(tag: string): Promise<[step: number, value: number][]> {
    const answer = await this.#server.ask(`plugin/scalars/scalars?${this.#query(tag)}`)
    return (answer as [number, number, number][]).map(([, step, value]) => [step, value])
  }

  /** The run's row of the HParams table: parameters, and the last value of each metric. */
  async hparams(): Promise<{ readonly hparams: object; readonly metrics: object; readonly status: string }> {
    const answer = (await this.#server.ask('plugin/hparams/session_groups', {
      experimentName: '',
      startIndex: 0,
      sliceSize: 100,
      allowedStatuses: ['STATUS_UNKNOWN', 'STATUS_SUCCESS', 'STATUS_FAILURE', 'STATUS_RUNNING'],
      colParams: [],
      includeMetrics: true,
    })) as {
      readonly sessionGroups: readonly {
        readonly name: string
        readonly hparams: object
        readonly sessions: readonly { readonly status: string }[]
        readonly metricValues: readonly { readonly name: { readonly tag: string }; readonly value: number }[]
      }[]
    }
    const row = answer.sessionGroups.find(({ name }) => name === this.#run)!
    return {
      hparams: row.hparams,
      metrics: Object.fromEntries(row.metricValues.map(({ name, value }) => [name.tag, value])),
      status: row.sessions[0]!.status,
    }
  }

  #query(tag: string): string {
    return String(new URLSearchParams({ run: this.#run, tag }))
  }
}
