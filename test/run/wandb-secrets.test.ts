/**
 * The API key of W&B stands in no file, no word, no error and no command line, wherever it came from and whatever the
 * server says with it; and it does arrive where it belongs.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type CliResult, traceletWith } from '../cli/run-cli.ts'
import type { Fault } from '../sinks/wandb/stand-in/faults.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { runProgram, type Tracelet, temporaryFolder } from './program.ts'

/** With characters that look another way in an address. */
const KEY = 'k3y/9f+8e7d6c5b4a39281706f5e4d3c2b1a0f9e8d7'
const BASIC = Buffer.from(`api:${KEY}`).toString('base64')
const SPELLINGS = [
  ...[KEY, encodeURIComponent(KEY), BASIC, BASIC.replace(/=+$/, ''), encodeURIComponent(BASIC)],
  ...[
    Buffer.from(KEY).toString('base64'),
    Buffer.from(KEY).toString('base64url'),
    Buffer.from(KEY).toString('hex'),
  ],
]
const ECHO = JSON.stringify({
  error: `denied: key ${KEY}, as ${encodeURIComponent(KEY)}`,
  errors: [{ message: `denied: Basic ${BASIC} ${encodeURIComponent(BASIC)}` }],
})
const NOTHING_ELSE = {
  ...{
    WANDB_API_KEY: '',
    WANDB_MODE: '',
    WANDB_RUN_ID: '',
    WANDB_ENTITY: '',
    WANDB_PROJECT: '',
    WANDB_RESUME: '',
  },
  ...{ WANDB_CONFIG_DIR: '', WANDB_DIR: '', WANDB_SILENT: '', WANDB_APP_URL: '', NETRC: '' },
}

const answer = (status: number, headers: Record<string, string> = {}): Fault => ({
  ...{ kind: 'answer', status, headers, body: ECHO },
})

/** What a program of a user's does; its key comes from where `way` says. Its words and /proc go to stdout. */
async function train({ startLogging }: Tracelet, { args }: { readonly args: readonly string[] }) {
  const [runId, way, trouble] = args as [string, string, string]
  const isTroubled = trouble === 'troubled'
  const { readdirSync, readFileSync } = await import('node:fs')
  const heard: string[] = []
  const run = startLogging({
    runId,
    backend: {
      local: {},
      wandb: { intervalMs: 0, ...(way === 'option' && { apiKey: process.env.KEY_OF_THE_PROGRAM! }) },
    },
    ...(runId.endsWith('heard') && { onIssue: (issue) => heard.push(JSON.stringify(issue)) }),
  })
  run.logParams({ lr: 0.1 })
  for (let step = 0; step < 50; step++) run.log({ loss: 1 / (step + 1) }, { step })
  run.logConsole('trained')
  run.logImage('i', { data: new Uint8Array(4), shape: [2, 2] })
  // trouble that stays is waited for, so that a busy machine is not too late to meet it
  while (isTroubled && run.stats().destinations.wandb!.reason === '')
    await new Promise((resolve) => setTimeout(resolve, 20))
  const stats = await run.finish('finished', { deadlineMs: isTroubled ? 500 : 60_000 })
  const lines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
  process.stdout.write([...heard, JSON.stringify(stats), ...lines, String(run.info)].join('\n'))
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(path).isFile() && !path.endsWith('.netrc'))
}

function rowsOf(server: WandbStandIn, run: string): number {
  return (
    server.runs
      .get(`ann/default/${run}`)
      ?.rows()
      .filter((row) => 'loss' in row).length ?? 0
  )
}

/** Every place that holds the key in any spelling. */
function leaks(places: Readonly<Record<string, string | Buffer>>): string[] {
  return Object.entries(places).flatMap(([place, content]) =>
    SPELLINGS.filter((spelling) => content.includes(spelling)).map((spelling) => `${place}: ${spelling}`),
  )
}

