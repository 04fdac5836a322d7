/** What users are told, once, of rows and definitions: of the run that is sent, and of the one in a file. */
import type { Notices } from '../notices.ts'

type Told = Pick<Notices, 'tell'>

export function tellRenumbered(notices: Told): void {
  notices.tell(
    'step',
    "W&B takes no step twice and none below the one before: such rows get the next free `_step`, and the run's own stays their `global_step`",
  )
}

/** @param name of a series whose axis rows will not bring */
export function tellNoAxis(notices: Told, name: string): void {
  notices.tell(
    'axis',
    `the axis is not added to rows of '${name}' that lack it: so many definitions have no room`,
  )
}
