/**
 * `npm run build && node dist/test/peers/screenshots.js`: logs a run with one of everything, opens real TensorBoard
 * and real MLflow in a real browser, and saves what they show: reports/screenshots/*.png and reports/screenshots.md.
 *
 * Ends with 1 when a page does not show what was logged; its old picture stays then. Not part of `npm test`. The
 * servers' Python environment and the browser are fetched at the first use (python.ts, screenshots-browser.ts).
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { REPOSITORY } from '../repository.ts'
import { freePort, startMlflowServer } from './mlflow-server.ts'
import { PEERS_FOLDER, preparePython } from './python.ts'
import { type Browser, openBrowser } from './screenshots-browser.ts'
import { NotShown, picture } from './screenshots-page.ts'
import {
  MLFLOW_SETTINGS,
  type MlflowPlace,
  mlflowPages,
  type Shown,
  tensorboardPages,
} from './screenshots-pages.ts'
import { type Logged, logEverything } from './screenshots-run.ts'

const REPORTS = join(REPOSITORY, 'reports')
const PICTURES = join(REPORTS, 'screenshots')
/** What a page shows that does not show the run. */
const FAILED = join(REPOSITORY, '.cache', 'screenshots')
const MAX_PICTURE_BYTES = 150_000
const START_TIMEOUT_MS = 60_000

async function main(): Promise<void> {
  const python = await preparePython()
  const folder = mkdtempSync(join(tmpdir(), 'tracelet-screenshots-'))
  const closing: (() => Promise<void> | void)[] = [() => rmSync(folder, { recursive: true, force: true })]
  try {
    const mlflow = await startMlflowServer(python)
    closing.push(() => mlflow.stop())
    const logged = await logEverything(folder, mlflow.uri)
    for (const [name, { pending, rejected }] of Object.entries(logged.stats.destinations))
      if (pending + rejected > 0) throw new Error(`${name}: ${pending} pending, ${rejected} rejected`)
    const tensorboard = await startTensorboard(python, folder)
    closing.push(tensorboard.stop)
    const browser = await openBrowser()
    closing.push(() => browser.close())
    const shown = [
      ...(await save(browser, tensorboardPages(tensorboard.uri))),
      ...(await save(browser, mlflowPages(await findInMlflow(mlflow.uri, logged)), MLFLOW_SETTINGS)),
    ]
    const files = shown.map(({ name }) => join(PICTURES, `${name}.png`))
    execFileSync(python, [join(PEERS_FOLDER, 'screenshots_shrink.py'), String(MAX_PICTURE_BYTES), ...files])
    const versions = `${await browser.version()}, ${versionsOf(python)}`
    writeFileSync(join(REPORTS, 'screenshots.md'), report(shown, versions))
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
    process.stdout.write(`${shown.length} pictures, ${Math.round(bytes / 1000)} kB, in ${PICTURES}\n`)
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

async function save(
  browser: Browser,
  pages: readonly Shown[],
  settings: Readonly<Record<string, string>> = {},
): Promise<readonly Shown[]> {
  mkdirSync(PICTURES, { recursive: true })
  const problems: string[] = []
  for (const page of pages) {
    try {
      writeFileSync(join(PICTURES, `${page.name}.png`), await picture(browser, page.url, page, settings))
      process.stdout.write(`${page.name}: ${page.texts.join(', ')}\n`)
    } catch (error) {
      problems.push(`${page.name}: ${error instanceof Error ? error.message : String(error)}`)
      if (error instanceof NotShown) problems.push(`  see ${keepFailed(page.name, error)}`)
    }
  }
  if (problems.length > 0) throw new Error(problems.join('\n'))
  return pages
}

function keepFailed(name: string, { picture }: NotShown): string {
  mkdirSync(FAILED, { recursive: true })
  const path = join(FAILED, `${name}.png`)
  writeFileSync(path, picture)
  return path
}

async function startTensorboard(
  python: string,
  folder: string,
): Promise<{ readonly uri: string; readonly stop: () => void }> {
  const port = await freePort()
  const uri = `http://127.0.0.1:${port}`
  const child = spawn(
    python,
    ['-m', 'tensorboard.main', '--logdir', 'events', '--host', '127.0.0.1', '--port', String(port)],
    { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let problems = ''
  child.stderr.on('data', (text: Buffer) => (problems = (problems + text).slice(-2000)))
  const stop = () => void child.kill('SIGKILL')
  process.once('exit', stop)
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await listsRuns(uri))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      stop()
      throw new Error(`tensorboard shows no run: ${problems}`)
    }
    await sleep(200)
  }
  return { uri, stop }
}

async function listsRuns(uri: string): Promise<boolean> {
  try {
    return ((await (await fetch(`${uri}/data/runs`)).json()) as string[]).length > 0
  } catch {
    return false
  }
}

async function findInMlflow(uri: string, { runId }: Logged): Promise<MlflowPlace> {
  const post = async (call: string, body: object) => {
    const response = await fetch(`${uri}/api/2.0/mlflow/${call}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${call}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, unknown>
  }
  const { experiments } = (await post('experiments/search', {
    max_results: 10,
    filter: "name = 'digits'",
  })) as {
    experiments: { experiment_id: string }[]
  }
  const experimentId = experiments[0]!.experiment_id
  const { runs } = (await post('runs/search', { experiment_ids: [experimentId] })) as {
    runs: { info: { run_id: string } }[]
  }
  const { models } = (await post('logged-models/search', { experiment_ids: [experimentId] })) as {
    models?: { info: { model_id: string } }[]
  }
  if (runs.length !== 1 || models?.length !== 1)
    throw new Error(
      `MLflow has ${runs.length} runs and ${models?.length ?? 0} models of run ${runId}, not one each`,
    )
  return { uri, experimentId, runId: runs[0]!.info.run_id, modelId: models[0]!.info.model_id }
}

function versionsOf(python: string): string {
  const script = `from importlib.metadata import version
print("TensorBoard", version("tensorboard") + ", MLflow", version("mlflow"))`
  return execFileSync(python, ['-c', script], { encoding: 'utf8' }).trim()
}

function report(shown: readonly Shown[], versions: string): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const pictures = shown.flatMap(({ name, caption, texts }) => [
    `## ${name}`,
    `${caption} Found on the page: ${texts.map((text) => `\`${text}\``).join(', ')}.`,
    `![${name}](screenshots/${name}.png)`,
  ])
  return `${[
    '# What TensorBoard and MLflow show of a run',
    'Generated by `npm run build && node dist/test/peers/screenshots.js`, which repeats it and fails when a page does not show what was logged.',
    `One run with one of everything: the demo’s training, logged once, to both backends. ${versions}; commit ${commit}.`,
    ...pictures,
  ].join('\n\n')}\n`
}

await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
})
