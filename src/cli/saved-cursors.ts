/** How far a destination got, as its cursors on disk say. */
import type { Cursor } from '../core/types.ts'
import { CursorStore } from '../pipeline/store/cursor.ts'
import type { RunDestination } from '../pipeline/store/run-file.ts'

export interface SavedCursors {
  readonly rows?: Cursor | undefined
  readonly uploads?: Cursor | undefined
  /** What was found damaged. */
  readonly damage: readonly string[]
}

/** Only reads. @throws TraceletError ERR_JOURNAL_FORMAT when a newer version wrote them */
export function savedCursors(folder: string, { name, address }: RunDestination): SavedCursors {
  const damage: string[] = []
  const rows = new CursorStore(folder, name, (issue) => damage.push(issue.message)).load(address)
  return { rows, damage }
}