async function keptSecret(context: TestContext, way: 'environment' | 'option' | 'netrc'): Promise<void> {
  const server = await WandbStandIn.start({ apiKey: KEY, defaultEntity: 'ann' })
  context.after(() => server.stop())
  const folder = temporaryFolder(context)
  const home = join(folder, 'home')
  mkdirSync(home)
  const { host } = new URL(server.url)
  if (way === 'netrc')
    writeFileSync(join(home, '.netrc'), `machine ${host}\n  login user\n  password ${KEY}\n`)
  const plain = { ...NOTHING_ELSE, HOME: home, WANDB_BASE_URL: server.url }
  const environment = {
    ...plain,
    ...(way === 'environment' && { WANDB_API_KEY: KEY }),
    ...(way === 'option' && { KEY_OF_THE_PROGRAM: KEY }),
  }
  const said: Record<string, string> = {}
  const note = (what: string, { stdout, stderr }: { stdout: string; stderr: string }) => {
    said[`${what} stdout`] = stdout
    said[`${what} stderr`] = stderr
  }
  const program = async (runId: string, trouble: 'troubled' | 'well') => {
    const ended = await runProgram(folder, train, [runId, way, trouble], environment)
    assert.equal(ended.code, 0, `${ended.signal} ${ended.stderr.replaceAll(KEY, '(the key)')}`)
    note(runId, ended)
    return ended
  }
  // where the program itself gave the key, other commands need one of their own
  const own = way === 'option' ? { ...plain, WANDB_API_KEY: KEY } : environment
  const command = async (...args: string[]): Promise<CliResult> => {
    const result = await traceletWith(folder, own, ...args)
    note(args.join(' '), result)
    return result
  }

  // troubles that pass
  server.failNext(answer(500), ({ kind }) => kind === 'graphql')
  server.failNext(answer(503, { 'retry-after': '0' }))
  server.failNext(
    { kind: 'graphqlError', message: ECHO },
    ({ operation }) => operation === 'ServerFeaturesQuery',
  )
  await program('passing', 'well')
  assert.equal(rowsOf(server, 'passing'), 50)

  // troubles that stay, told on stderr and by onIssue
  const always = (fault: Fault) =>
    server.planFaults({ seed: 1, share: 1, faults: [fault], matches: () => true })
  const redirect = answer(302, { location: `${server.url}/login?key=${encodeURIComponent(KEY)}&b=${BASIC}` })
  for (const [name, fault] of Object.entries({
    refused: answer(401),
    redirected: redirect,
    forbidden: answer(403),
  })) {
    always(fault)
    const [told, heard] = await Promise.all([program(name, 'troubled'), program(`${name}-heard`, 'troubled')])
    assert.match(told.stderr, /ERR_(?:AUTH|SERVER)/, name)
    assert.match(heard.stdout, /ERR_(?:AUTH|SERVER)/, name)
  }
  always(answer(401))
  assert.equal((await command('sync', 'refused', '--deadline', '3')).code, 1)
  assert.match((await command('doctor', '--backend', 'wandb')).stdout, /refused with the key/)
  server.planFaults(undefined)
  await command('doctor', '--backend', 'wandb')
  for (const run of ['refused', 'redirected-heard']) {
    const { code, stderr } = await command('sync', run)
    assert.equal(code, 0, stderr.replaceAll(KEY, '(the key)'))
    assert.equal(rowsOf(server, run), 50)
    await command('show', run, '--json')
  }

  const files = filesBelow(folder)
  assert.ok(files.length > 20, `${files.length} files`)
  const content = Object.fromEntries(files.map((path) => [path, readFileSync(path)]))
  const sent = Object.fromEntries(
    server.requests.map(({ body, path }, index) => [`body ${index} of ${path}`, body]),
  )
  const addresses = Object.fromEntries(server.requests.map(({ path }) => [`address ${path}`, path]))
  assert.deepEqual(leaks({ ...content, ...said, ...sent, ...addresses }), [])

  const sentKey = ({ headers }: { readonly headers: Readonly<Record<string, unknown>> }) =>
    headers.authorization === `Basic ${BASIC}`
  const ours = server.requests.filter(({ kind }) => kind === 'graphql' || kind === 'file_stream')
  assert.ok(ours.length > 10 && ours.every(sentKey), 'the key arrives with every question and every line')
  const uploads = server.requests.filter(({ kind }) => kind === 'upload')
  assert.ok(uploads.length > 0 && uploads.every(({ headers }) => headers.authorization === undefined))
}

for (const way of ['environment', 'option', 'netrc'] as const)
  test(`an API key by ${way} is seen by the server alone`, (context) => keptSecret(context, way))

test('the search finds what it is to find', () => {
  assert.equal(leaks({ file: Buffer.from(`x ${BASIC} y`) }).length >= 1, true)
  assert.equal(leaks({ line: `?key=${encodeURIComponent(KEY)}` }).length, 1)
  assert.deepEqual(leaks({ line: 'k3y' }), [])
})
