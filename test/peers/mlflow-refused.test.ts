/**
 * A real MLflow server that wants passwords: one is changed, or the run is deleted, in the midst of a run, and that
 * is taken back. The sums stay exact, nothing is thrown away, and the next sync sends the rest.
 *
 * Long: this server hashes a password for every request, so that each takes it half a second.
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stats } from '../../src/index.ts'
import { DEAD_LETTERS_FILE } from '../../src/pipeline/store/dead-letters.ts'
import { traceletWith } from '../cli/run-cli.ts'
import { type Orders, statsPath } from '../faults/orders.ts'
import { plan } from '../faults/plan.ts'
import { sync } from '../faults/round.ts'
import { isLong } from '../faults/seed.ts'
import { checkLaw, checkPoints, checkProcess, checkSums, readJournal } from '../faults/verdict.ts'
import { runAndKill } from '../faults/victim.ts'
import { Random } from '../random.ts'
import { type MlflowServer, startMlflowServer } from './mlflow-server.ts'
import { peerPython } from './python.ts'
import { pointsOf, readRuns } from './read-mlflow.ts'

const EXPERIMENT = 'default'
const ADMIN = { username: 'admin', password: 'the-password-of-the-admin' }
const TRAINER = { username: 'trainer', password: 'the-password-of-the-trainer' }
const SKIPPED = 'takes a minute: TRACELET_TEST_LONG=1'
const UNTIL_MS = 30_000
/** The trainer has long ended by then. */
const NEVER_KILLED_MS = 100_000

class Api {
  readonly #uri: string
  constructor(uri: string) {
    this.#uri = uri
  }

  async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const { username, password } = ADMIN
    const answer = await fetch(`${this.#uri}/api/2.0/mlflow/${path}`, {
      method,
      headers: {
        authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
        'content-type': 'application/json',
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${text}`)
    return JSON.parse(text)
  }

  password(password: string): Promise<unknown> {
    return this.call('PATCH', 'users/update-password', { username: TRAINER.username, password })
  }

  /** The id that MLflow gave a run, as soon as it has metrics of it. */
  async running(runId: string): Promise<string> {
    const giveUpAt = performance.now() + UNTIL_MS
    for (;;) {
      const found = await this.#find(runId)
      if (found?.data.metrics !== undefined) return found.info.run_id
      assert.ok(performance.now() < giveUpAt, 'MLflow gets nothing')
      // each request costs the server a hash of a password
      await sleep(1_000)
    }
  }

  async #find(runId: string): Promise<FoundRun | undefined> {
    const named = `experiments/get-by-name?experiment_name=${EXPERIMENT}`
    const experiment = await this.call('GET', named).catch(() => undefined)
    if (experiment === undefined) return undefined
    const { experiment_id } = experiment.experiment as { experiment_id: string }
    const filter = `tags.\`tracelet.run_id\` = '${runId}'`
    const { runs } = await this.call('POST', 'runs/search', { experiment_ids: [experiment_id], filter })
    return (runs as FoundRun[] | undefined)?.[0]
  }
}
interface FoundRun {
  readonly info: { readonly run_id: string }
  readonly data: { readonly metrics?: unknown[] }
}

interface Refusal {
  readonly what: string
  readonly code: string
  refuse(api: Api, remoteId: string): Promise<unknown>
  allow(api: Api, remoteId: string): Promise<unknown>
}
const REFUSALS: readonly Refusal[] = [
  {
    what: 'the password is changed',
    code: 'ERR_AUTH',
    refuse: (api) => api.password('another-password-altogether'),
    allow: (api) => api.password(TRAINER.password),
  },
  {
    what: 'the run is deleted',
    code: 'ERR_REMOTE_RUN_GONE',
    refuse: (api, run_id) => api.call('POST', 'runs/delete', { run_id }),
    allow: (api, run_id) => api.call('POST', 'runs/restore', { run_id }),
  },
]

describe('a real MLflow server that refuses a run for a while', { skip: !isLong && SKIPPED }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'tracelet-refused-'))
  let server: MlflowServer | undefined
  after(async () => {
    await server?.stop()
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 })
  })

  async function prepare(context: TestContext) {
    const python = await peerPython(context)
    if (python === undefined) return undefined
    if (server === undefined) {
      const env = { MLFLOW_AUTH_ADMIN_PASSWORD: ADMIN.password, MLFLOW_FLASK_SERVER_SECRET_KEY: 'key' }
      server = await startMlflowServer(python, { args: ['--app-name', 'basic-auth'], env })
      await new Api(server.uri).call('POST', 'users/create', TRAINER)
    }
    return { python, uri: server.uri, api: new Api(server.uri) }
  }

  for (const [number, { what, code, refuse, allow }] of REFUSALS.entries()) {
    it(`${what} in the midst of a run, and that is taken back`, async (context) => {
      const peers = await prepare(context)
      if (peers === undefined) return
      const { python, uri, api } = peers
      const runId = `refused-${number}`
      const folder = join(dir, 'default', runId)
      const environment = {
        MLFLOW_TRACKING_USERNAME: TRAINER.username,
        MLFLOW_TRACKING_PASSWORD: TRAINER.password,
      }
      const backend = { mlflow: { uri, ...TRAINER }, tensorboard: {} }
      const orders: Orders = {
        ...plan(new Random(), { dir, runId, backend, life: 0, isThere: false }).orders,
        ...{ pace: 'bursts', rowsPerMs: 1, pauseMs: 500, turns: true, hasWorker: false },
        ...{ flushEveryMs: 20, recordEveryMs: 0, finishAfterMs: 20_000, finishDeadlineMs: 1_500 },
      }
      const trained = runAndKill('trainer', JSON.stringify(orders), { after: 'logging', ms: NEVER_KILLED_MS })
      const remoteId = await Promise.race([
        api.running(runId),
        trained.then(({ stderr }) => assert.fail(`it ended before it was refused: ${stderr}`)),
      ])
      await refuse(api, remoteId)
      const { stderr } = await trained
      const stats = JSON.parse(readFileSync(statsPath(orders), 'utf8')) as Stats
      checkProcess(stats)
      assert.ok(stats.destinations.mlflow!.pending > 0)
      assert.equal(stats.destinations.tensorboard!.pending, 0)
      assert.equal(stderr.split(`${code}:`).length - 1, 1, stderr)
      assert.ok(!stderr.includes(TRAINER.password))

      const journal = readJournal(folder, [orders])
      const refused = await sync(folder, environment)
      checkSums(refused, journal, folder)
      assert.equal(refused.destinations.mlflow!.complete, false)
      assert.ok(!existsSync(join(folder, DEAD_LETTERS_FILE)), 'nothing is thrown away')

      await allow(api, remoteId)
      const synced = await traceletWith(dir, environment, 'sync', runId)
      assert.equal(synced.code, 0, synced.stdout + synced.stderr)
      checkLaw(await sync(folder, environment), journal, folder)
      const env = {
        MLFLOW_TRACKING_USERNAME: ADMIN.username,
        MLFLOW_TRACKING_PASSWORD: ADMIN.password,
      }
      const query = { experiment: EXPERIMENT, tag: 'tracelet.run_id', values: [runId], env } as const
      const [seen, ...others] = await readRuns(python, uri, query)
      assert.equal(others.length, 0)
      assert.deepEqual([seen!.runId, seen!.status], [remoteId, 'FINISHED'])
      const whole = journal.map((series) => ({ ...series, time: series.time.map(Math.floor) }))
      checkPoints('MLflow', pointsOf(seen!), whole)
    })
  }
})
