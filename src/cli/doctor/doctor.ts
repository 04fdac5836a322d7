/** `tracelet doctor`: looks at everything a run needs, and says what to do about what is not right. */
import { openRun } from '../../index.ts'
import { latestDestinations } from '../../pipeline/store/run-file.ts'
import type { Finding } from '../../sinks/contract.ts'
import { type Command, DIR_OPTION, EXIT, JSON_OPTION, PROJECT_OPTION, rootFolder, words } from '../command.ts'
import { overviewOf } from '../overview.ts'
import { palette } from '../terminal.ts'
import { jsonText, plain } from '../text.ts'
import { type Asked, backendFindings } from './backends.ts'
import { readConfiguration } from './configuration.ts'
import { allGuardFindings } from './guards.ts'
import { nodeFinding, packageFindings } from './installation.ts'
import { rootFindings } from './root-folder.ts'
import { runFindings } from './run-check.ts'

export const doctorCommand: Command = {
  name: 'doctor',
  summary:
    'look at installation, configuration, disk and backends, or at one run; says how to mend what is wrong',
  usage: 'doctor [RUN] [--backend NAME …] [--dir DIR] [--project P] [--json]',
  options: {
    backend: {
      type: 'string',
      multiple: true,
      doc: 'ask these (default: TRACELET_BACKEND, else what a run has without it; of a RUN: its own)',
    },
    dir: DIR_OPTION,
    project: PROJECT_OPTION,
    json: JSON_OPTION,
  },
  maxPositionals: 1,
  exits: { [EXIT.ok]: 'nothing failed (there may be warnings)', [EXIT.failed]: 'something failed' },
  async run(values, [word]) {
    const root = rootFolder(values)
    const chosen = values.backend === undefined ? undefined : words(values.backend as string[])
    const areas: Area[] = [{ area: 'installation', findings: [nodeFinding(), ...(await packageFindings())] }]
    const configuration = readConfiguration(process.env, chosen)
    areas.push({ area: 'configuration', findings: configuration.findings })
    areas.push({ area: 'disk', findings: rootFindings(root) })
    let asked: readonly Asked[] = configuration.backends
    if (word === undefined) areas.push({ area: 'runs', findings: allGuardFindings(root) })
    else {
      const run = openRun(word, { dir: root, project: values.project as string | undefined })
      const overview = overviewOf(run.info.folder)
      areas.push({ area: `run ${run.info.id}`, findings: runFindings(overview) })
      if (chosen === undefined) asked = [...latestDestinations(overview.file).values()]
    }
    for (const [name, findings] of await backendFindings(asked, process.env)) {
      areas.push({ area: `backend ${name}`, findings })
    }
    process.stdout.write(values.json === true ? `${jsonText(toJson(areas))}\n` : formatAreas(areas))
    return worst(areas) === 'fail' ? EXIT.failed : EXIT.ok
  },
}

interface Area {
  readonly area: string
  readonly findings: readonly Finding[]
}

function worst(areas: readonly Area[]): Finding['level'] {
  const levels = areas.flatMap(({ findings }) => findings.map(({ level }) => level))
  return levels.includes('fail') ? 'fail' : levels.includes('warn') ? 'warn' : 'ok'
}

function toJson(areas: readonly Area[]) {
  return {
    verdict: worst(areas),
    findings: areas.flatMap(({ area, findings }) => findings.map((finding) => ({ area, ...finding }))),
  }
}

const MARKS = { ok: '✓', warn: '!', fail: '✗' } as const

function formatAreas(areas: readonly Area[]): string {
  const colours = palette()
  const paints = { ok: colours.green, warn: colours.yellow, fail: colours.red } as const
  const lines = areas.flatMap(({ area, findings }) => [
    colours.bold(plain(area)),
    ...findings.flatMap(({ level, what, seen, fix }) => [
      `  ${paints[level](MARKS[level])} ${plain(what)}: ${plain(seen)}`,
      ...(fix === undefined ? [] : [`      → ${plain(fix)}`]),
    ]),
    '',
  ])
  const all = areas.flatMap(({ findings }) => findings)
  const count = (level: Finding['level']) => all.filter((finding) => finding.level === level).length
  return `${lines.join('\n')}${count('ok')} ok, ${count('warn')} ${count('warn') === 1 ? 'warning' : 'warnings'}, ${count('fail')} failed\n`
}
