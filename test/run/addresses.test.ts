/** The line that says where to look at a run. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Addresses } from '../../src/run/addresses.ts'
import { WandbStandIn } from '../sinks/wandb/stand-in/stand-in.ts'
import { runProgram, type Tracelet, temporaryFolder } from './program.ts'

const LINE = 'tracelet: run r1: wandb: '
/** Of the machine's own settings nothing counts. */
const ENVIRONMENT = {
  ...{
    WANDB_API_KEY: 'f'.repeat(40),
    WANDB_MODE: '',
    WANDB_RUN_ID: '',
    WANDB_ENTITY: 'ann',
    WANDB_SILENT: '',
  },
  ...{ WANDB_PROJECT: 'p q', WANDB_RESUME: '', WANDB_APP_URL: '' },
}

async function logged(
  context: TestContext,
  main: (tracelet: Tracelet) => unknown,
  environment: NodeJS.ProcessEnv = {},
) {
  const server = await WandbStandIn.start()
  context.after(() => server.stop())
  const folder = temporaryFolder(context)
  const all = { ...ENVIRONMENT, WANDB_BASE_URL: server.url, TRACELET_BACKEND: 'local,wandb', ...environment }
  const ended = await runProgram(folder, main, [], all)
  assert.equal(ended.code, 0, ended.stderr)
  return { ...ended, server }
}

test('a run says once where to look at it, before it ends and no second time', async (context) => {
  const { stderr, stdout, server } = await logged(context, async ({ startLogging }) => {
    const run = startLogging({ runId: 'r1' })
    run.log({ loss: 1 })
    while (run.stats().destinations.wandb!.url === '') await new Promise((resolve) => setTimeout(resolve, 10))
    process.stderr.write('known\n')
    const { url } = (await run.finish()).destinations.wandb!
    process.stdout.write(url)
  })
  assert.equal(stdout, `${server.url}/ann/p%20q/runs/r1`)
  assert.equal(stderr, `${LINE}${stdout}\nknown\n`)
})

test('quiet, onIssue and a backend that is disabled have no such line', async (context) => {
  const usual = async ({ startLogging }: Tracelet) => void (await startLogging({ runId: 'r1' }).finish())
  const silent = await logged(context, usual, { WANDB_SILENT: 'true' })
  assert.equal(silent.stderr, '')
  assert.equal(silent.server.runs.size, 1)
  const unclear = await logged(context, usual, { WANDB_SILENT: 'very' })
  assert.match(unclear.stderr, /^tracelet: run r1: wandb: http/)
  const heard = await logged(context, async ({ startLogging }) => {
    await startLogging({ runId: 'r1', onIssue: () => {} }).finish()
  })
  assert.equal(heard.stderr, '')
  const disabled = await logged(context, usual, { WANDB_MODE: 'disabled' })
  assert.doesNotMatch(disabled.stderr, /wandb: http/)
  assert.equal(disabled.server.requests.length, 0)
})

test('folders are no addresses; what was told long ago is told again at the end', () => {
  const said: string[] = []
  let now = 0
  const addresses = new Addresses(
    (line) => said.push(line),
    () => now,
  )
  addresses.hear('a', 'tensorboard', '/runs/a')
  addresses.hear('a', 'mlflow', 'http://ml/a')
  addresses.hear('a', 'mlflow', 'http://ml/a')
  addresses.hear('b', 'mlflow', 'http://ml/b')
  now = 59_000
  addresses.leave('b')
  now = 61_000
  addresses.leave('a')
  addresses.leave('a')
  assert.deepEqual(said, [
    'run a: mlflow: http://ml/a',
    'run b: mlflow: http://ml/b',
    'run a: mlflow: http://ml/a',
  ])
})

test('of a thousand runs at once a few tell theirs', () => {
  const said: string[] = []
  const addresses = new Addresses((line) => said.push(line))
  for (let run = 0; run < 1000; run++) addresses.hear(`r${run}`, 'wandb', `http://wb/r${run}`)
  assert.equal(said.length, 11)
  assert.match(said.at(-1)!, /further runs/)
  for (let run = 0; run < 1000; run++) addresses.leave(`r${run}`)
  addresses.hear('later', 'wandb', 'http://wb/later')
  assert.equal(said.at(-1), 'run later: wandb: http://wb/later')
})
