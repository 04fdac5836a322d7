/** What an entry of the history comes to, whatever it is of. */
import type { Rejection } from '../../../core/types.ts'

export type EntryNotice = (topic: string, message: string) => void
export interface Refused {
  readonly refused: Rejection
}

/** Why a record is taken nowhere: what it names is not what it says. */
export function refused(reason: string): Refused {
  return { refused: { index: 0, code: 'ERR_BLOB', reason } }
}
