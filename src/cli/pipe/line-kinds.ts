/** What a line may say: each kind with its fields and the call of a run that it becomes. */
import { readFileSync, statSync } from 'node:fs'
import { type ErrorCode, TraceletError } from '../../core/errors.ts'
import { nearest } from '../../core/options.ts'
import type { Run, RunOutcome } from '../../index.ts'

/** The fields of a line, names in camelCase; those that were null are left out. */
export type Fields = Readonly<Record<string, unknown>>

export interface LineKind {
  readonly fields: readonly string[]
  /** Those it cannot be without. */
  readonly needs: readonly string[]
  /** Bad values are the call's own to report. @throws TraceletError where there is no call */
  readonly put: (run: Run, fields: Fields) => unknown
}

const PLACE = ['step', 'time']
const OUTCOMES: readonly RunOutcome[] = ['finished', 'failed', 'killed']
/** A larger file is no image to look at. */
const MAX_IMAGE_BYTES = 1 << 28

/** The calls take whatever a line holds, and report what they cannot log. */
type Loosely = { readonly [Method in keyof Run]: (...values: unknown[]) => unknown }
const loosely = (run: Run) => run as unknown as Loosely
const placeOf = ({ step, time }: Fields) => ({ step, time })

export const LINE_KINDS: Readonly<Record<string, LineKind>> = {
  metrics: {
    fields: ['values', 'context', ...PLACE],
    needs: ['values'],
    put: (run, { values, context, ...place }) => loosely(run).log(values, { ...placeOf(place), context }),
  },
  params: { fields: ['params'], needs: ['params'], put: (run, { params }) => loosely(run).logParams(params) },
  tags: { fields: ['tags'], needs: ['tags'], put: (run, { tags }) => loosely(run).setTags(tags) },
  notes: { fields: ['notes'], needs: ['notes'], put: (run, { notes }) => loosely(run).setNotes(notes) },
  metric: {
    fields: ['name', 'axis', 'summary', 'goal'],
    needs: ['name'],
    put: (run, { name, ...options }) => loosely(run).defineMetric(name, options),
  },
  dataset: {
    fields: ['name', 'digest', 'source', 'sourceType', 'schema', 'profile', 'context'],
    needs: ['name', 'digest', 'source'],
    put: (run, dataset) => loosely(run).logDataset(dataset),
  },
  console: {
    fields: ['text', 'stream', 'time'],
    needs: ['text'],
    put: (run, { text, ...place }) => loosely(run).logConsole(text, place),
  },
  text: {
    fields: ['name', 'text', ...PLACE],
    needs: ['name', 'text'],
    put: (run, { name, text, ...place }) => loosely(run).logText(name, text, place),
  },
  histogram: {
    fields: ['name', 'values', 'bins', 'edges', 'counts', ...PLACE],
    needs: ['name'],
    put: (run, { name, values, edges, counts, ...place }) => {
      if ((values === undefined) === (edges === undefined && counts === undefined))
        throw malformed("needs either 'values' or 'edges' and 'counts'")
      return loosely(run).logHistogram(name, values ?? { edges, counts }, place)
    },
  },
  image: {
    fields: ['name', 'path', 'base64', 'caption', ...PLACE],
    needs: ['name'],
    put: (run, { name, caption, ...rest }) =>
      loosely(run).logImage(name, bytesOf(rest), { ...placeOf(rest), caption }),
  },
  table: {
    fields: ['name', 'rows', 'columns', 'data', ...PLACE],
    needs: ['name'],
    put: (run, { name, rows, columns, data, ...place }) => {
      if ((rows === undefined) === (columns === undefined && data === undefined))
        throw malformed("needs either 'rows' or 'columns' and 'data'")
      return loosely(run).logTable(name, rows ?? { columns, data }, place)
    },
  },
  figure: {
    fields: ['name', 'figure', 'path', 'base64', ...PLACE],
    needs: ['name'],
    put: (run, { name, figure, ...rest }) =>
      loosely(run).logFigure(name, figure ?? bytesOf(rest), placeOf(rest)),
  },
  prCurve: {
    fields: ['name', 'labels', 'predictions', 'thresholds', 'weights', ...PLACE],
    needs: ['name', 'labels', 'predictions'],
    put: (run, { name, labels, predictions, ...place }) =>
      loosely(run).logPrCurve(name, labels, predictions, place),
  },
  artifact: {
    fields: ['path', 'name', 'artifactType', 'alias', 'description', 'metadata'],
    needs: ['path'],
    put: (run, { path, artifactType, ...options }) =>
      loosely(run).logArtifact(path, { ...options, type: artifactType }),
  },
  file: {
    fields: ['path', 'as'],
    needs: ['path'],
    put: (run, { path, ...options }) => loosely(run).logFile(path, options),
  },
  code: {
    fields: ['path', 'name', 'include', 'exclude'],
    needs: [],
    put: (run, { path, ...options }) => loosely(run).logCode(path, options),
  },
  input: {
    fields: ['name', 'artifactType'],
    needs: ['name'],
    put: (run, { name, artifactType }) => loosely(run).useArtifact(name, { type: artifactType }),
  },
  alert: {
    fields: ['title', 'text', 'level', 'waitMs'],
    needs: ['title'],
    put: (run, { title, text, ...options }) => loosely(run).alert(title, text, options),
  },
  model: {
    fields: ['path', 'name', 'register', 'alias', 'description', 'metadata', 'step'],
    needs: ['path'],
    put: (run, { path, ...options }) => loosely(run).logModel(path, options),
  },
}

