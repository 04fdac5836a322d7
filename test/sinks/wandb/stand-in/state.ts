/** What the server has and knows, and what the fields of GraphQL ask of it. */
import { randomBytes } from 'node:crypto'
import type { StandInAlert } from './alerts.ts'
import { ArtifactStore, type StandInCollection, type StandInVersion } from './artifact-store.ts'
import type { Answering } from './graphql.ts'
import { QuotaBook, type Quotas } from './quota.ts'
import { StandInRun } from './run.ts'
import { type Backend, runOf } from './schema.ts'
import { Storage, type StoredFile } from './storage.ts'

export interface StandInOptions {
  /** Password of the user `api`. Default: any of at least 40 characters */
  readonly apiKey?: string
  /** Of a run without one, and the viewer's. Default: `stander` */
  readonly defaultEntity?: string
  /** Names of the server's features, such as FILESTREAM_GZIP and STRUCTURED_CONSOLE_LOGS. Default: none */
  readonly features?: readonly string[]
  readonly quotas?: Quotas
  /** Whose entity has the registries. Default: Standers, `standers-org` */
  readonly organization?: { readonly name: string; readonly entity: string }
  /** By name without `wandb-registry-`, the types that each takes; none: all. Default: `model` and `dataset` */
  readonly registries?: Readonly<Record<string, readonly string[]>>
  /** An upload in parts that is asked for again is the same one, and not a new one. Default: false */
  readonly keepsMultipartUploads?: boolean
  readonly rebasesGaps?: boolean
  readonly crashAfterMs?: number
  /** Lines in `historyTail` and `eventsTail`. Default: 1 */
  readonly tailLength?: number
  /** For how long a pre-signed address is good. Default: an hour */
  readonly urlTtlMs?: number
  /** Whether uploads have to bring a header that came with the address. Default: true */
  readonly demandsUploadHeader?: boolean
  /** Lines of history and events are counted and not kept: for measurements. */
  readonly isLight?: boolean
  /** Round trip that every request takes longer, in ms; half of it before the request is seen. */
  readonly delayMs?: number
  /** Default: any free one. */
  readonly port?: number
}

/** Of a run that names no project. */
export const UNNAMED = 'uncategorized'

export class RefusedCreation extends Error {
  constructor() {
    super('too many runs are being made in this project')
  }
}

export abstract class StandInState implements Backend {
  abstract readonly url: string
  readonly defaultEntity: string
  readonly features: readonly string[]
  readonly tailLength: number
  readonly organization: { readonly name: string; readonly entity: string }
  readonly registries: Readonly<Record<string, readonly string[]>>
  readonly keepsMultipartUploads: boolean
  /** By entity/project/run; of one that was deleted and made anew, the new one. */
  readonly runs = new Map<string, StandInRun>()
  readonly alerts: StandInAlert[] = []
  /** What cannot be laid to one run. */
  readonly problems: string[] = []
  readonly quotas: QuotaBook
  readonly storage: Storage
  readonly store: ArtifactStore
  protected readonly options: StandInOptions
  readonly #byStorageId = new Map<string, StandInRun>()
  readonly #projects = new Map<string, number>()

  constructor(options: StandInOptions) {
    this.options = options
    this.defaultEntity = options.defaultEntity ?? 'stander'
    this.features = options.features ?? []
    this.tailLength = options.tailLength ?? 1
    this.organization = options.organization ?? { name: 'Standers', entity: 'standers-org' }
    this.registries = options.registries ?? { model: ['model'], dataset: ['dataset'] }
    this.keepsMultipartUploads = options.keepsMultipartUploads ?? false
    this.quotas = new QuotaBook(options.quotas ?? {})
    this.store = new ArtifactStore(options.isLight ?? false)
    this.storage = new Storage(options.urlTtlMs ?? 3_600_000, options.demandsUploadHeader ?? true)
  }

  get uploadHeaders(): readonly string[] {
    return this.storage.uploadHeaders()
  }

  /** By entity/project/collection, those of the registries among them. */
  get artifacts(): ReadonlyMap<string, StandInCollection> {
    return this.store.collections
  }

  /** Bytes of a file of an artifact; undefined where the store has none. */
  contentOf({ manifest }: StandInVersion, path: string): Buffer | undefined {
    const entry = manifest?.contents[path]
    return entry && this.store.blob(entry.birthArtifactID ?? '', entry.digest)?.content
  }

  /** What was put into the store, runs' files and artifacts' together. */
  get puts(): { readonly count: number; readonly bytes: number } {
    return { count: this.storage.puts, bytes: this.storage.putBytes }
  }

  /** Every problem, each after its run's path. */
  get allProblems(): string[] {
    const ofRuns = [...this.runs.values()].flatMap(({ path, problems }) =>
      problems.map((text) => `${path}: ${text}`),
    )
    return [...this.problems, ...ofRuns]
  }

  find(entity: unknown, project: unknown, run: unknown): StandInRun | undefined {
    const found = this.runs.get(`${entity || this.defaultEntity}/${project || UNNAMED}/${run}`)
    return found?.isDeleted ? undefined : found
  }

  findById(storageId: unknown): StandInRun | undefined {
    const found = this.#byStorageId.get(String(storageId))
    return found?.isDeleted ? undefined : found
  }

  hasProject(entity: unknown, project: unknown): boolean {
    const prefix = `${entity || this.defaultEntity}/${project}/`
    return [...this.runs.keys()].some((path) => path.startsWith(prefix))
  }

  create(entity: unknown, project: unknown, name: unknown): StandInRun {
    const { rebasesGaps = false, isLight = false, crashAfterMs } = this.options
    const run = new StandInRun(
      String(entity || this.defaultEntity),
      String(project || UNNAMED),
      String(name ?? randomBytes(4).toString('hex')),
      { rebasesGaps, isLight, crashAfterMs },
    )
    if (this.quotas.take({ creations: `${run.entity}/${run.project}` }).isRefused) throw new RefusedCreation()
    if (this.runs.has(run.path)) this.problems.push(`${run.path} was deleted, and made anew`)
    this.runs.set(run.path, run)
    this.#byStorageId.set(run.storageId, run)
    return run
  }

  sign(run: StandInRun, path: string): string {
    return this.signFile({
      run: run.path,
      problems: run.problems,
      path,
      put: (bytes) => run.put(path, bytes),
      get: () => run.files.get(path),
    })
  }

  signFile(file: StoredFile): string {
    return this.storage.sign(this.url, file)
  }

  uploadHeadersOf(md5: string): readonly string[] {
    return this.storage.uploadHeaders(md5)
  }

  projectNumber(entity: string, project: string): number {
    const path = `${entity}/${project}`
    const number = this.#projects.get(path) ?? this.#projects.size + 1
    this.#projects.set(path, number)
    return number
  }

  runFields(run: StandInRun): Answering {
    return runOf(this, run, { tailLines: 0, countLines: 0 })
  }
}
