/** What can be given to the API and what becomes of it: the documented outcome of every odd name, value, step, time. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  attachRun,
  getActiveRun,
  type RunHandle,
  startLogging,
  stopLogging,
  TraceletError,
} from '../../src/index.ts'
import { type JournaledPoint, onlyRun, readJournal, valuesOf } from './journaled.ts'
import { codesOf, runProgram, startProgram, temporaryFolder } from './program.ts'

/** Runs a program that ends in `process.stdout.write(JSON.stringify(stats))`. */
async function outcome(...args: Parameters<typeof runProgram>) {
  const ended = await runProgram(...args)
  assert.equal(ended.code, 0, ended.stderr)
  return { stats: JSON.parse(ended.stdout), codes: codesOf(ended.stderr), ended }
}

const steps = (points: readonly JournaledPoint[] | undefined) => points?.map(({ step }) => step)

test('every number is a value, bit for bit: NaN, ±Infinity, −0, the smallest and the largest', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    const values = [
      Number.NaN,
      Infinity,
      -Infinity,
      -0,
      0,
      5e-324,
      -5e-324,
      1.7976931348623157e308,
      0.1,
      -1 / 3,
    ]
    const handle = run.metric('by handle')
    values.forEach((value, step) => {
      run.log({ 'by row': value }, { step })
      handle.log(step, value)
    })
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const values = [
    Number.NaN,
    Infinity,
    -Infinity,
    -0,
    0,
    5e-324,
    -5e-324,
    1.7976931348623157e308,
    0.1,
    -1 / 3,
  ]
  const journaled = readJournal(onlyRun(folder))
  // deepStrictEqual goes by Object.is: −0 is not 0, NaN is NaN
  assert.deepEqual(valuesOf(journaled, 'by row'), values)
  assert.deepEqual(valuesOf(journaled, 'by handle'), values)
  assert.deepEqual([stats.accepted, stats.journaled, stats.refused, stats.coalesced], [20, 20, 0, 0])
  assert.deepEqual(codes, {})
})

test('steps: up to ±(2^53 − 1), negative, decreasing and repeated ones are kept in the order of logging', async (context) => {
  const folder = temporaryFolder(context)
  await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    const steps = [
      0,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      -1,
      2 ** 31,
      2 ** 32 + 1,
      7,
      5,
      5,
      6,
      -0,
    ]
    const handle = run.metric('by handle')
    steps.forEach((step, i) => {
      run.log({ 'by row': i }, { step, time: 1000 + i })
      handle.log(step, i)
      // a repeat at another time stays apart
      const now = Date.now()
      while (Date.now() < now + 8);
    })
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const expected = [
    0,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    -1,
    2 ** 31,
    2 ** 32 + 1,
    7,
    5,
    5,
    6,
    0,
  ]
  const { points } = readJournal(onlyRun(folder))
  for (const name of ['by row', 'by handle']) {
    assert.deepEqual(
      steps(points.get(name))?.map((step) => step + 0),
      expected,
    )
    assert.deepEqual(
      points.get(name)?.map(({ value }) => value),
      expected.map((_, i) => i),
    )
  }
})

test('a repeat of series, step and time replaces the value before it and is counted as coalesced', async (context) => {
  const folder = temporaryFolder(context)
  const { stats } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    for (const value of [1, 2, 3]) run.log({ loss: value, other: value }, { step: 4, time: 5 })
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const journaled = readJournal(onlyRun(folder))
  assert.deepEqual(valuesOf(journaled, 'loss'), [3])
  assert.deepEqual(valuesOf(journaled, 'other'), [3])
  assert.deepEqual([stats.accepted, stats.journaled, stats.coalesced], [6, 2, 4])
})

test('no step given: a counter per run, untouched by rows that have one', async (context) => {
  const folder = temporaryFolder(context)
  await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    run.log({ a: 1 })
    run.log({ a: 2 }, { step: 100 })
    run.log({ a: 3 }, {})
    run.log({ a: 4 }, { step: undefined, time: undefined })
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  assert.deepEqual(steps(readJournal(onlyRun(folder)).points.get('a')), [0, 100, 1, 2])
})

