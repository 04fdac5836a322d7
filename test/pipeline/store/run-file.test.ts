import assert from 'node:assert/strict'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import {
  latestDestinations,
  type RunFile,
  readRunFile,
  runInfo,
  withDestinations,
  writeRunFile,
} from '../../../src/pipeline/store/run-file.ts'

const FILE: RunFile = {
  tracelet: '0.1.0',
  run: {
    id: '20261123-101502-x7k2mq',
    name: 'lr=1e-3 "é"',
    project: 'Vision',
    experiment: 'resnet',
    group: 'sweep',
    createdAt: 1_795_000_000_000,
    nonce: 'b1946ac92492d2347c6235b4d2611184',
  },
  openedAt: 1_795_000_000_000,
  state: 'running',
  destinations: [],
}
const MLFLOW = { name: 'mlflow', kind: 'mlflow', options: { uri: 'http://a' }, address: 'http://a 1' }

describe('run.json', () => {
  let folder = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-run-file-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('gives back what was written, readable, for its owner alone, and leaves nothing beside it', () => {
    const file = withDestinations(FILE, [MLFLOW, { ...MLFLOW, name: 'own', module: 'file:///own.js' }], 5)
    writeRunFile(folder, file)
    assert.deepEqual(readRunFile(folder), file)
    assert.deepEqual(readdirSync(folder).sort(), ['run.copy.json', 'run.json'])
    assert.equal(statSync(join(folder, 'run.json')).mode & 0o777, 0o600)
    const text = readFileSync(join(folder, 'run.json'), 'utf8')
    assert.match(text, /^\{\n {2}"format": "tracelet-run",\n {2}"version": 1,\n {2}"crc": "[0-9a-f]{8}",\n/)
    assert.ok(text.endsWith('}\n'))
  })

  it('names no place, so that a copied folder is the run', () => {
    writeRunFile(folder, { ...FILE, run: runInfo(folder, FILE) })
    assert.ok(!readFileSync(join(folder, 'run.json'), 'utf8').includes(folder))
    const copy = join(folder, 'copy')
    cpSync(join(folder, 'run.json'), join(copy, 'run.json'))
    assert.deepEqual(runInfo(copy, readRunFile(copy)), { ...FILE.run, folder: copy })
  })

  it('keeps what a later version of the same format has added', () => {
    writeRunFile(folder, { ...FILE, note: 'kept' } as RunFile)
    writeRunFile(folder, withDestinations(readRunFile(folder), [MLFLOW], 6))
    assert.equal((readRunFile(folder) as RunFile & { note: string }).note, 'kept')
  })

  it('is refused when a newer version wrote it', () => {
    rewrite({ version: 2, run: 'another shape' })
    assert.throws(() => readRunFile(folder), { code: 'ERR_JOURNAL_FORMAT', message: /version 2.*newer/ })
  })

  for (const [what, change, part] of [
    ['no run', { run: undefined }, 'run'],
    ['no nonce', { run: { ...FILE.run, nonce: undefined } }, 'run.nonce'],
    ['a number as id', { run: { ...FILE.run, id: 7 } }, 'run.id'],
    ['destinations that are no list', { destinations: {} }, 'destinations'],
    [
      'a destination without address',
      { destinations: [{ ...MLFLOW, address: undefined }] },
      'destinations[0]',
    ],
    ['no version', { version: undefined }, 'version'],
  ] as const) {
    it(`with ${what} is called damaged, naming the part`, () => {
      rewrite(change)
      assert.throws(
        () => readRunFile(folder),
        (error: Error & { code: string }) =>
          error.code === 'ERR_JOURNAL_FORMAT' && error.message.includes(`damaged: '${part}'`),
      )
    })
  }

  const refused = (message: RegExp) =>
    assert.throws(() => readRunFile(folder), { code: 'ERR_JOURNAL_FORMAT', message })
  const put = (name: string, content: string | Buffer) => writeFileSync(join(folder, name), content)

  it('and its copy, both cut short or not ours, give an error that says so; with neither it is no run', () => {
    writeRunFile(folder, FILE)
    const text = readFileSync(join(folder, 'run.json'), 'utf8')
    for (let length = 0; length < text.length - 1; length++) {
      put('run.json', text.slice(0, length))
      put('run.copy.json', text.slice(0, text.length - 2 - length))
      refused(/damaged.*so is its copy/)
    }
    put('run.json', '{"name":"another program"}')
    refused(/not a run file/)
    rmSync(join(folder, 'run.json'))
    refused(/run\.json is damaged: it is gone; so is its copy/)
    rmSync(join(folder, 'run.copy.json'))
    assert.throws(() => readRunFile(folder), { code: 'ERR_RUN_UNKNOWN' })
  })

  it('is read from its copy, and that is told, whichever of its bytes is changed, cut off or gone', () => {
    const file = withDestinations(FILE, [MLFLOW], 5)
    writeRunFile(folder, file)
    const whole = readFileSync(join(folder, 'run.json'))
    const told: string[] = []
    const read = () => readRunFile(folder, ({ code, message }) => told.push(`${code} ${message}`))
    const check = (what: string) => {
      assert.deepEqual(read(), file, what)
      assert.match(told.splice(0).join(), /^ERR_JOURNAL_DAMAGED .*run\.json is .*copy/, what)
    }
    for (let byte = 0; byte < whole.length; byte++) {
      for (const bits of [0xff, 1, 0x20]) {
        const flipped = Buffer.from(whole)
        flipped[byte]! ^= bits
        put('run.json', flipped)
        // a lost key "crc" hides that there is a checksum, and nothing else
        if (flipped.includes('"crc"')) check(`byte ${byte} xor ${bits}`)
        else assert.deepEqual(read(), file, `byte ${byte} xor ${bits}`)
        told.length = 0
      }
      put('run.json', whole.subarray(0, byte))
      check(`cut to ${byte}`)
    }
    rmSync(join(folder, 'run.json'))
    check('gone')
    put('run.json', whole)
    assert.deepEqual(read(), file)
    assert.deepEqual(told, [])
  })

  it('does not need its copy, tells where that is damaged, and writes it anew', () => {
    writeRunFile(folder, FILE)
    put('run.copy.json', 'x')
    const told: string[] = []
    assert.deepEqual(
      readRunFile(folder, ({ message }) => told.push(message)),
      FILE,
    )
    assert.match(told.join(), /run\.copy\.json is damaged/)
    writeRunFile(folder, readRunFile(folder))
    assert.deepEqual(readFileSync(join(folder, 'run.copy.json')), readFileSync(join(folder, 'run.json')))
  })

  it('of a newer version is refused although there is a copy, unless the version is what was damaged', () => {
    writeRunFile(folder, FILE)
    const whole = readFileSync(join(folder, 'run.json'), 'utf8')
    put('run.json', whole.replace('"version": 1', '"version": 9'))
    assert.deepEqual(readRunFile(folder), FILE)
    const newer = whole.replace('"version": 1', '"version": 2')
    const crc = crc32(newer.replace(/(?<="crc": ")[0-9a-f]{8}/, ''))
    put('run.json', newer.replace(/(?<="crc": ")[0-9a-f]{8}/, crc.toString(16).padStart(8, '0')))
    refused(/version 2.*newer/)
  })

  it('stays as it was when the disk refuses the new one', () => {
    writeRunFile(folder, FILE)
    mkdirSync(join(folder, 'run.json.tmp'))
    assert.throws(() => writeRunFile(folder, { ...FILE, state: 'failed' }), { code: 'ERR_JOURNAL_WRITE' })
    assert.deepEqual(readRunFile(folder), FILE)
  })

  function rewrite(change: object): void {
    const content = { format: 'tracelet-run', version: 1, ...FILE, ...change }
    writeFileSync(join(folder, 'run.json'), JSON.stringify(content))
  }
})

describe('destinations of a run', () => {
  it('are those of all its openings; one that comes again takes the new options', () => {
    let file = withDestinations(FILE, [MLFLOW], 10)
    file = withDestinations(file, [{ ...MLFLOW, options: { uri: 'http://a', insecureTls: true } }], 20)
    file = withDestinations(file, [{ ...MLFLOW, name: 'tensorboard', kind: 'tensorboard', address: 'x' }], 30)
    assert.equal(file.openedAt, 30)
    assert.deepEqual(
      file.destinations.map(({ name, addedAt, usedAt }) => [name, addedAt, usedAt]),
      [
        ['mlflow', 10, 20],
        ['tensorboard', 30, 30],
      ],
    )
    assert.deepEqual(file.destinations[0]!.options, { uri: 'http://a', insecureTls: true })
  })

  it('are two when one name has had two addresses, and the latest is the one used last', () => {
    let file = withDestinations(FILE, [MLFLOW], 10)
    file = withDestinations(file, [{ ...MLFLOW, address: 'http://b 1' }], 20)
    assert.equal(latestDestinations(file).get('mlflow')!.address, 'http://b 1')
    file = withDestinations(file, [MLFLOW], 30)
    assert.equal(file.destinations.length, 2)
    assert.equal(latestDestinations(file).get('mlflow')!.address, 'http://a 1')
    // the clock was set back since
    file = withDestinations(file, [{ ...MLFLOW, address: 'http://b 1' }], 15)
    assert.equal(latestDestinations(file).get('mlflow')!.address, 'http://b 1')
  })
})
