/** The list of commands. A new one is its file and one line here. */
import type { Command } from './command.ts'
import { demoCommand } from './demo/command.ts'
import { doctorCommand } from './doctor/doctor.ts'
import { exportCommand } from './export/export.ts'
import { lsCommand } from './ls.ts'
import { pipeCommand } from './pipe/pipe.ts'
import { pruneCommand } from './prune/prune.ts'
import { showCommand } from './show/show.ts'
import { syncCommand } from './sync/sync.ts'
import { tailCommand } from './tail/tail.ts'

export const COMMANDS: readonly Command[] = [
  demoCommand,
  doctorCommand,
  exportCommand,
  lsCommand,
  pipeCommand,
  pruneCommand,
  showCommand,
  syncCommand,
  tailCommand,
]