test('a wrong step or time costs its row, is counted for each value and told once', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    const wrong: unknown[] = [
      0.5,
      2 ** 53,
      -(2 ** 53),
      Number.NaN,
      Infinity,
      '3',
      null,
      1n,
      {},
      true,
      Symbol('s'),
    ]
    const handle = run.metric('by handle')
    for (const step of wrong) {
      run.log({ a: 1, b: 2 }, { step: step as number })
      handle.log(step as number, 1)
    }
    handle.log(undefined as never, 1)
    for (const time of [Number.NaN, Infinity, '3', null, 1n, {}])
      run.log({ a: 1 }, { step: 1, time: time as number })
    run.log({ a: 7, b: 8 }, { step: 7, time: -1.5 })
    handle.log(7, 9)
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const journaled = readJournal(onlyRun(folder))
  assert.deepEqual([stats.accepted, stats.journaled, stats.refused], [3, 3, 22 + 12 + 6])
  assert.deepEqual(codes, { ERR_STEP: 1, ERR_TIME: 1 })
  assert.deepEqual(
    journaled.points.get('a')?.map(({ step, time, value }) => [step, time, value]),
    [[7, -1.5, 7]],
  )
  assert.deepEqual(valuesOf(journaled, 'b'), [8])
  assert.deepEqual(valuesOf(journaled, 'by handle'), [9])
})

test('names: unicode, 300 characters, control characters and names of Object are names like others', async (context) => {
  const folder = temporaryFolder(context)
  const names = [
    'train/loss',
    '精度 🎯 é',
    'n'.repeat(300),
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    ' ',
    '\n\t"\\',
    '0',
    '-1',
    'ä'.repeat(2048),
  ]
  const { stats, codes } = await outcome(
    folder,
    async ({ startLogging }, { args }) => {
      const run = startLogging()
      const names = JSON.parse(args[0]!) as string[]
      names.forEach((name, i) => {
        run.log({ [name]: i, neighbour: i }, { step: i })
        run.metric(name, 'ctx').log(i, i + 0.5)
      })
      process.stdout.write(JSON.stringify(await run.finish()))
    },
    [JSON.stringify(names)],
  )
  const { points } = readJournal(onlyRun(folder))
  for (const [i, name] of names.entries()) {
    assert.deepEqual(
      points.get(name)?.map(({ value }) => value),
      [i],
      name.slice(0, 20),
    )
    assert.deepEqual(
      points.get(`${name} [ctx]`)?.map(({ value }) => value),
      [i + 0.5],
    )
  }
  assert.equal(points.get('neighbour')?.length, names.length)
  assert.equal(points.size, names.length * 2 + 1)
  assert.deepEqual([stats.accepted, stats.refused, codes], [names.length * 3, 0, {}])
})

test('an empty name, one with U+0000 and one of more than 4,096 bytes cost themselves only', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    for (let step = 0; step < 3; step++)
      run.log(
        { '': 1, 'a\0b': 2, good: step, ['n'.repeat(4097)]: 3, ['ä'.repeat(2049)]: 4, also: -step },
        { step },
      )
    const codes = ['', 'a\0b', 'n'.repeat(4097), 5, undefined, null, {}].map((name) => {
      try {
        run.metric(name as string)
        return 'taken'
      } catch (error) {
        return (error as { code: string }).code
      }
    })
    if (codes.some((code) => code !== 'ERR_NAME')) throw new Error(codes.join())
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const journaled = readJournal(onlyRun(folder))
  assert.deepEqual([...journaled.points.keys()].sort(), ['also', 'good'])
  assert.deepEqual(valuesOf(journaled, 'good'), [0, 1, 2])
  assert.deepEqual(valuesOf(journaled, 'also'), [-0, -1, -2])
  assert.deepEqual([stats.accepted, stats.refused, codes], [6, 12, { ERR_NAME: 1 }])
})

test('a value that is not a number costs itself: its neighbours in the row are journaled bit for bit', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    const handle = run.metric('by handle')
    const wrong = [
      '1',
      '',
      null,
      undefined,
      1n,
      {},
      [],
      [1],
      true,
      false,
      Symbol('s'),
      () => 1,
      new Date(),
      new Number(1),
    ]
    wrong.forEach((value, step) => {
      run.log({ before: step / 7, bad: value as number, after: -step / 3 }, { step })
      handle.log(step, value as number)
    })
    process.stdout.write(JSON.stringify({ ...(await run.finish()), wrong: wrong.length }))
  })
  const journaled = readJournal(onlyRun(folder))
  const expected = Array.from({ length: stats.wrong }, (_, step) => step)
  assert.deepEqual([...journaled.points.keys()], ['before', 'after'])
  assert.deepEqual(
    valuesOf(journaled, 'before'),
    expected.map((step) => step / 7),
  )
  assert.deepEqual(
    valuesOf(journaled, 'after'),
    expected.map((step) => -step / 3),
  )
  assert.deepEqual([stats.accepted, stats.journaled, stats.refused], [28, 28, 28])
  assert.deepEqual(codes, { ERR_VALUE: 1 })
})

