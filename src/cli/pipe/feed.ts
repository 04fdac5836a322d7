/** Lines into a run. What is wrong with a line is told with its number and costs that line, or a value of it, only. */
import { type ErrorCode, TraceletError } from '../../core/errors.ts'
import { redactText } from '../../core/redact.ts'
import type { Issue, Run, RunOutcome } from '../../index.ts'
import { parseJson } from './json.ts'
import { camelCase, type Fields, findKind, malformed, outcomeOf } from './line-kinds.ts'
import type { Line } from './lines.ts'

export interface Fault {
  readonly line: number
  readonly code: ErrorCode
  readonly reason: string
}

/** Issues that a line is to blame for; others come of the disk or of a backend. */
const OF_A_LINE: ReadonlySet<ErrorCode> = new Set([
  ...(['ERR_NAME', 'ERR_STEP', 'ERR_TIME', 'ERR_VALUE', 'ERR_VALUE_TOO_LONG'] as const),
  ...(['ERR_ARTIFACT', 'ERR_UNSUPPORTED'] as const),
])
/** Kept for the report; all are counted. */
const MAX_FAULTS_KEPT = 100

export class Feed {
  /** Lines that held something. */
  lines = 0
  /** Lines of which something could not be logged. */
  malformedLines = 0
  /** The first of them. */
  readonly faults: Fault[] = []
  /** As a `finish` line said; 'failed' when the input broke off within a line. */
  outcome: RunOutcome | undefined
  readonly #tell: (text: string) => void
  #run!: Run
  /** 0 between lines. */
  #line = 0
  #isMalformed = false
  #finishedBy = 0
  /** Files that are being copied. */
  readonly #snapshots = new Set<Promise<void>>()

  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** Where lines go from now on; its `onIssue` is `hear`. */
  start(run: Run): void {
    this.#run = run
  }

  hear(issue: Issue): void {
    const { code, message, destination } = issue
    if (this.#line > 0 && OF_A_LINE.has(code)) this.#blame(this.#line, code, message)
    else this.#tell(`${code}: ${destination === undefined ? '' : `${destination}: `}${message}`)
  }

  take(line: Line, number: number, isWhole: boolean): void {
    this.lines++
    this.#line = number
    this.#isMalformed = false
    try {
      if ('fault' in line) throw malformed(line.fault)
      this.#put(parse(line.text))
    } catch (error) {
      const { code, message } = error instanceof TraceletError ? error : malformed(String(error))
      if (!isWhole) this.outcome ??= 'failed'
      this.#blame(number, code, isWhole ? message : `${message} (the input ended within this line)`)
    } finally {
      this.#line = 0
    }
  }

  /** Files still being copied. */
  get copying(): number {
    return this.#snapshots.size
  }

  /** All files of the lines so far are taken, or told why not. */
  async settled(): Promise<void> {
    while (this.#snapshots.size > 0) await Promise.all(this.#snapshots)
  }

  #put(object: Fields): void {
    if (this.#finishedBy > 0) throw malformed(`the run was finished by line ${this.#finishedBy}`)
    const { type } = object
    if (typeof type !== 'string') return this.#putMetrics(object)
    const fields = toFields(object)
    if (type === 'finish') {
      this.outcome = outcomeOf(fields)
      this.#finishedBy = this.#line
      return
    }
    const answer = findKind(type, fields).put(this.#run, fields)
    if (answer instanceof Promise) this.#await(answer, this.#line)
  }

  #putMetrics(object: Fields): void {
    const { step, time, context, ...values } = object
    if (Object.keys(values).length === 0) throw malformed('has no metric')
    this.#run.log(values as Record<string, number>, {
      step: (step ?? undefined) as number | undefined,
      time: (time ?? undefined) as number | undefined,
      context: (context ?? undefined) as string | undefined,
    })
  }

  #await(snapshot: Promise<{ status: string; code?: ErrorCode; reason?: string }>, number: number): void {
    // what is wrong at first sight was told within the call
    const wasTold = this.#isMalformed
    const waited = snapshot.then(({ status, code = 'ERR_ARTIFACT', reason = 'it was not taken' }) => {
      this.#snapshots.delete(waited)
      this.#isMalformed = false
      if (status === 'failed' && !wasTold) this.#blame(number, code, reason)
    })
    this.#snapshots.add(waited)
  }

  #blame(line: number, code: ErrorCode, reason: string): void {
    if (!this.#isMalformed) this.malformedLines++
    this.#isMalformed = true
    if (this.faults.length >= MAX_FAULTS_KEPT) return
    // it may quote what the line held
    this.faults.push({ line, code, reason: redactText(reason) })
    this.#tell(`line ${line}: ${code}: ${reason}`)
    if (this.faults.length === MAX_FAULTS_KEPT) this.#tell('further malformed lines are only counted')
  }
}

function parse(text: string): Fields {
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    throw malformed(`not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed('not a JSON object')
  return value as Fields
}

function toFields(object: Fields): Fields {
  const given = Object.entries(object).filter(([name, value]) => name !== 'type' && value !== null)
  return Object.fromEntries(given.map(([name, value]) => [camelCase(name), value]))
}
