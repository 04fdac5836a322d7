/** Which options come from the environment, and what in it means nothing to us. */
import { TraceletError } from '../../core/errors.ts'
import { type Environment, nearest, type OptionTable, resolveOptions } from '../../core/options.ts'
import { redact } from '../../core/redact.ts'
import type { RunInfo } from '../../core/types.ts'
import type { DestinationSpec } from '../../pipeline/messages.ts'
import { resolveBackends } from '../../run/backends.ts'
import { companionsOf } from '../../run/companions.ts'
import { RUN_OPTIONS } from '../../run/options.ts'
import type { Finding } from '../../sinks/contract.ts'
import { SINKS } from '../../sinks/index.ts'

const BACKEND_VARIABLE = 'TRACELET_BACKEND'
/** Switches of the tests and of the tables in the README: no options of a run. */
const OUR_OWN = /^TRACELET_(?:TEST_|UPDATE_README$)/

/** Stands for those that will be started. */
const SOME_RUN: RunInfo = {
  ...{ id: 'run', name: 'run', project: 'default', experiment: 'default' },
  ...{ createdAt: 0, nonce: '', folder: '/' },
}

export interface Configuration {
  readonly findings: readonly Finding[]
  /** Empty when they cannot be resolved. */
  readonly backends: readonly DestinationSpec[]
}

/** @param chosen backends named on the command line instead of by the environment */
export function readConfiguration(
  environment: Environment,
  chosen: readonly string[] | undefined,
): Configuration {
  const findings: Finding[] = []
  const wrong = (
    error: unknown,
    fix = 'correct or unset the variable; the table of options is in the README',
  ) => {
    if (!(error instanceof TraceletError)) throw error
    findings.push({ level: 'fail', what: error.code, seen: error.message, fix })
  }
  try {
    resolveOptions(RUN_OPTIONS, {}, environment, 'startLogging')
  } catch (error) {
    wrong(error)
  }
  let backends: DestinationSpec[] = []
  try {
    const named = resolveBackends(chosen, environment, SOME_RUN)
    backends = [...named, ...companionsOf(named, SOME_RUN, environment).map(({ spec }) => spec)]
    const names = backends.map(({ name }) => name).join(', ')
    const from = chosen ? '--backend' : environment[BACKEND_VARIABLE] ? BACKEND_VARIABLE : 'the default'
    findings.push({ level: 'ok', what: 'backends', seen: `${names} (${from})` })
  } catch (error) {
    wrong(
      error,
      chosen && `correct --backend; a backend is one of ${SINKS.map(({ kind }) => kind).join(', ')}`,
    )
  }
  const kinds = new Set(backends.map(({ kind }) => kind))
  const tables = [RUN_OPTIONS, ...SINKS.filter(({ kind }) => kinds.has(kind)).map(({ options }) => options)]
  return {
    findings: [...findings, ...setVariables(tables, environment), ...unknownVariables(environment)],
    backends,
  }
}

function setVariables(tables: readonly OptionTable[], environment: Environment): Finding[] {
  return tables.flatMap((table) =>
    Object.entries(table).flatMap(([option, row]) => {
      const variable = row.env?.find((name) => environment[name])
      if (variable === undefined) return []
      const value = row.secret ? '(set, not shown)' : redact(variable, environment[variable]!)
      return [{ level: 'ok' as const, what: variable, seen: `${option} = ${value}` }]
    }),
  )
}

function unknownVariables(environment: Environment): Finding[] {
  const tables: readonly OptionTable[] = [RUN_OPTIONS, ...SINKS.map(({ options }) => options)]
  const known = [
    BACKEND_VARIABLE,
    ...tables.flatMap((table) => Object.values(table).flatMap(({ env }) => env ?? [])),
  ]
  return Object.keys(environment)
    .filter((name) => name.startsWith('TRACELET_') && !known.includes(name) && !OUR_OWN.test(name))
    .map((name) => {
      const near = nearest(name, known)
      return {
        level: 'warn',
        what: name,
        seen: 'is no variable of tracelet and does nothing',
        fix: near === undefined ? 'unset it' : `did you mean ${near}?`,
      }
    })
}
