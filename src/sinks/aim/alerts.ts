/**
 * Alerts as what `run.log_warning` and its siblings write (aim/sdk/logging): the run's messages, which `aim-watcher` brings
 * to Slack and others from the level on that its users have chosen.
 */
import type { RunRecord } from '../../core/types.ts'
import { AimCustom } from './tree.ts'

export const ALERTS = '__log_records'
/** Python's. */
const LEVELS = { info: 20n, warn: 30n, error: 40n } as const

export function alertObject({ title, text, level, time }: Extract<RunRecord, { kind: 'alert' }>): AimCustom {
  return new AimCustom('aim.log_record', {
    message: text === '' ? title : `${title}: ${text}`,
    log_level: LEVELS[level] ?? LEVELS.info,
    timestamp: time / 1000,
    // file and line at Aim's: of those that have it in common, and the level, people are told once with their number
    __logger_info: [title, 0n],
  })
}
