/** `tracelet tail`: what is logged, as it is logged, by whichever process. */
import { openRun } from '../../index.ts'
import { type Command, DIR_OPTION, EXIT, onlyWord, PROJECT_OPTION, rootFolder } from '../command.ts'
import { fitsPattern } from '../series-pattern.ts'
import { palette, terminalColumns } from '../terminal.ts'
import { fit, jsonText, plain } from '../text.ts'
import { followRun } from './follow.ts'
import { eventLine, eventsOf } from './lines.ts'

export const tailCommand: Command = {
  name: 'tail',
  summary: 'follow a run while any process writes it; ends with the run',
  usage: 'tail RUN [--metric NAME …] [--from-start] [--dir DIR] [--project P] [--json]',
  options: {
    metric: { type: 'string', multiple: true, doc: 'only these series; a name may end in *' },
    'from-start': { type: 'boolean', doc: 'also what was logged before (default: from now on)' },
    dir: DIR_OPTION,
    project: PROJECT_OPTION,
    json: { type: 'boolean', doc: 'a JSON object a line instead of text' },
  },
  maxPositionals: 1,
  exits: {
    [EXIT.ok]: 'the run is finished',
    [EXIT.failed]: 'it failed, was killed or died, or cannot be read',
  },
  async run(values, positionals) {
    const word = onlyWord('tail', positionals, 'a run (its id or its folder)')
    const run = openRun(word, { dir: rootFolder(values), project: values.project as string | undefined })
    const wants = wantedSeries(values.metric as string[] | undefined)
    const isJson = values.json === true
    const columns = terminalColumns() ?? Infinity
    const colours = palette()
    const outcome = await followRun(run.info.folder, {
      fromStart: values['from-start'] === true,
      onEntry(entry, describe) {
        const lines = eventsOf(entry, describe, wants).map((event) => {
          const line = isJson ? jsonText(event) : fit(eventLine(event), columns)
          return `${event.type === 'metrics' || isJson ? line : colours.dim(line)}\n`
        })
        if (lines.length > 0) process.stdout.write(lines.join(''))
      },
    })
    if (isJson) process.stdout.write(`${jsonText({ type: 'end', state: outcome })}\n`)
    else process.stderr.write(`run ${plain(run.info.id)}: ${endWords[outcome]}\n`)
    return outcome === 'finished' ? EXIT.ok : EXIT.failed
  },
}

const endWords = {
  finished: 'finished',
  failed: 'failed',
  killed: 'was killed',
  died: 'died: its process ended without finish(); what it had logged is kept',
} as const

function wantedSeries(patterns: readonly string[] | undefined): ((name: string) => boolean) | undefined {
  return patterns && ((name) => patterns.some((pattern) => fitsPattern(pattern, name)))
}