test('what is not a row: refused as one point; an empty row is nothing; no call throws', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    for (const row of [null, undefined, 5, 'loss', true, 1n, Symbol('s')]) run.log(row as never)
    for (const row of [null, undefined, 5]) run.log(row as never, { step: 0.5 })
    run.log({})
    run.log(Object.create(null))
    run.log(Object.assign(Object.create({ inherited: 3 }), { own: 4 }), { step: 1 })
    run.log([10, 11] as never, { step: 2 })
    run.log({ a: 1 }, null as never)
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const journaled = readJournal(onlyRun(folder))
  // a row is what `for … in` sees: an array is one of '0', '1', …
  assert.deepEqual(
    Object.fromEntries([...journaled.points.keys()].map((key) => [key, valuesOf(journaled, key)])),
    {
      own: [4],
      inherited: [3],
      '0': [10],
      '1': [11],
      a: [1],
    },
  )
  assert.equal(stats.refused, 10)
  assert.deepEqual(codes, { ERR_VALUE: 1, ERR_STEP: 1 })
})

test('an error that the row itself throws reaches the caller, and the sums still hold', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging()
    const row = {
      a: 1,
      get bad(): number {
        throw new Error('a getter of the caller')
      },
      b: 2,
    }
    let thrown = ''
    try {
      run.log(row, { step: 0 })
    } catch (error) {
      thrown = (error as Error).message
    }
    run.log({ a: 3, b: 4 }, { step: 1 })
    process.stdout.write(JSON.stringify({ ...(await run.finish()), thrown }))
  })
  // the caller's own error is the caller's; what was logged before it counts, and the sums hold
  assert.equal(stats.thrown, 'a getter of the caller')
  const journaled = readJournal(onlyRun(folder))
  assert.deepEqual(valuesOf(journaled, 'a').at(-1), 3)
  assert.deepEqual(valuesOf(journaled, 'b'), [4])
  assert.equal(stats.accepted, stats.journaled)
  assert.deepEqual(codes, {})
})

test('params: nested, typed, every kind of leaf has its stated form', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging({ params: { seed: 42 } })
    const cycle: Record<string, unknown> = { inside: 1 }
    cycle.self = cycle
    const shared = { x: 1 }
    const deep: Record<string, unknown> = {}
    let at = deep
    for (let i = 0; i < 50; i++) at = at.d = {} as Record<string, unknown>
    run.logParams({
      text: 'a',
      number: 0.1,
      nan: Number.NaN,
      minusInfinity: -Infinity,
      truth: false,
      nothing: null,
      missing: undefined,
      big: 2n ** 70n,
      when: new Date(0),
      never: new Date(Number.NaN),
      list: [1, 'b', { c: 3n }],
      typed: new Float32Array([1, 0.5]),
      empty: {},
      optimizer: { name: 'adam', betas: [0.9, 0.999], deeper: { eps: 1e-8 } },
      once: shared,
      twice: shared,
      cycle,
      deep,
      f: () => 1,
      symbol: Symbol('s'),
      '': 1,
      'a\0b': 2,
      ['__proto__']: 'own',
      constructor: 'c',
      map: new Map([['k', 1]]),
    })
    run.logParams(JSON.parse('{"__proto__": {"polluted": 1}}'))
    if (({} as { polluted?: number }).polluted !== undefined) throw new Error('polluted')
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const { params } = readJournal(onlyRun(folder))
  assert.deepEqual(
    Object.entries(params).sort(),
    Object.entries({
      seed: 42,
      text: 'a',
      number: 0.1,
      nan: Number.NaN,
      minusInfinity: -Infinity,
      truth: false,
      nothing: null,
      big: '1180591620717411303424',
      when: '1970-01-01T00:00:00.000Z',
      never: 'Invalid Date',
      list: '[1,"b",{"c":"3"}]',
      typed: '[1,0.5]',
      'optimizer.name': 'adam',
      'optimizer.betas': '[0.9,0.999]',
      'optimizer.deeper.eps': 1e-8,
      'once.x': 1,
      'twice.x': 1,
      'cycle.inside': 1,
      constructor: 'c',
      '__proto__.polluted': 1,
      ['__proto__']: 'own',
      'map.k': 1,
    }).sort(),
  )
  assert.equal(stats.records.accepted, stats.records.journaled)
  assert.deepEqual(Object.keys(codes).sort(), ['ERR_NAME', 'ERR_VALUE'])
})

