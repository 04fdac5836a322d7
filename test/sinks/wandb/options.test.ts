import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { resolveOptions, withoutSecrets } from '../../../src/core/options.ts'
import type { RunInfo } from '../../../src/core/types.ts'
import { appUrlOf, runUrlOf } from '../../../src/sinks/wandb/hosts.ts'
import {
  accountOf,
  addressOf,
  givenName,
  givenRunId,
  groupOf,
  prepareOptions,
  projectOf,
  WANDB_OPTIONS,
} from '../../../src/sinks/wandb/options.ts'
import { readSettings, type Settings } from '../../../src/sinks/wandb/settings-file.ts'

const KEY = '0123456789abcdef0123456789abcdef01234567'

const options = (
  given: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string>> = {},
  settings: Settings = {},
) => prepareOptions(resolveOptions(WANDB_OPTIONS, given, environment, 'test'), settings)

function runInfo(more: Partial<RunInfo> = {}): RunInfo {
  return {
    id: 'run-1',
    name: 'run 1',
    project: 'default',
    experiment: 'default',
    createdAt: 1795420526750,
    nonce: 'nonce',
    folder: '/nowhere',
    ...more,
  }
}

describe('the options of W&B', () => {
  it("come from the SDK's own environment variables", () => {
    const found = options(
      {},
      {
        WANDB_BASE_URL: 'https://wb.example.org/team/',
        WANDB_API_KEY: `${KEY}\n`,
        WANDB_ENTITY: 'lab',
        WANDB_PROJECT: 'vision',
        WANDB_RUN_ID: 'abc',
        WANDB_RESUME: 'allow',
        WANDB_JOB_TYPE: 'train',
        WANDB_MODE: 'offline',
        WANDB_INSECURE_DISABLE_SSL: 'true',
      },
    )
    assert.deepEqual(
      [found.baseUrl, found.apiKey, found.entity, projectOf(found, runInfo()), found.runId, found.resume],
      ['https://wb.example.org/team', KEY, 'lab', 'vision', 'abc', 'allow'],
    )
    assert.deepEqual([found.jobType, found.mode, found.insecureTls], ['train', 'offline', true])
  })

  it("know the SDK's older words", () => {
    const modes = ['run', 'dryrun', 'online', 'offline', 'disabled'].map((mode) => options({ mode }).mode)
    assert.deepEqual(modes, ['online', 'offline', 'online', 'offline', 'disabled'])
    assert.equal(options({}, { WANDB_RESUME: 'auto' }).resume, 'allow')
    assert.equal(options({}).resume, 'never')
    assert.throws(() => options({ mode: 'shared' }), { code: 'ERR_OPTION', message: /one of online/ })
  })

  it('once resolved are not changed by another environment', () => {
    const elsewhere = { WANDB_ENTITY: 'eve', WANDB_PROJECT: 'p', WANDB_RUN_ID: 'x', WANDB_MODE: 'disabled' }
    const settings = { base_url: 'https://other.example', entity: 'eve', project: 'p', mode: 'disabled' }
    for (const given of [{}, { entity: 'lab', mode: 'dryrun', resume: 'auto' }]) {
      const first = options(given)
      const written = withoutSecrets(WANDB_OPTIONS, first)
      assert.deepEqual(withoutSecrets(WANDB_OPTIONS, options(written, elsewhere, settings)), written)
      assert.equal(addressOf(options(written, elsewhere, settings), runInfo()), addressOf(first, runInfo()))
    }
  })

  it('take the place of what the settings files say, and stand over it', () => {
    const settings = {
      base_url: 'https://wb.example.org',
      entity: 'lab',
      project: 'vision',
      mode: 'offline',
    }
    const found = options({}, {}, settings)
    assert.deepEqual(
      [found.baseUrl, found.entity, found.defaultProject, found.mode],
      ['https://wb.example.org', 'lab', 'vision', 'offline'],
    )
    const given = options(
      { entity: 'me', mode: 'online' },
      { WANDB_BASE_URL: 'http://127.0.0.1:1' },
      settings,
    )
    assert.deepEqual([given.baseUrl, given.entity, given.mode], ['http://127.0.0.1:1', 'me', 'online'])
    assert.equal(options({}).baseUrl, 'https://api.wandb.ai')
  })

  it('refuse addresses that are not that of an API, and say what is', () => {
    const refused = {
      'ftp://wb': /'ftp:' address/,
      wb: /not an http/,
      'https://wandb.ai': /programs write to https:\/\/api\.wandb\.ai/,
      'http://api.wandb.ai': /readable on its way/,
      'https://forge.coreweave.com': /programs write to https:\/\/api\.forge\.coreweave\.com/,
    }
    for (const [baseUrl, message] of Object.entries(refused))
      assert.throws(() => options({ baseUrl }), { code: 'ERR_OPTION', message }, baseUrl)
    assert.throws(
      () => options({ baseUrl: `http://api:${KEY}@[` }),
      (error: Error) => !error.message.includes(KEY),
    )
    assert.equal(
      options({ baseUrl: 'https://wandb.ai.example.org/' }).baseUrl,
      'https://wandb.ai.example.org',
    )
  })

  it('take a key out of the address, so that nothing written down holds it', () => {
    const baseUrl = `http://api:${KEY}@wb:8080/`
    const prepared = options({ baseUrl })
    assert.equal(prepared.apiKey, KEY)
    assert.equal(options({ baseUrl: `http://${KEY}@wb:8080/` }).apiKey, KEY)
    const written = JSON.stringify([
      withoutSecrets(WANDB_OPTIONS, prepared),
      addressOf(prepared, runInfo()),
      accountOf(prepared),
      addressOf({ ...prepared, baseUrl }, runInfo()),
    ])
    assert.doesNotMatch(written, new RegExp(KEY))
    assert.equal(addressOf(prepared, runInfo()), "http://wb:8080 project 'default'")
  })

  it('refuse names that W&B does not take, before anything is sent', () => {
    const long = 'x'.repeat(129)
    for (const given of [
      { project: 'a/b' },
      { project: 'a:b' },
      { entity: 'a#b' },
      { defaultProject: '50%' },
      { project: long },
      { entity: long },
      { runId: ' a' },
      { runId: 'a/b' },
      { runId: "it's" },
      { runId: long },
    ]) {
      assert.throws(() => options(given), { code: 'ERR_OPTION', message: /W&B/ }, JSON.stringify(given))
    }
    assert.throws(() => options({ project: 'lab/vision' }), { message: /entity and project are two options/ })
  })

  it("stand over the run's own project, which stands over WANDB_PROJECT", () => {
    const run = runInfo({ project: 'vision' })
    const environment = { WANDB_PROJECT: 'scratch' }
    assert.equal(projectOf(options({}, environment), run), 'vision')
    assert.equal(projectOf(options({}, environment), runInfo()), 'scratch')
    assert.equal(projectOf(options({ project: 'mine' }, environment), run), 'mine')
    assert.equal(projectOf(options({}), runInfo()), 'default')
    const odd = projectOf(options({}), runInfo({ project: `a/b:${'c'.repeat(200)}` }))
    assert.match(odd, /^a-b-c{124}$/)
  })

  it('show an experiment as the group where there is none', () => {
    const run = runInfo({ experiment: 'lr sweep' })
    assert.equal(groupOf(options({}), run), 'lr sweep')
    assert.equal(groupOf(options({}), { ...run, group: 'night' }), 'night')
    assert.equal(groupOf(options({ group: 'mine' }), { ...run, group: 'night' }), 'mine')
    assert.equal(groupOf(options({}), runInfo()), undefined)
  })

  it('name the run there, but not the runs nested in it', () => {
    const given = options({}, { WANDB_RUN_ID: 'abc' })
    assert.equal(givenRunId(given, runInfo()), 'abc')
    assert.equal(givenRunId(given, runInfo({ parent: 'run-0' })), undefined)
    assert.equal(givenRunId(options({}), runInfo()), undefined)
  })

  it('name the run and its tags as the SDK does, and the program stands over that', () => {
    const given = options({}, { WANDB_NAME: 'job 7', WANDB_NOTES: 'why', WANDB_TAGS: 'gpu, v2' })
    assert.deepEqual([given.displayName, given.notes, given.tags], ['job 7', 'why', ['gpu', 'v2']])
    const unnamed = runInfo({ name: 'run-1' })
    assert.equal(givenName(given, unnamed), 'job 7')
    assert.equal(givenName(given, runInfo({ name: 'mine' })), 'mine')
    assert.equal(givenName(given, { ...unnamed, parent: 'run-0' }), undefined)
    assert.equal(givenName(options({}), unnamed), undefined)
    assert.throws(() => options({ tags: ['x'.repeat(65)] }), { code: 'ERR_OPTION', message: /64 characters/ })
  })

  it('tell users and places apart', () => {
    const account = (apiKey: string) => accountOf(options({ apiKey }))
    assert.notEqual(account(KEY), account(`${KEY}x`))
    const places = [{}, { entity: 'a' }, { project: 'p' }, { runId: 'r' }, { baseUrl: 'http://wb' }]
    assert.equal(new Set(places.map((given) => addressOf(options(given), runInfo()))).size, places.length)
  })

  it('know the page of a run', () => {
    const page = (baseUrl: string) => appUrlOf({ baseUrl })
    assert.equal(page('https://api.wandb.ai'), 'https://wandb.ai')
    assert.equal(page('https://api.forge.coreweave.com'), 'https://forge.coreweave.com/wandb')
    assert.equal(page('https://api.corp.example'), 'https://app.corp.example')
    assert.equal(page('http://127.0.0.1:8080'), 'http://127.0.0.1:8080')
    const remote = { entity: 'lab', project: 'my vision', run: 'r1' }
    assert.equal(
      runUrlOf({ baseUrl: 'http://wb', appUrl: 'https://ui.example/' }, remote),
      'https://ui.example/lab/my%20vision/runs/r1',
    )
  })

  it('are read from the settings files as the SDK writes them', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tracelet-settings-'))
    try {
      assert.deepEqual(readSettings({}, folder, folder), {})
      const write = (path: string, text: string) => {
        mkdirSync(join(folder, path))
        writeFileSync(join(folder, path, 'settings'), text)
      }
      mkdirSync(join(folder, '.config'))
      write(
        '.config/wandb',
        '[default]\nbase_url = https://wb.example\nentity = lab\nproject =\n[other]\nmode = offline\n',
      )
      write('wandb', '[default]\n; mine\nproject = vision\n')
      const found = readSettings({}, folder, folder)
      assert.deepEqual(
        [found.base_url, found.entity, found.project, found.mode],
        ['https://wb.example', 'lab', 'vision', undefined],
      )
      assert.equal(
        readSettings({ WANDB_CONFIG_DIR: join(folder, 'no') }, folder, '/nowhere').entity,
        undefined,
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
