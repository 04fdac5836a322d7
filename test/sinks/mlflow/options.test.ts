import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { resolveOptions, withoutSecrets } from '../../../src/core/options.ts'
import { findCredentials } from '../../../src/sinks/mlflow/credentials.ts'
import { accountOf, addressOf, MLFLOW_OPTIONS, prepareOptions } from '../../../src/sinks/mlflow/options.ts'
import { runInfo } from './points.ts'

const options = (
  given: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string>> = {},
) => prepareOptions(resolveOptions(MLFLOW_OPTIONS, given, environment, 'test'))

describe('the options of MLflow', () => {
  it("come from MLflow's own environment variables", () => {
    const { uri, username, password, insecureTls } = options(
      {},
      {
        MLFLOW_TRACKING_URI: 'https://ml.example.org/team/',
        MLFLOW_TRACKING_USERNAME: 'ann',
        MLFLOW_TRACKING_PASSWORD: 'secret',
        MLFLOW_TRACKING_INSECURE_TLS: 'true',
      },
    )
    assert.deepEqual(
      [uri, username, password, insecureTls],
      ['https://ml.example.org/team', 'ann', 'secret', true],
    )
  })

  it('refuse an address that is not a server, and say what to do', () => {
    for (const uri of ['sqlite:///mlflow.db', 'file:///tmp/mlruns', './mlruns', 'databricks', '']) {
      assert.throws(() => options({ uri }), { code: 'ERR_OPTION', message: /start 'mlflow server'/ })
    }
    assert.throws(
      () => options({ uri: 'http://ann:secret@[' }),
      (error: Error) => !error.message.includes('secret'),
    )
  })

  it('take credentials out of the address, so that nothing written down holds them', () => {
    const prepared = options({ uri: 'http://ann:s%2Fecret@ml:5000/' })
    assert.deepEqual([prepared.username, prepared.password], ['ann', 's/ecret'])
    const run = runInfo()
    const written = JSON.stringify([
      withoutSecrets(MLFLOW_OPTIONS, prepared),
      addressOf(prepared, run),
      accountOf(prepared),
      addressOf({ ...prepared, uri: 'http://ann:s%2Fecret@ml:5000/' }, run),
    ])
    assert.doesNotMatch(written, /ann|ecret/)
    assert.equal(addressOf(prepared, run), "http://ml:5000 experiment 'resnet'")
  })

  it('tell users of one server apart, and workspaces and experiments too', () => {
    const account = (username: string) => accountOf(options({ uri: 'http://ml', username, password: 'x' }))
    assert.notEqual(account('ann'), account('bob'))
    const run = runInfo()
    const addresses = [{}, { experiment: 'other' }, { workspace: 'w' }].map((given) =>
      addressOf(options(given), run),
    )
    assert.equal(new Set(addresses).size, 3)
  })

  it("read MLflow's credentials file where neither option nor environment names a user", () => {
    const home = mkdtempSync(join(tmpdir(), 'tracelet-home-'))
    try {
      assert.deepEqual(findCredentials(options({}), home), { headers: {}, secrets: [] })
      mkdirSync(join(home, '.mlflow'))
      writeFileSync(
        join(home, '.mlflow', 'credentials'),
        '; mine\n[other]\nmlflow_tracking_username = eve\n[mlflow]\nmlflow_tracking_username = ann\nMLFLOW_TRACKING_PASSWORD=a=b c\n',
      )
      const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
      assert.equal(findCredentials(options({}), home).headers.authorization, basic('ann:a=b c'))
      const given = options({ username: 'bob', password: 'x' })
      assert.equal(findCredentials(given, home).headers.authorization, basic('bob:x'))
    } finally {
      rmSync(home, { recursive: true })
    }
  })

  it('prefer a user over a token', () => {
    const home = '/nowhere'
    const both = options({ username: 'ann', password: 'x', token: 'tok' })
    assert.match(findCredentials(both, home).headers.authorization ?? '', /^Basic /)
    assert.deepEqual(findCredentials(options({ token: 'tok' }), home), {
      headers: { authorization: 'Bearer tok' },
      secrets: ['tok'],
    })
  })
})
