import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { resolveOptions } from '../../../src/core/options.ts'
import { findCredentials } from '../../../src/sinks/wandb/credentials.ts'
import { readNetrc } from '../../../src/sinks/wandb/netrc.ts'
import { prepareOptions, WANDB_OPTIONS } from '../../../src/sinks/wandb/options.ts'

const KEY = '0123456789abcdef0123456789abcdef01234567'
const options = (given: Readonly<Record<string, unknown>>) =>
  prepareOptions(resolveOptions(WANDB_OPTIONS, given, {}, 'test'), {})

describe('the credentials for W&B', () => {
  let home: string
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'tracelet-home-'))
  })
  afterEach(() => rmSync(home, { recursive: true }))

  const key = (
    given: Readonly<Record<string, unknown>>,
    environment: Readonly<Record<string, string>> = {},
  ) => {
    const found = findCredentials(options(given), home, environment)
    return 'missing' in found ? undefined : found.key
  }
  const missing = (
    given: Readonly<Record<string, unknown>>,
    environment: Readonly<Record<string, string>> = {},
  ) => {
    const found = findCredentials(options(given), home, environment)
    return 'missing' in found ? found.missing : ''
  }
  const netrc = (text: string, name = '.netrc') => writeFileSync(join(home, name), text)

  it('are the key as the password of the user `api`', () => {
    const found = findCredentials(options({ apiKey: KEY }), home, {})
    assert.ok('headers' in found)
    const basic = Buffer.from(`api:${KEY}`).toString('base64')
    assert.deepEqual(found.headers, { authorization: `Basic ${basic}` })
    assert.deepEqual(found.secrets, [KEY, basic])
  })

  it('stand in the netrc file under the host and port of the server, if no option gives them', () => {
    netrc(
      'machine wb.example\n  login user\n  password one\nmachine wb.example:8080 login user password two\n',
    )
    assert.equal(key({ baseUrl: 'https://wb.example' }), 'one')
    assert.equal(key({ baseUrl: 'http://wb.example:8080/api' }), 'two')
    assert.equal(key({ baseUrl: 'http://other' }), undefined)
    assert.equal(key({ baseUrl: 'https://wb.example', apiKey: KEY }), KEY)
  })

  it("are found under either name of W&B's cloud", () => {
    netrc('machine api.forge.coreweave.com login user password new')
    assert.equal(key({}), 'new')
    netrc('machine api.wandb.ai login user password old')
    assert.equal(key({ baseUrl: 'https://api.forge.coreweave.com' }), 'old')
  })

  it('are looked for where NETRC says, then in ~/.netrc, then in ~/_netrc', () => {
    netrc('default login user password third', '_netrc')
    assert.equal(key({}), 'third')
    netrc('default login user password second')
    assert.equal(key({}), 'second')
    netrc('default login user password first', 'mine')
    assert.equal(key({}, { NETRC: '~/mine' }), 'first')
    assert.equal(key({}, { NETRC: join(home, 'none') }), undefined)
  })

  it('that are missing say what to do', () => {
    const none = missing({})
    assert.match(none, /there is no .*\.netrc/)
    assert.match(none, /Set WANDB_API_KEY, or add 'machine api\.wandb\.ai login user password <key>'/)
    assert.match(none, /https:\/\/wandb\.ai\/authorize/)
    netrc('machine other login user password secret')
    assert.match(missing({}), /has no entry for api\.wandb\.ai/)
    netrc('machine api.wandb.ai login user')
    assert.match(missing({}), /has no password/)
    netrc('machine other login user password secret\nmachina api.wandb.ai password secret')
    assert.match(missing({}), /line 2 of .* is not understood/)
    assert.doesNotMatch(missing({}), /secret/)
    assert.match(missing({}, { WANDB_IDENTITY_TOKEN_FILE: '/token' }), /does not exchange identity tokens/)
  })
})

describe('a netrc file', () => {
  const passwords = (text: string) => {
    const found = readNetrc(text)
    return 'badLine' in found ? found : Object.fromEntries(found)
  }

  it('has entries, comments, quoted texts and macros', () => {
    const text = [
      '# mine',
      '#machine commented login user password no',
      'machine a # here',
      '  login user  # who',
      '  account x',
      '  password #not-a-comment',
      'macdef init',
      'machine inside login user password no',
      '',
      'machine b user u password "with \\"quotes\\" and spaces"',
      'machine c login user password back\\ slash',
      'machine d',
      'default login user password rest',
    ].join('\n')
    assert.deepEqual(passwords(text), {
      a: '#not-a-comment',
      b: 'with "quotes" and spaces',
      c: 'back slash',
      d: '',
      default: 'rest',
    })
  })

  it('holds the last of two entries for a host, whatever the line breaks', () => {
    assert.deepEqual(passwords('machine a password one\r\nmachine a\tpassword two\r\n'), { a: 'two' })
    assert.deepEqual(passwords(''), {})
    assert.deepEqual(passwords('machine a password'), { a: '' })
  })

  it('that is something else is not guessed at', () => {
    assert.deepEqual(passwords('\n\nhello'), { badLine: 3 })
    assert.deepEqual(passwords('machine a secret x'), { badLine: 1 })
    assert.deepEqual(passwords('machine'), { badLine: 1 })
  })
})