test('a text too long for a record costs itself only', async (context) => {
  const folder = temporaryFolder(context)
  const { stats, codes } = await outcome(folder, async ({ startLogging }) => {
    const run = startLogging({ laneSlots: 256 })
    run.logParams({ before: 1, huge: 'x'.repeat(10_000), fits: 'y'.repeat(2500), after: 2 })
    run.setTags({ before: 'b', huge: 'x'.repeat(10_000), after: 'a' })
    run.log({ loss: 1 })
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const { params, tags } = readJournal(onlyRun(folder))
  assert.deepEqual(params, { before: 1, fits: 'y'.repeat(2500), after: 2 })
  assert.deepEqual(tags, { before: 'b', after: 'a' })
  assert.equal(stats.records.lost, 0)
  assert.deepEqual(codes, { ERR_VALUE_TOO_LONG: 1 })
})

test('tags: words, words with values; what is no name costs itself', async (context) => {
  const folder = temporaryFolder(context)
  await outcome(folder, async ({ startLogging }) => {
    const run = startLogging({ tags: ['baseline', 'v2'] })
    run.setTags({ note: 'first', count: 3, truth: true, '': 'x' })
    run.setTags({ note: 'second' })
    for (const wrong of [null, undefined, 5, 'word']) run.setTags(wrong as never)
    run.setTags(['ok', 5 as never, null as never])
    for (const wrong of [null, undefined, 5, 'word', [1]]) run.logParams(wrong as never)
    process.stdout.write(JSON.stringify(await run.finish()))
  })
  const { tags, params } = readJournal(onlyRun(folder))
  assert.deepEqual(tags, { baseline: '', v2: '', note: 'second', count: '3', truth: 'true', ok: '' })
  assert.deepEqual(params, {})
})

test('no secret reaches a file of the run or stderr', async (context) => {
  const folder = temporaryFolder(context)
  const secret = `sk-${'T3BlbkFJabcdEFGH1234ijklMNOP5678qrstUVWX9012yzAB'}`
  const { ended } = await outcome(
    folder,
    async ({ startLogging }, { args }) => {
      const secret = args[0]!
      const run = startLogging({
        backend: { local: {}, tensorboard: {} },
        name: `run with ${secret}`,
        params: {
          api_key: 'plain-words-1',
          nested: { password: 'plain-words-2', list: [{ token: 'plain-words-3' }] },
        },
        tags: { author: 'ann', auth: 'plain-words-4', note: secret },
      })
      run.logParams({
        uri: 'https://ann:plain-words-5@host/x',
        text: `use ${secret}`,
        max_token: 512,
        monkey: 'bonobo',
      })
      run.setTags([secret])
      run.log({ tokens_per_second: 5, loss: secret as never })
      process.stdout.write(JSON.stringify(await run.finish()))
    },
    [secret],
  )
  const { params, tags } = readJournal(onlyRun(folder))
  assert.equal(params.max_token, 512)
  assert.equal(params.monkey, 'bonobo')
  assert.equal(params.uri, 'https://[REDACTED:url]@host/x')
  assert.equal(tags.author, 'ann')
  const bytes = readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('program-'))
    .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'latin1'))
  assert.ok(bytes.length >= 3, 'run.json, the journal and an event file')
  for (const text of [...bytes, ended.stderr]) {
    assert.ok(!text.includes(secret.slice(5)))
    assert.ok(!text.includes('plain-words'))
  }
})