/** @throws TraceletError ERR_VALUE for a kind that there is not, or fields that are not the kind's */
export function findKind(word: string, fields: Fields): LineKind {
  const name = camelCase(word)
  const kind = Object.hasOwn(LINE_KINDS, name) ? LINE_KINDS[name]! : undefined
  if (!kind)
    throw malformed(`unknown type '${word}'${suggestion(name, [...Object.keys(LINE_KINDS), 'finish'])}`)
  checkFields(word, fields, kind)
  return kind
}

/** How a `finish` line ends the run. @throws TraceletError ERR_VALUE */
export function outcomeOf(fields: Fields): RunOutcome {
  checkFields('finish', fields, { fields: ['outcome'], needs: [] })
  const { outcome = 'finished' } = fields
  if (OUTCOMES.includes(outcome as RunOutcome)) return outcome as RunOutcome
  throw malformed(`the outcome is one of ${OUTCOMES.join(', ')}, but is '${String(outcome)}'`)
}

/** `source_type` and `sourceType` alike: other languages have other habits. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-z])[_-]([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

export function malformed(message: string, code: ErrorCode = 'ERR_VALUE'): TraceletError {
  return new TraceletError(code, message)
}

function checkFields(word: string, fields: Fields, kind: Pick<LineKind, 'fields' | 'needs'>): void {
  const missing = kind.needs.find((name) => fields[name] === undefined)
  if (missing !== undefined) throw malformed(`'${word}' needs '${missing}'`)
  const unknown = Object.keys(fields).find((name) => !kind.fields.includes(name))
  if (unknown !== undefined)
    throw malformed(`'${word}' has no field '${unknown}'${suggestion(unknown, kind.fields)}`)
}

function suggestion(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates)
  return near === undefined ? '' : `; did you mean '${near}'?`
}

/** Of an image: from a file on this machine, or from the line itself. */
function bytesOf({ path, base64 }: Fields): Uint8Array {
  if (typeof base64 === 'string' && path === undefined) return Buffer.from(base64, 'base64')
  if (typeof path !== 'string' || base64 !== undefined)
    throw malformed("needs a text: either 'path' or 'base64'")
  try {
    const file = statSync(path)
    if (!file.isFile()) throw new Error('it is not a file')
    if (file.size > MAX_IMAGE_BYTES) throw new Error(`it has more than ${MAX_IMAGE_BYTES} bytes`)
    return readFileSync(path)
  } catch (error) {
    throw malformed(`'${path}' cannot be read: ${(error as Error).message}`, 'ERR_ARTIFACT')
  }
}
