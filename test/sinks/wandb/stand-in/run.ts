/** One run as the server has it, rebuilt from what it was sent. */
import { createHash } from 'node:crypto'
import { parseJson } from './json.ts'
import { LineFile } from './line-file.ts'
import { MAX_LINE_BYTES, type StreamBody } from './stream-body.ts'

export interface RunRules {
  readonly rebasesGaps: boolean
  readonly isLight: boolean
  /** A run that has been silent for so long has crashed; unset: never. */
  readonly crashAfterMs: number | undefined
}
export type RunState = 'running' | 'finished' | 'failed' | 'killed' | 'crashed' | 'preempting' | 'preempted'
/** Of the upsert: what is null stays as it is. */
export interface RunChanges {
  readonly displayName?: string | null
  readonly groupName?: string | null
  readonly jobType?: string | null
  readonly notes?: string | null
  readonly description?: string | null
  readonly tags?: readonly string[] | null
  readonly config?: string | null
  readonly summaryMetrics?: string | null
  readonly state?: string | null
  readonly host?: string | null
  readonly jobProgram?: string | null
  readonly commit?: string | null
  readonly sweep?: string | null
}

/** Summaries that a stale answer may show. */
const KEPT_SUMMARIES = 50
/** `<key>_<step>_<20 digits of the content's SHA-256>.<extension>` */
const DIGEST_IN_NAME = /_([0-9a-f]{20})\.[^/]+$/

export class StandInRun {
  readonly entity: string
  readonly project: string
  readonly name: string
  readonly storageId: string
  readonly createdAt = new Date()
  displayName: string
  group: string | null = null
  jobType: string | null = null
  notes: string | null = null
  description: string | null = null
  host: string | null = null
  program: string | null = null
  commit: string | null = null
  sweep: string | null = null
  tags: readonly string[] = []
  /** As it was sent last, W&B's text: `{"lr":{"value":0.1},…,"_wandb":{…}}`. */
  configText: string | null = null
  summaryText: string | null = null
  readonly historyFile: LineFile
  readonly eventsFile: LineFile
  readonly outputFile: LineFile
  /** By path; bytes of the last PUT. */
  readonly files = new Map<string, Buffer>()
  readonly fileTimes = new Map<string, Date>()
  /** Paths that a request called uploaded, each as often as that. */
  readonly uploaded: string[] = []
  /** What a sender that keeps the protocol never causes. */
  readonly problems: string[] = []
  exitCode: number | undefined
  /** The next answers say `stopped`. */
  isStopRequested = false
  /** As if somebody had deleted it: nobody finds it, and its file_stream is 404. */
  isDeleted = false
  /** file_stream requests that were carried out, and the times (ms since the epoch) of those that were empty. */
  requests = 0
  upserts = 0
  readonly heartbeats: number[] = []
  /** Requests with `complete`. */
  completions = 0
  gzipRequests = 0
  lastSeenMs = Date.now()
  #state: RunState = 'running'
  readonly #rules: RunRules
  readonly #steps: number[] = []
  readonly #summaries: { readonly lines: number; readonly text: string }[] = []

  constructor(entity: string, project: string, name: string, rules: RunRules) {
    this.entity = entity
    this.project = project
    this.name = name
    this.displayName = name
    this.storageId = Buffer.from(`Run:v1:${name}:${project}:${entity}`).toString('base64url')
    this.#rules = rules
    const file = (path: string, allowsRewrites: boolean) =>
      new LineFile(path, { ...rules, allowsRewrites }, (text) => this.problems.push(text))
    this.historyFile = file('wandb-history.jsonl', false)
    this.eventsFile = file('wandb-events.jsonl', false)
    this.outputFile = file('output.log', true)
  }

  get path(): string {
    return `${this.entity}/${this.project}/${this.name}`
  }

  get history(): readonly string[] {
    return this.historyFile.lines
  }

  get events(): readonly string[] {
    return this.eventsFile.lines
  }

  get output(): readonly string[] {
    return this.outputFile.lines
  }

  /** Lines of the history, read. */
  rows(): Record<string, unknown>[] {
    return this.history.map((line) => parseJson(line) as Record<string, unknown>)
  }

  /** `_step` of each line of the history; -1 where it has none. */
  steps(): readonly number[] {
    for (let n = this.#steps.length; n < this.history.length; n++) {
      const { _step = -1 } = parseJson(this.history[n]!) as { _step?: number }
      this.#steps.push(_step)
    }
    return this.#steps
  }

  eventRows(): Record<string, unknown>[] {
    return this.events.map((line) => parseJson(line) as Record<string, unknown>)
  }

  /** The user's config, out of its `value` wrappers. */
  get config(): Record<string, unknown> {
    const { _wandb, ...config } = this.#configParts()
    return config
  }

