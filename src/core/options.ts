/**
 * Options live in tables and nowhere else: type, default, unit, bounds, environment name and doc of each.
 * TypeScript types, `--help` and the README derive from the tables or are compared with them by a test.
 * Precedence: option → environment (in the order listed) → default.
 */
import { TraceletError } from './errors.ts'

export interface OptionRow {
  readonly type: 'string' | 'number' | 'boolean' | 'strings'
  /** Absent: the option is undefined unless given. */
  readonly default?: string | number | boolean
  readonly unit?: 'ms' | 'bytes' | 'slots' | 'threads'
  /** Bounds of a number, both allowed. */
  readonly min?: number
  readonly max?: number
  /** A number must not have a fraction. */
  readonly isWhole?: true
  /** The only values a string, or each of several, may have. */
  readonly values?: readonly string[]
  /** Environment variables that give it, the first set one wins. */
  readonly env?: readonly string[]
  /** Those of `env` that were set for another program: one that cannot be read here says nothing, and is no error. */
  readonly hints?: readonly string[]
  /** Never written to disk, to a log or into an error. */
  readonly secret?: true
  /** Says what this process is to do, not what the run is: not written down with the run. */
  readonly isOfProcess?: true
  readonly doc: string
}
export type OptionTable = Readonly<Record<string, OptionRow>>

type ValueOf<Row extends OptionRow> = Row['type'] extends 'number'
  ? number
  : Row['type'] extends 'boolean'
    ? boolean
    : Row['type'] extends 'strings'
      ? readonly string[]
      : Row['values'] extends readonly (infer Value)[]
        ? Value
        : string
/** What resolving a table gives: options with a default are always there. */
export type OptionsOf<Table extends OptionTable> = {
  readonly [Name in keyof Table]: Table[Name] extends {
    readonly default: string | number | boolean
  }
    ? ValueOf<Table[Name]>
    : ValueOf<Table[Name]> | undefined
}
/** What a user may give for a table. */
export type GivenOptions<Table extends OptionTable> = {
  readonly [Name in keyof Table]?: ValueOf<Table[Name]> | undefined
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Fills a table from what the user gave and the environment.
 * @param where named in errors: `startLogging`, `backend mlflow`
 * @throws TraceletError ERR_OPTION for an unknown name (with a suggestion), a wrong type or a value out of bounds
 */
export function resolveOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, unknown>>,
  environment: Environment,
  where: string,
): OptionsOf<Table> {
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(table, name)) {
      const near = nearest(name, Object.keys(table))
      throw new TraceletError(
        'ERR_OPTION',
        `${where}: unknown option '${name}'${near ? `; did you mean '${near}'?` : ''}`,
      )
    }
  }
  const resolved: Record<string, unknown> = {}
  for (const [name, row] of Object.entries(table)) {
    let value: unknown = given[name]
    let source = `option '${name}'`
    if (value === undefined) {
      const variable = row.env?.find((candidate) => says(row, candidate, environment[candidate]))
      if (variable !== undefined) {
        source = `environment variable ${variable}`
        value = fromText(row, environment[variable]!, source, where)
      }
    }
    if (value === undefined) value = row.default
    else check(row, value, source, where)
    resolved[name] = value
  }
  return resolved as OptionsOf<Table>
}

/** The options that may be written down: all but secrets and undefined ones. */
export function withoutSecrets(
  table: OptionTable,
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).filter(([name, value]) => value !== undefined && !table[name]?.secret),
  )
}

/** What of them stands with a run: another process that goes on with it has its own of the rest. */
export function keptOptions(
  table: OptionTable,
  options: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(withoutSecrets(table, options)).filter(([name]) => !table[name]?.isOfProcess),
  )
}

function says(row: OptionRow, variable: string, text: string | undefined): boolean {
  if (!text || !row.hints?.includes(variable)) return Boolean(text)
  try {
    check(row, fromText(row, text, '', ''), '', '')
    return true
  } catch {
    return false
  }
}

function fromText(row: OptionRow, text: string, source: string, where: string): unknown {
  if (row.type === 'string') return text
  if (row.type === 'strings')
    return text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
  if (row.type === 'number') {
    const number = Number(text)
    if (text.trim() === '' || Number.isNaN(number)) throw bad(row, text, source, where, 'a number')
    return number
  }
  const truth = {
    true: true,
    '1': true,
    yes: true,
    on: true,
    false: false,
    '0': false,
    no: false,
    off: false,
  } as const
  const value = truth[text.toLowerCase() as keyof typeof truth]
  if (value === undefined) throw bad(row, text, source, where, 'true or false')
  return value
}

function check(row: OptionRow, value: unknown, source: string, where: string): void {
  if (row.type === 'strings') {
    if (!Array.isArray(value) || value.some((part) => typeof part !== 'string')) {
      throw bad(row, value, source, where, 'an array of strings')
    }
    const { values = value as string[] } = row
    const wrong = (value as string[]).find((part) => !values.includes(part))
    if (wrong === undefined) return
    const near = nearest(wrong, values)
    throw new TraceletError(
      'ERR_OPTION',
      `${where}: ${source} must be any of ${values.join(', ')}, but holds '${wrong}'${near ? `; did you mean '${near}'?` : ''}`,
    )
  }
  if (typeof value !== row.type || Number.isNaN(value)) throw bad(row, value, source, where, `a ${row.type}`)
  if (row.isWhole && !Number.isInteger(value)) throw bad(row, value, source, where, 'a whole number')
  if (row.values && !row.values.includes(value as string))
    throw bad(row, value, source, where, `one of ${row.values.join(', ')}`)
  if (typeof value === 'number' && (value < (row.min ?? -Infinity) || value > (row.max ?? Infinity))) {
    throw bad(
      row,
      value,
      source,
      where,
      `between ${row.min ?? '-∞'} and ${row.max ?? '∞'}${row.unit ? ` ${row.unit}` : ''}`,
    )
  }
}

function bad(row: OptionRow, value: unknown, source: string, where: string, wanted: string): TraceletError {
  const shown = row.secret ? '(hidden)' : typeof value === 'string' ? `'${value}'` : String(value)
  return new TraceletError('ERR_OPTION', `${where}: ${source} must be ${wanted}, but is ${shown}`)
}

/** The candidate that is at most a third of its length of single edits away; undefined when none is. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Infinity
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      current[j] = Math.min(previous[j]! + 1, current[j - 1]! + 1, substitution)
    }
    previous = current
  }
  return previous[b.length]!
}
