import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSecretName, redact, redactText } from '../../src/core/redact.ts'

/** Of the length and alphabet of real ones, put together so that no scanner takes this file for a leak. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  'private-key': [
    `${'-----BEGIN'} RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nx9f+/==\n-----END RSA PRIVATE KEY-----`,
    `${'-----BEGIN'} OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----`,
  ],
  'aws-key': [`AKIA${'IOSFODNN7EXAMPLE'}`, `ASIA${'Q3EGRIHWB5JX2YTM'}`],
  'github-token': [
    `ghp_${'aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5'}`,
    `github_pat_${'11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789AbCdEfGhIjKlMnOp'}`,
  ],
  'gitlab-token': [`glpat-${'xY7_kQ2mN9pR4sT6vW8z'}`],
  'hf-token': [`hf_${'AbCdEfGhIjKlMnOpQrStUvWxYz01234567'}`],
  'openai-key': [
    `sk-${'T3BlbkFJabcdEFGH1234ijklMNOP5678qrstUVWX9012yzAB'}`,
    `sk-proj-${'a1B2c3D4e5F6g7H8i9J0-k1L2m3N4o5P6q7R8s9T0_u1V2w3X4'}`,
    `sk-ant-api03-${'Zx9Yw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe-AbCdEfGh'}`,
    `sk-${'0123456789abcdef0123456789abcdef'}`,
  ],
  'google-key': [`AIza${'SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q'}`],
  'wandb-key': [`wandb_v1_${'aBcDeFgHiJkLmNoPqRsTuVwX_0123456789'}`],
  'slack-token': [`xoxb-${'1234567890-abcdefGHIJ'}`],
  jwt: [
    `eyJ${'hbGciOiJIUzI1NiJ9'}.eyJ${'zdWIiOiIxMjM0NTY3ODkwIn0'}.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U`,
  ],
}

for (const [rule, keys] of Object.entries(KEYS)) {
  test(`a ${rule} is hidden wherever it stands in a text, and the rest is kept`, () => {
    for (const key of keys) {
      assert.equal(redactText(key), `[REDACTED:${rule}]`)
      assert.equal(
        redactText(`run with "${key}", then ${key} again`),
        `run with "[REDACTED:${rule}]", then [REDACTED:${rule}] again`,
      )
      assert.ok(!redactText(`x=${key}&y`).includes(key))
    }
  })
}

test('a private key that was cut off is hidden to the end of the text', () => {
  assert.equal(redactText(`a ${'-----BEGIN'} PRIVATE KEY-----\nMIIE\nmore`), 'a [REDACTED:private-key]')
})

test('passwords in addresses are hidden, host and path are kept', () => {
  assert.equal(redactText('http://ann:s3cret@host:5000/p'), 'http://[REDACTED:url]@host:5000/p')
  assert.equal(
    redactText('postgresql+psycopg://u:p@ss@db/x, s3://a:b@c'),
    'postgresql+psycopg://[REDACTED:url]@db/x, s3://[REDACTED:url]@c',
  )
  assert.equal(redactText('https://:tok3n@host/'), 'https://[REDACTED:url]@host/')
  for (const harmless of [
    'http://localhost:5000/a@b',
    'ssh://git@github.com/x.git',
    'mail me: ann@host',
    'C:/data@1',
  ])
    assert.equal(redactText(harmless), harmless)
})

test('keys in query parameters, headers and command lines are hidden', () => {
  assert.equal(
    redactText('GET https://h/x?id=7&access_token=abc123&page=2'),
    'GET https://h/x?id=7&access_token=[REDACTED:assignment]&page=2',
  )
  assert.equal(
    redactText('https://b.s3.amazonaws.com/k?X-Amz-Signature=fe5f80&x=1'),
    'https://b.s3.amazonaws.com/k?X-Amz-Signature=[REDACTED:assignment]&x=1',
  )
  assert.equal(
    redactText('train.py --api-key=abc --lr=0.1 --password=x'),
    'train.py --api-key=[REDACTED:assignment] --lr=0.1 --password=[REDACTED:assignment]',
  )
  assert.equal(
    redactText('authorization: Bearer abcdef0123456789=='),
    'authorization: Bearer [REDACTED:bearer]',
  )
})

test('names that mean a secret', () => {
  for (const name of [
    'api_key',
    'apiKey',
    'openai.apikey',
    'OPENAI_API_KEY',
    'WANDB_KEY',
    'aws_secret_access_key',
    'aws.access_key_id',
    'accessKey',
    'clientSecret',
    'client_secret',
    'password',
    'db.passwd',
    'dbPassword',
    'token',
    'HF_TOKEN',
    'hf_token',
    'auth_token',
    'accessToken',
    'token.value',
    'authorization',
    'credentials.user',
    'gcpCredentials',
    'private_key',
    'Cookie',
    'passphrase',
  ])
    assert.ok(isSecretName(name), name)
})

test('names of metrics and hyperparameters that only look like one', () => {
  for (const name of [
    'monkey',
    'tokens_per_second',
    'tokens',
    'num_tokens',
    'author',
    'authors',
    'tokenizer',
    'tokenizer.name',
    'token_dropout',
    'token_embedding/norm',
    'pad_token',
    'model.eos_token',
    'padToken',
    'PAD_TOKEN',
    'decoder_start_token',
    'stop_token',
    'keyboard',
    'key',
    'sort_key',
    'donkey',
    'turkey',
    'secretary',
    'passes',
    'compass',
    'class',
    'accuracy/key_frames',
  ])
    assert.ok(!isSecretName(name), name)
})

test('texts that only look like a key are kept', () => {
  for (const text of [
    'sk-learn-gradient-boosting-classifier',
    'sk-learn-random-forest-2024-run',
    'risk-assessment-model-version-2-final',
    '8f14e45fceea167a5a36dedd4bea2543f14e45fc',
    'hf_hub',
    'AKIA',
    'the bearer of news',
    'bert-base-uncased',
    '<pad>',
    'https://example.org/a?page=2#x',
  ])
    assert.equal(redactText(text), text)
})

test('only text is hidden: numbers, truths and nothing stay under any name', () => {
  for (const value of [512, 0, Number.NaN, true, false, null, undefined])
    assert.equal(redact('api_token', value), value)
  assert.equal(redact('api_token', 'x'), '[REDACTED:name]')
  assert.equal(redact('api_token', ''), '')
  assert.equal(redact('note', 'http://a:b@c'), 'http://[REDACTED:url]@c')
})
