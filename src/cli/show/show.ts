/** `tracelet show`: one run, from its journal and from what its destinations have got. */
import { openRun } from '../../index.ts'
import {
  type Command,
  DIR_OPTION,
  EXIT,
  JSON_OPTION,
  onlyWord,
  PROJECT_OPTION,
  rootFolder,
  UsageError,
} from '../command.ts'
import { overviewOf } from '../overview.ts'
import { refusalsOf } from '../refusals.ts'
import { fitsPattern } from '../series-pattern.ts'
import { terminalColumns } from '../terminal.ts'
import { jsonText, plain } from '../text.ts'
import { axesOf, STEPS } from './axis.ts'
import { formatShown } from './format.ts'
import { shownAsJson } from './json.ts'
import { lagOf } from './lag.ts'
import { type RunContent, readContent } from './read-run.ts'
import type { Shown } from './shown.ts'

export const showCommand: Command = {
  name: 'show',
  summary: 'one run: its series with plots, parameters, files, and where it has been delivered',
  usage: 'show RUN [--metric NAME …] [--no-plots] [--dir DIR] [--project P] [--json]',
  options: {
    metric: {
      type: 'string',
      multiple: true,
      doc: 'only these series; a name may end in *; with --json their points too',
    },
    'no-plots': { type: 'boolean', doc: 'numbers only' },
    dir: DIR_OPTION,
    project: PROJECT_OPTION,
    json: JSON_OPTION,
  },
  maxPositionals: 1,
  exits: { [EXIT.failed]: 'there is no such run, or it cannot be read' },
  async run(values, positionals) {
    const word = onlyWord('show', positionals, 'a run (its id or its folder)')
    const run = openRun(word, { dir: rootFolder(values), project: values.project as string | undefined })
    const { folder } = run.info
    const overview = overviewOf(folder)
    const summaries = run.summary()
    const hasPlots = values['no-plots'] !== true && values.json !== true
    const content = readContent(folder, hasPlots ? axesOf(run, summaries) : () => STEPS)
    const wanted = values.metric as string[] | undefined
    const shown: Shown = {
      overview,
      content: wanted === undefined ? content : onlySeries(content, wanted),
      summaries,
      refusals: refusalsOf(folder),
      lags: new Map(overview.destinations.map((one) => [one.name, lagOf(folder, one, Date.now())])),
    }
    if (values.json === true) process.stdout.write(`${jsonText(shownAsJson(shown, wanted !== undefined))}\n`)
    else {
      const layout = { columns: terminalColumns(), hasPlots, isChoice: wanted !== undefined }
      process.stdout.write(formatShown(shown, layout))
    }
    return EXIT.ok
  },
}

/** @throws UsageError when a name fits no series */
function onlySeries(content: RunContent, wanted: readonly string[]): RunContent {
  for (const pattern of wanted) {
    if (!content.curves.some(({ name }) => fitsPattern(pattern, name)))
      throw new UsageError(`show: the run has no series '${plain(pattern)}'`)
  }
  return {
    ...content,
    curves: content.curves.filter(({ name }) => wanted.some((pattern) => fitsPattern(pattern, name))),
  }
}
