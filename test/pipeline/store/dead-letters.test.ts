import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  appendDeadLetters,
  countUnreadableLetters,
  DEAD_LETTERS_FILE,
  type DeadLetter,
  type DeadPoint,
  readDeadLetters,
} from '../../../src/pipeline/store/dead-letters.ts'

describe('dead letters', () => {
  let folder = ''
  let path = ''
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tracelet-dead-'))
    path = join(folder, DEAD_LETTERS_FILE)
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  const read = () => [...readDeadLetters(folder)]

  it('come back as they were written, for the owner alone; none at first and no file for none', () => {
    assert.deepEqual(read(), [])
    appendDeadLetters(folder, [])
    assert.throws(() => statSync(path), { code: 'ENOENT' })
    const record: DeadLetter = {
      destination: 'mlflow',
      seq: 3,
      kind: 'params',
      items: ['lr', 'é'],
      code: 'ERR_PARAM_CONFLICT',
      reason: 'held: 1',
      at: 5,
    }
    appendDeadLetters(folder, [point(1), point(2)])
    appendDeadLetters(folder, [record])
    assert.deepEqual(read(), [point(1), point(2), record])
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.equal(readFileSync(path, 'utf8').split('\n').length, 4)
  })

  it('keep every double bit for bit', () => {
    const values = [Number.NaN, Infinity, -Infinity, -0, 0, 5e-324, -1.7976931348623157e308, 0.1, 2 ** 53]
    appendDeadLetters(
      folder,
      values.map((value, seq) => point(seq, { value })),
    )
    assert.ok(read().every((letter, index) => Object.is((letter as DeadPoint).value, values[index])))
    assert.match(
      readFileSync(path, 'utf8'),
      /"value":"NaN".*\n.*"value":"Infinity".*\n.*"value":"-Infinity".*\n.*"value":"-0"/,
    )
  })

  it('cannot command the terminal that shows them, nor fill the disk with a page of HTML', () => {
    const reason = `\u001b[2J\r\nno\u0000\u009b31m\u202e ${'<p>'.repeat(100_000)}`
    appendDeadLetters(folder, [point(1, { reason, name: 'loss\u001b]0;x\u0007', context: 'a\tb' })])
    const [letter] = read() as DeadPoint[]
    assert.equal(letter!.name, 'loss ]0;x ')
    assert.equal(letter!.context, 'a b')
    assert.equal(letter!.reason.length, 1000)
    assert.match(letter!.reason, /^ \[2J no 31m +<p><p>.*…$/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    assert.doesNotMatch(readFileSync(path, 'utf8').slice(0, -1), /[\u0000-\u001f\u007f-\u009f]|\\u00/)
  })

  it('of a record that was refused among the rows and as an upload are two', () => {
    const upload: DeadLetter = {
      destination: 'wandb',
      seq: 3,
      kind: 'images',
      code: 'ERR_BLOB',
      reason: 'gone',
      at: 5,
    }
    const mention: DeadLetter = { ...upload, mention: true, code: 'ERR_REFUSED', reason: 'no such key' }
    appendDeadLetters(folder, [mention, upload])
    appendDeadLetters(folder, [upload, mention])
    assert.deepEqual(read(), [mention, upload])
  })

  it('that came again after a crash are read once, for each destination', () => {
    appendDeadLetters(folder, [point(1), point(2, { reason: 'first' })])
    appendDeadLetters(folder, [point(2, { reason: 'again' }), point(3), point(2, { destination: 'aim' })])
    assert.deepEqual(
      read().map(({ destination, seq, reason }) => `${destination} ${seq} ${reason}`),
      ['mlflow 1 no', 'mlflow 2 first', 'mlflow 3 no', 'aim 2 no'],
    )
  })

  it('torn off at any byte cost only themselves, and the next one stands in a line of its own', () => {
    appendDeadLetters(folder, [point(1)])
    const start = statSync(path).size
    appendDeadLetters(folder, [point(2)])
    const end = statSync(path).size
    for (let length = start; length < end; length++) {
      truncateSync(path, length)
      appendDeadLetters(folder, [point(3)])
      const seqs = read().map(({ seq }) => seq)
      assert.deepEqual(seqs, length === end - 1 ? [1, 2, 3] : [1, 3], `torn at ${length}`)
      truncateSync(path, start)
      appendDeadLetters(folder, [point(2)])
    }
  })

  it('are read past lines that are none', () => {
    appendFileSync(path, 'not JSON\nnull\n7\n{}\n{"destination":"x"}\n\n')
    appendDeadLetters(folder, [point(1)])
    assert.deepEqual(read(), [point(1)])
  })

  it('longer than what is read at once are whole, with characters cut by its edges', () => {
    const letters = Array.from({ length: 500 }, (_, seq) => point(seq, { name: 'é実😀'.repeat(seq) }))
    appendDeadLetters(folder, letters)
    assert.deepEqual(read(), letters)
  })

  it('of several processes do not mix', async () => {
    const module = new URL(
      `../../../src/pipeline/store/dead-letters${extname(import.meta.url)}`,
      import.meta.url,
    )
    const script = `
      import { appendDeadLetters } from ${JSON.stringify(module.href)}
      for (let seq = 0; seq < 300; seq++) appendDeadLetters(${JSON.stringify(folder)}, [{
        destination: process.argv[1], seq, kind: 'tags', code: 'ERR_REFUSED', reason: 'x'.repeat(seq), at: 0 }])`
    const processes = ['a', 'b', 'c'].map((name) =>
      spawn(process.execPath, ['--input-type=module', '-e', script, name], { stdio: 'inherit' }),
    )
    for (const one of processes) if (one.exitCode === null) await once(one, 'exit')
    assert.equal(read().length, 900)
    assert.ok(read().every((letter) => letter.reason.length === letter.seq))
  })

  it('that cannot be written are an error, since the cursor must not pass them', () => {
    const missing = join(folder, 'missing')
    assert.throws(() => appendDeadLetters(missing, [point(1)]), { code: 'ERR_JOURNAL_WRITE' })
  })

  it('are written beside what is no file of ours', () => {
    appendDeadLetters(folder, [point(1)])
    const letters = readFileSync(path)
    rmSync(path)
    mkdirSync(path)
    appendDeadLetters(folder, [point(2), point(3)])
    assert.deepEqual(read(), [point(2), point(3)])
    assert.equal(countUnreadableLetters(folder), 0)
    rmSync(path, { recursive: true })
    appendFileSync(path, letters)
    assert.deepEqual(read(), [point(1), point(2), point(3)])
  })
})

function point(seq: number, change: Partial<DeadPoint> = {}): DeadPoint {
  return {
    destination: 'mlflow',
    seq,
    kind: 'point',
    name: 'train/loss',
    context: '',
    step: -3,
    time: 1_795_000_000_000,
    value: 0.5,
    code: 'ERR_REFUSED',
    reason: 'no',
    at: 1_795_000_000_500,
    ...change,
  }
}
