/**
 * A real browser: Chromium from npm, put into the repository's `.cache/browser` at the first use. `CHROME` names
 * another one, a path; then only the library that drives it is fetched.
 */
import { execFile, execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { REPOSITORY } from '../repository.ts'

/** As far as it is used here. */
export interface Page {
  goto(url: string, options: { waitUntil: 'load'; timeout: number }): Promise<unknown>
  /** Runs before any script of the page. */
  evaluateOnNewDocument(script: string): Promise<unknown>
  waitForSelector(selector: string, options: { timeout: number }): Promise<unknown>
  type(selector: string, text: string): Promise<void>
  evaluate(script: string): Promise<unknown>
  screenshot(): Promise<Uint8Array>
  close(): Promise<void>
}
export interface Browser {
  newPage(): Promise<Page>
  version(): Promise<string>
  close(): Promise<void>
}
interface Launcher {
  launch(options: {
    executablePath: string
    headless: 'shell'
    args: readonly string[]
    env: NodeJS.ProcessEnv
    defaultViewport: { width: number; height: number }
  }): Promise<Browser>
}

/** What drives it, and the browser: 66 MB as downloaded. */
const DRIVER = 'puppeteer-core@24.43.1'
const CHROMIUM = '@sparticuz/chromium@147.0.0'
const SIZE = { width: 1280, height: 800 }
/** The package unpacks for a cloud function, there with the libraries that such a machine lacks. */
const UNPACK = `import chromium from '@sparticuz/chromium'; await chromium.executablePath()`
const AS_CLOUD_FUNCTION = { AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' }

const run = promisify(execFile)

/** @throws Error that says what to install when the machine lacks libraries that the browser needs */
export async function openBrowser(): Promise<Browser> {
  const own = process.env.CHROME
  const folder = await prepare(own === undefined ? [DRIVER, CHROMIUM] : [DRIVER])
  const chromium = join(folder, 'chromium')
  const { default: puppeteer } = (await import(
    pathToFileURL(createRequire(join(folder, 'package.json')).resolve('puppeteer-core')).href
  )) as { default: Launcher }
  const executablePath = own ?? join(chromium, 'chromium')
  return puppeteer.launch({
    executablePath,
    headless: 'shell',
    // containers run as root and forbid the sandbox; pages come from servers started here
    args: ['--no-sandbox', '--hide-scrollbars', '--font-render-hinting=none', '--disable-dev-shm-usage'],
    env: own === undefined ? environmentOf(executablePath, chromium) : process.env,
    defaultViewport: SIZE,
  })
}

/** @returns a folder whose `node_modules` holds the packages */
async function prepare(packages: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(packages.join('\n')).digest('hex').slice(0, 12)
  const folder = join(REPOSITORY, '.cache', 'browser', hash)
  if (existsSync(folder)) return folder
  // made beside its place and moved there when it is whole: an interrupted one is never taken for ready
  const unfinished = join(dirname(folder), `.${hash}-${process.pid}`)
  mkdirSync(join(unfinished, 'chromium'), { recursive: true })
  try {
    process.stderr.write(`browser: installing ${packages.join(' and ')} into ${folder}\n`)
    writeFileSync(join(unfinished, 'package.json'), '{ "private": true }\n')
    const options = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', unfinished]
    await run('npm', ['install', ...options, ...packages])
    if (packages.includes(CHROMIUM)) {
      const chromium = join(unfinished, 'chromium')
      await run(process.execPath, ['--input-type=module', '-e', UNPACK], {
        cwd: unfinished,
        env: { ...process.env, ...AS_CLOUD_FUNCTION, TMPDIR: chromium },
      })
      writeFileSync(join(chromium, 'fonts.conf'), fontConfiguration(join(folder, 'chromium', 'fonts')))
    }
    if (!existsSync(folder)) renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
  return folder
}

/** Its own libraries only where the machine lacks some; fonts of its own for a machine that has none. */
function environmentOf(executable: string, chromium: string): NodeJS.ProcessEnv {
  const fonts = { FONTCONFIG_FILE: join(chromium, 'fonts.conf') }
  const plain = { ...process.env, ...fonts }
  if (missingLibraries(executable, plain).length === 0) return plain
  const libraries = [join(chromium, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  const extended = { ...plain, LD_LIBRARY_PATH: libraries }
  const missing = missingLibraries(executable, extended)
  if (missing.length === 0) return extended
  throw new Error(
    `Chromium lacks ${missing.join(', ')}. On Debian or Ubuntu: apt-get install libnss3 libnspr4 libexpat1 libdbus-1-3; ` +
      'or name a browser: CHROME=/path/to/chrome',
  )
}

function missingLibraries(executable: string, env: NodeJS.ProcessEnv): string[] {
  if (process.platform !== 'linux') return []
  const found = execFileSync('ldd', [executable], { env, encoding: 'utf8' })
  return [...found.matchAll(/^\s*(\S+) => not found$/gm)].map(([, library]) => library!)
}

function fontConfiguration(folder: string): string {
  return [
    '<?xml version="1.0"?>',
    '<!DOCTYPE fontconfig SYSTEM "fonts.dtd">',
    '<fontconfig>',
    `  <dir>${folder}</dir>`,
    `  <cachedir>${folder}/.cache</cachedir>`,
    '  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>',
    '</fontconfig>',
    '',
  ].join('\n')
}
