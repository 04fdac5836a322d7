/** What the drain asks of the thread around it. */
import type { DrainIssue } from './disk-trouble.ts'
import type { DrainRun } from './drain-run.ts'
import type { SeriesDefinition } from './messages.ts'

export interface DrainHooks {
  /** Looks for runs and lanes announced since; called for a flush, and when a lane names an unknown run. */
  readonly receive: () => void
  /** Series defined since the last call; must be handed on before their slots are freed. */
  readonly onDefinitions: (definitions: readonly SeriesDefinition[]) => void
  readonly onAppend: () => void
  readonly onFinish: (run: DrainRun) => void
  readonly onOrphans: (points: number) => void
  readonly onIssue: (run: DrainRun, issue: DrainIssue) => void
}