test('startLogging: what is wrong in the options is told before anything is written', (context) => {
  const dir = temporaryFolder(context)
  const wrong: readonly (readonly [options: Record<string, unknown>, code: string, message: RegExp])[] = [
    [{ projekt: 'x' }, 'ERR_OPTION', /unknown option 'projekt'; did you mean 'project'\?/],
    [{ project: 5 }, 'ERR_OPTION', /option 'project' must be a string, but is 5/],
    [{ signals: 'yes' }, 'ERR_OPTION', /option 'signals' must be a boolean/],
    [{ blockMaxMs: -1 }, 'ERR_OPTION', /between 0 and 60000 ms/],
    [{ overflow: 'wait' }, 'ERR_OPTION', /one of block, drop, but is 'wait'/],
    [{ laneSlots: 1000 }, 'ERR_OPTION', /power of two, but is 1000/],
    [{ laneSlots: 128 }, 'ERR_OPTION', /between 256 and/],
    [{ backend: 'mlfow' }, 'ERR_BACKEND_UNKNOWN', /'mlfow'; did you mean 'mlflow'\?/],
    [{ backend: ['local', 'local'] }, 'ERR_OPTION', /'local' stands there twice; name them apart/],
    [{ backend: [] }, 'ERR_OPTION', /at least one/],
    [{ backend: {} }, 'ERR_OPTION', /at least one/],
    [{ backend: [5] }, 'ERR_OPTION', /5 is not the word of a backend/],
    [{ backend: 5 }, 'ERR_BACKEND_UNKNOWN', /5/],
    [{ backend: null }, 'ERR_BACKEND_UNKNOWN', /null/],
    [{ backend: { mlflow: 5 } }, 'ERR_OPTION', /backend mlflow: options must be an object/],
    [
      { backend: { mlflow: { urii: 'x' } } },
      'ERR_OPTION',
      /backend mlflow: unknown option 'urii'; did you mean 'uri'/,
    ],
    [{ backend: { local: { x: 1 } } }, 'ERR_OPTION', /backend local: unknown option 'x'/],
  ]
  for (const [options, code, message] of wrong) {
    assert.throws(
      () => startLogging({ dir, ...options } as never),
      (error: TraceletError) => {
        assert.ok(error instanceof TraceletError)
        assert.equal(error.code, code)
        assert.match(error.message, message)
        return true
      },
    )
  }
  assert.deepEqual(readdirSync(dir), [])
})

test('without a run: getActiveRun() throws, stopLogging() has nothing to do', async () => {
  assert.throws(() => getActiveRun(), { code: 'ERR_NO_ACTIVE_RUN' })
  assert.equal(await stopLogging(), undefined)
})

test('attachRun() refuses what run.handle() did not make', () => {
  const rubbish: unknown[] = [
    undefined,
    null,
    5,
    'handle',
    {},
    { tracelet: 1 },
    { tracelet: 2, control: new SharedArrayBuffer(1024) },
    { tracelet: 1, control: new ArrayBuffer(1024) },
    {
      tracelet: 1,
      control: new SharedArrayBuffer(16),
      counters: new SharedArrayBuffer(16),
      channel: 'x',
      number: 1,
    },
    { tracelet: 1, control: new SharedArrayBuffer(1024), channel: 'x', number: 1 },
    {
      tracelet: 1,
      control: new SharedArrayBuffer(1024),
      counters: new SharedArrayBuffer(1 << 16),
      channel: 'x',
      number: 1,
    },
  ]
  for (const handle of rubbish) assert.throws(() => attachRun(handle as RunHandle), { code: 'ERR_HANDLE' })
})

test('a run that another process writes is busy: both are told apart, the first goes on', async (context) => {
  const folder = temporaryFolder(context)
  const first = startProgram(folder, async ({ startLogging }) => {
    const run = startLogging({ runId: 'shared' })
    run.log({ loss: 1 })
    await run.flush()
    process.stderr.write('open\n')
    const alive = setInterval(() => undefined, 1000)
    await new Promise((resolve) => process.once('SIGUSR2', resolve))
    clearInterval(alive)
    run.log({ loss: 2 })
    await run.finish()
  })
  await first.said('open')
  const second = await runProgram(folder, ({ startLogging }) => {
    try {
      startLogging({ runId: 'shared' })
    } catch (error) {
      const { code, message } = error as { code: string; message: string }
      process.stdout.write(`${code} ${message}`)
    }
  })
  assert.match(second.stdout, new RegExp(`^ERR_RUN_BUSY .*${first.child.pid}`))
  assert.match(second.stdout, /group/)
  assert.equal(second.code, 0)
  first.child.kill('SIGUSR2')
  assert.equal((await first.ended).code, 0)
  assert.deepEqual(valuesOf(readJournal(onlyRun(folder)), 'loss'), [1, 2])
})

test('a finished run of that id is continued by the next start', async (context) => {
  const folder = temporaryFolder(context)
  for (const value of ['1', '2']) {
    const ended = await runProgram(
      folder,
      async ({ startLogging }, { args }) => {
        const run = startLogging({ runId: 'again' })
        run.log({ loss: Number(args[0]) }, { step: Number(args[0]) })
        await run.finish()
      },
      [value],
    )
    assert.equal(ended.code, 0, ended.stderr)
  }
  const journaled = readJournal(onlyRun(folder))
  assert.deepEqual(valuesOf(journaled, 'loss'), [1, 2])
  assert.equal(journaled.sessions, 2)
})

test('a root folder that cannot be written is told at once', async (context) => {
  const folder = temporaryFolder(context)
  assert.throws(() => startLogging({ dir: '/dev/null/x' }), { code: 'ERR_JOURNAL_WRITE' })
  assert.deepEqual(readdirSync(folder), [])
})
