/** Alerts of runs: a message that the server sends to its users' mail or chat. */
import type { Arguments } from './artifact-mutations.ts'
import { type Answering, RefusedField } from './graphql.ts'
import type { StandInRun } from './run.ts'

export interface StandInAlert {
  /** Path of the run. */
  readonly run: string
  readonly title: string
  readonly text: string
  readonly severity: 'INFO' | 'WARN' | 'ERROR'
  /** As it came. */
  readonly waitDuration: unknown
  /** ms since the epoch */
  readonly at: number
}

const SEVERITIES = ['INFO', 'WARN', 'ERROR']
/** Documented for titles. */
const MAX_TITLE_LENGTH = 64

export function notify(
  alerts: StandInAlert[],
  run: StandInRun | undefined,
  { title, text, severity, waitDuration }: Arguments,
): Answering {
  if (run === undefined) throw new RefusedField('run not found')
  const refuse = (why: string): never => {
    run.problems.push(`alert: ${why}`)
    throw new RefusedField(why)
  }
  if (typeof title !== 'string' || title === '') refuse('it has no title')
  if (String(title).length > MAX_TITLE_LENGTH) refuse(`a title of ${String(title).length} characters`)
  if (typeof text !== 'string') refuse('it has no text')
  if (!SEVERITIES.includes(String(severity))) refuse(`the severity ${severity}`)
  alerts.push({
    run: run.path,
    title: String(title),
    text: String(text),
    severity: severity as StandInAlert['severity'],
    waitDuration,
    at: Date.now(),
  })
  return { __typename: 'NotifyScriptableRunAlertPayload', success: true }
}
