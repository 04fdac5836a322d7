/** The options of `startLogging` as flags of a command: made from their table. */
import { type OptionRow, type OptionTable, withoutSecrets } from '../../core/options.ts'
import type { Backend, StartOptions } from '../../index.ts'
import { RUN_OPTIONS } from '../../run/options.ts'
import { type CommandOption, UsageError, words } from '../command.ts'

/** While a call waits for room the producer waits: here is no training loop that must not be held. */
const BLOCK_MAX_MS = 60_000
/** Not for a program of its own: a signal ends it as it says itself. */
const LEFT_OUT = new Set<string>(['signals'])
const TABLE: OptionTable = {
  ...RUN_OPTIONS,
  blockMaxMs: { ...RUN_OPTIONS.blockMaxMs, default: BLOCK_MAX_MS },
}
const ROWS = Object.entries(TABLE).filter(([name]) => !LEFT_OUT.has(name))

export const RUN_FLAGS: Readonly<Record<string, CommandOption>> = {
  ...Object.fromEntries(ROWS.map(([name, row]) => [kebabCase(name), toFlag(row)])),
  backend: {
    type: 'string',
    multiple: true,
    doc: 'where it lands: words such as mlflow,tensorboard or JSON with options, \'{"mlflow":{"uri":"…"}}\' (default: TRACELET_BACKEND, else local,tensorboard)',
  },
  resume: {
    type: 'string',
    doc: 'id of a run that is there: it goes on, and without --backend where it went before',
  },
  'from-step': {
    type: 'string',
    doc: 'with --resume: go back first; what the run had at this step or beyond is superseded by what follows',
  },
  param: {
    type: 'string',
    multiple: true,
    doc: 'a hyperparameter, NAME=VALUE; a value is read as JSON where it is',
  },
  tag: { type: 'string', multiple: true, doc: 'a tag, NAME or NAME=VALUE' },
}

/** @throws UsageError */
export function toStartOptions(values: Readonly<Record<string, unknown>>): StartOptions {
  const given = ROWS.map(([name, row]) => [name, toValue(name, row, values[kebabCase(name)])] as const)
  const { backend, param, tag } = values as Record<string, readonly string[] | undefined>
  return {
    ...(process.env.TRACELET_BLOCK_MAX_MS ? {} : { blockMaxMs: BLOCK_MAX_MS }),
    ...withoutSecrets(RUN_OPTIONS, Object.fromEntries(given)),
    ...(backend && { backend: toBackend(backend) }),
    ...toResume(values.resume as string | undefined, values['from-step'] as string | undefined),
    ...(param && { params: Object.fromEntries(param.map((text) => [nameOf(text, 'param'), toParam(text)])) }),
    ...(tag && { tags: Object.fromEntries(tag.map((text) => [nameOf(text, 'tag'), valueIn(text) ?? ''])) }),
  }
}

function toFlag(row: OptionRow): CommandOption {
  const unit = row.unit === undefined ? '' : ` ${row.unit}`
  const otherwise = [
    ...(row.default === undefined ? [] : [`default: ${row.default}${unit}`]),
    ...(row.env?.[0] === undefined ? [] : [`environment: ${row.env.join(', ')}`]),
  ]
  const doc = `${row.doc}${otherwise.length > 0 ? ` (${otherwise.join('; ')})` : ''}`
  return { type: row.type === 'boolean' ? 'boolean' : 'string', doc }
}

function toValue(name: string, row: OptionRow, value: unknown): unknown {
  if (row.type !== 'number' || value === undefined) return value
  const number = Number(value)
  if (String(value).trim() !== '' && !Number.isNaN(number)) return number
  throw new UsageError(`--${kebabCase(name)} must be a number, but is '${String(value)}'`)
}

function toResume(runId: string | undefined, step: string | undefined): Pick<StartOptions, 'resume'> {
  if (step !== undefined && runId === undefined) throw new UsageError('--from-step needs --resume RUN')
  if (runId === undefined) return {}
  if (step === undefined) return { resume: runId }
  const fromStep = step.trim() === '' ? Number.NaN : Number(step)
  if (!Number.isSafeInteger(fromStep)) {
    throw new UsageError(`--from-step must be an integer between -(2^53 - 1) and 2^53 - 1, but is '${step}'`)
  }
  return { resume: { runId, fromStep } }
}

function toBackend(given: readonly string[]): Backend {
  const [first] = given
  if (!first?.trimStart().startsWith('{')) return words(given)
  if (given.length > 1) throw new UsageError('--backend: JSON with options stands alone')
  try {
    return JSON.parse(first) as Backend
  } catch {
    // the text itself may hold a password
    throw new UsageError('--backend: what begins with { must be JSON')
  }
}

function nameOf(text: string, flag: string): string {
  const name = text.split('=', 1)[0]!
  if (name === '') throw new UsageError(`--${flag} must be NAME=VALUE`)
  return name
}

function valueIn(text: string): string | undefined {
  const at = text.indexOf('=')
  return at < 0 ? undefined : text.slice(at + 1)
}

function toParam(text: string): unknown {
  const value = valueIn(text)
  if (value === undefined) throw new UsageError(`--param must be NAME=VALUE, but is '${text}'`)
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

function kebabCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
