/** Alerts: the server sends them by e-mail or Slack to the users of the run who have switched that on. */
import { cutText } from '../../core/cut.ts'
import type { RunRecord, WriteResult } from '../../core/types.ts'
import { shown } from '../notices.ts'
import type { RecordParts } from './records.ts'

export type AlertRecord = Extract<RunRecord, { kind: 'alert' }>

const NOTIFY =
  'mutation NotifyScriptableRunAlert($entityName: String!, $projectName: String!, $runName: String!, $title: String!, $text: String!, $severity: AlertSeverity = INFO, $waitDuration: Duration) { notifyScriptableRunAlert(input: {entityName: $entityName, projectName: $projectName, runName: $runName, title: $title, text: $text, severity: $severity, waitDuration: $waitDuration}) { success } }'
export const SEVERITIES = { info: 'INFO', warn: 'WARN', error: 'ERROR' } as const
/** `Run.alert` of the SDK: a title "must be less than 64 characters long". */
const MAX_TITLE_LENGTH = 63
/** What the SDK asks for where the user does not; the server takes whole milliseconds. */
export const DEFAULT_WAIT_MS = 60_000

interface Payload {
  readonly notifyScriptableRunAlert: { readonly success: boolean | null } | null
}

/**
 * One whose answer was lost comes again: the server tells it once, unless the user asks for a shorter wait. A refusal
 * costs the alert only; the run goes on without it.
 */
export async function writeAlert(
  { api, remote, notices }: Pick<RecordParts, 'api' | 'remote' | 'notices'>,
  record: AlertRecord,
  signal: AbortSignal,
): Promise<WriteResult> {
  const { entity, project, run } = remote
  const variables = {
    ...{ entityName: entity, projectName: project, runName: run },
    ...titleAndText(record),
    severity: SEVERITIES[record.level] ?? SEVERITIES.info,
    waitDuration: Math.round(record.waitMs ?? DEFAULT_WAIT_MS),
  }
  const answer = await api.graphql<Payload>('NotifyScriptableRunAlert', NOTIFY, variables, signal)
  if ('refusal' in answer) {
    const { refusal } = answer
    const isOfAlert =
      refusal.status === 'split' ||
      (refusal.status === 'blocked' && refusal.scope === 'run' && refusal.code !== 'ERR_REMOTE_RUN_GONE')
    return isOfAlert ? rejected(refusal.code, refusal.reason) : refusal
  }
  const { data, restMs } = answer
  if (!data.notifyScriptableRunAlert) return rejected('ERR_REFUSED', 'W&B did not take the alert')
  if (data.notifyScriptableRunAlert.success === false) {
    notices.tell(
      'alert',
      `W&B says of the alert '${shown(record.title)}' that nobody was told: are alerts on in its settings?`,
    )
  }
  return { status: 'accepted', ...(restMs !== undefined && { restMs }) }
}

/** A title that is cut stands whole before the text. */
export function titleAndText({ title, text }: AlertRecord): {
  readonly title: string
  readonly text: string
} {
  if (title.length <= MAX_TITLE_LENGTH) return { title, text }
  return { title: cutText(title, MAX_TITLE_LENGTH), text: `${title}\n\n${text}` }
}

function rejected(code: string, reason: string): WriteResult {
  return { status: 'partial', rejected: [{ index: 0, code, reason }] }
}