  /** The `_wandb` part of the config. */
  get wandb(): Record<string, unknown> {
    return (this.#configParts()._wandb ?? {}) as Record<string, unknown>
  }

  get summary(): Record<string, unknown> {
    return this.summaryText === null ? {} : (parseJson(this.summaryText) as Record<string, unknown>)
  }

  get state(): RunState {
    const { crashAfterMs } = this.#rules
    const isSilent = crashAfterMs !== undefined && Date.now() - this.lastSeenMs > crashAfterMs
    return isSilent && this.#state === 'running' ? 'crashed' : this.#state
  }

  /** Paths whose bytes came, and that no request has called uploaded. */
  get unreported(): string[] {
    return [...this.files.keys()].filter((path) => !this.uploaded.includes(path))
  }

  /** A line by a writer that is not ours. */
  appendByAnother(line: string): void {
    this.historyFile.append(line)
  }

  /** The summary as it was when the history had at most so many lines. */
  summaryAt(lines: number): string | null {
    return this.#summaries.findLast((summary) => summary.lines <= lines)?.text ?? null
  }

  upsert(changes: RunChanges): void {
    this.upserts++
    this.lastSeenMs = Date.now()
    this.displayName = changes.displayName ?? this.displayName
    this.group = changes.groupName ?? this.group
    this.jobType = changes.jobType ?? this.jobType
    this.notes = changes.notes ?? this.notes
    this.description = changes.description ?? this.description
    this.host = changes.host ?? this.host
    this.program = changes.jobProgram ?? this.program
    this.commit = changes.commit ?? this.commit
    this.sweep = changes.sweep ?? this.sweep
    this.tags = changes.tags ?? this.tags
    this.configText = changes.config ?? this.configText
    if (changes.summaryMetrics) this.#summarize(changes.summaryMetrics)
    if (changes.state) this.#state = changes.state as RunState
  }

  /** @returns why it is refused; nothing of it is done then */
  apply(body: StreamBody): { readonly status: number; readonly message: string } | undefined {
    const refusal = this.#refusalOf(body)
    if (refusal !== undefined) {
      this.problems.push(refusal.message)
      return refusal
    }
    this.requests++
    this.lastSeenMs = Date.now()
    if (body.isEmpty) this.heartbeats.push(this.lastSeenMs)
    for (const { name, offset, content, lines, bytes } of body.files) {
      if (name === 'wandb-summary.json') {
        const last = content?.at(-1)
        if (offset !== 0 || lines > 1) this.problems.push(`${name}: ${lines} lines at offset ${offset}`)
        if (last !== undefined) this.#summarize(last)
        continue
      }
      const file = this.#file(name)
      if (file === undefined) this.problems.push(`no such file in a file_stream: ${name}`)
      else if (content === undefined || this.#rules.isLight) file.writeUnread(offset, lines, bytes)
      else file.write(offset, content)
    }
    for (const path of body.uploaded) {
      this.uploaded.push(path)
      if (!this.files.has(path)) this.problems.push(`${path} was called uploaded, and was not`)
    }
    this.#change(body)
    return undefined
  }

  put(path: string, bytes: Buffer): void {
    const digest = DIGEST_IN_NAME.exec(path)?.[1]
    if (digest !== undefined && !createHash('sha256').update(bytes).digest('hex').startsWith(digest)) {
      this.problems.push(`${path}: its bytes have not the SHA-256 of its name`)
    }
    this.files.set(path, bytes)
    this.fileTimes.set(path, new Date())
  }

  #file(name: string): LineFile | undefined {
    return [this.historyFile, this.eventsFile, this.outputFile].find((file) => file.name === name)
  }

  #refusalOf(body: StreamBody): { readonly status: number; readonly message: string } | undefined {
    for (const { name, longestBytes } of body.files) {
      if (longestBytes > MAX_LINE_BYTES) {
        return { status: 400, message: `${name}: a line of ${longestBytes} bytes` }
      }
    }
    return undefined
  }

  #summarize(text: string): void {
    this.summaryText = text
    this.#summaries.push({ lines: this.historyFile.count, text })
    if (this.#summaries.length > KEPT_SUMMARIES) this.#summaries.shift()
  }

  /** What the server makes of 255 is how `wandb` ends a run that was interrupted. */
  #change({ isComplete, exitCode, isPreempting }: StreamBody): void {
    if (isComplete) {
      this.completions++
      this.exitCode = exitCode
      if (exitCode === undefined) this.problems.push('complete came without exitcode')
      const failed = this.#state === 'preempting' ? 'preempted' : exitCode === 255 ? 'killed' : 'failed'
      this.#state = exitCode === 0 ? 'finished' : failed
    } else if (isPreempting) this.#state = 'preempting'
    else if (this.#state !== 'preempting') this.#state = 'running'
  }

  #configParts(): Record<string, unknown> {
    if (this.configText === null) return {}
    const parts = Object.entries(parseJson(this.configText) as Record<string, { value?: unknown }>)
    return Object.fromEntries(parts.map(([key, part]) => [key, part?.value]))
  }
}
