import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DESTINATION_OPTIONS } from '../../src/core/destination-options.ts'
import {
  nearest,
  type OptionRow,
  type OptionTable,
  resolveOptions,
  withoutSecrets,
} from '../../src/core/options.ts'
import { RUN_OPTIONS } from '../../src/run/options.ts'
import { SINKS } from '../../src/sinks/index.ts'

const TABLES: readonly (readonly [where: string, table: OptionTable])[] = [
  ['startLogging', RUN_OPTIONS],
  ...SINKS.map(({ kind, options }) => [`backend ${kind}`, options] as const),
  ['every backend', DESTINATION_OPTIONS],
]
const ROWS = TABLES.flatMap(([where, table]) =>
  Object.entries(table).map(([name, row]) => ({ where, table, name, row })),
)

/** Values that the row takes, as given in code and as written in the environment. */
function goodValues(row: OptionRow): (readonly [value: unknown, text: string])[] {
  if (row.type === 'boolean')
    return [
      [true, 'TRUE'],
      [false, '0'],
      [true, 'on'],
      [false, 'No'],
    ]
  if (row.type === 'strings') {
    const [a, b] = row.values ?? ['a', 'b']
    return [[[a, b], ` ${a}, ${b},`]]
  }
  if (row.type === 'string') return (row.values ?? ['some text']).map((value) => [value, value])
  const { min = 0, max = 10 } = row
  return [
    [min, String(min)],
    [max, ` ${max} `],
  ]
}

function badValues(row: OptionRow): unknown[] {
  const wrongTypes: Record<OptionRow['type'], unknown[]> = {
    string: [1, true, null, {}, ['a']],
    number: ['1', true, null, {}, Number.NaN, 1n],
    boolean: ['true', 1, null, {}],
    strings: ['a', [1], null, {}],
  }
  const bad = [...wrongTypes[row.type], Symbol('s'), () => 1]
  if (row.values) bad.push('no such word', ['no such word'])
  if (row.isWhole) bad.push(1.5)
  if (row.min !== undefined) bad.push(row.min - 1)
  if (row.max !== undefined) bad.push(row.max + 1)
  return bad
}

for (const { where, table, name, row } of ROWS) {
  test(`${where}: ${name} takes what its row says and nothing else`, () => {
    const at = (given: Record<string, unknown>, environment = {}) =>
      resolveOptions(table, given, environment, where)[name]
    assert.deepEqual(at({}), row.default)
    if (row.default !== undefined) assert.deepEqual(at({ [name]: row.default }), row.default)
    for (const [value, text] of goodValues(row)) {
      assert.deepEqual(at({ [name]: value }), value)
      for (const variable of row.env ?? []) {
        assert.deepEqual(at({}, { [variable]: text }), value, variable)
        assert.deepEqual(at({}, { [variable]: '' }), row.default, 'an empty variable is not set')
        const other = goodValues(row)[0]![0]
        assert.deepEqual(at({ [name]: other }, { [variable]: text }), other, 'the option goes first')
      }
    }
    for (const value of badValues(row)) {
      assert.throws(
        () => at({ [name]: value }),
        (error: Error & { code: string }) => {
          assert.equal(error.code, 'ERR_OPTION')
          assert.ok(error.message.startsWith(`${where}: option '${name}' must be `), error.message)
          if (row.secret) assert.match(error.message, /but is \(hidden\)$/)
          return true
        },
        String(value),
      )
    }
    const [first, second] = row.env ?? []
    if (second !== undefined && row.type === 'string' && !row.values)
      assert.equal(at({}, { [second]: 'second', [first!]: 'first' }), 'first')
  })
}

test('every row of every table is documented, and its default is one of its values', () => {
  for (const { where, name, row } of ROWS) {
    assert.ok(row.doc.length > 10, `${where} ${name}`)
    if (row.default !== undefined && row.values) assert.ok(row.values.includes(String(row.default)))
    if (/(?:Ms|Bytes)$/.test(name)) assert.equal(row.unit, name.endsWith('Ms') ? 'ms' : 'bytes', name)
  }
})

test("another program's variable that cannot be read says nothing; our own is an error", () => {
  const table = {
    on: { type: 'boolean', env: ['T_ON', 'ITS_ON', 'ITS_OTHER'], hints: ['ITS_ON'], doc: '' },
  } as const satisfies OptionTable
  const on = (environment: Record<string, string>) => resolveOptions(table, {}, environment, 'here').on
  assert.equal(on({ ITS_ON: 'yes' }), true)
  assert.equal(on({ ITS_ON: 'very' }), undefined)
  assert.equal(on({ ITS_ON: 'very', ITS_OTHER: 'yes' }), true)
  assert.equal(on({ T_ON: 'no', ITS_ON: 'yes' }), false)
  assert.throws(() => on({ T_ON: 'very' }), { code: 'ERR_OPTION' })
})

test('a value out of the environment that cannot be read names the variable, and hides a secret', () => {
  const table = {
    many: { type: 'number', env: ['T_MANY'], min: 1, doc: '' },
    on: { type: 'boolean', env: ['T_ON'], doc: '' },
    pin: { type: 'number', env: ['T_PIN'], secret: true, doc: '' },
  } as const satisfies OptionTable
  const failure = (environment: Record<string, string>) => {
    try {
      resolveOptions(table, {}, environment, 'here')
    } catch (error) {
      return (error as Error).message
    }
    return assert.fail('taken')
  }
  assert.equal(failure({ T_MANY: 'x' }), "here: environment variable T_MANY must be a number, but is 'x'")
  assert.equal(
    failure({ T_MANY: '0' }),
    'here: environment variable T_MANY must be between 1 and ∞, but is 0',
  )
  assert.equal(failure({ T_ON: '2' }), "here: environment variable T_ON must be true or false, but is '2'")
  assert.equal(
    failure({ T_PIN: 'hunter2' }),
    'here: environment variable T_PIN must be a number, but is (hidden)',
  )
})

test('an unknown name is an error with the nearest one; names of Object are unknown too', () => {
  for (const [given, suggestion] of [
    ['projekt', 'project'],
    ['ExpName', 'expName'],
    ['lane_slots', 'laneSlots'],
    ['signal', 'signals'],
    ['toString', undefined],
    ['__proto__x', undefined],
    ['constructor', undefined],
  ] as const) {
    assert.throws(() => resolveOptions(RUN_OPTIONS, { [given]: 1 }, {}, 'startLogging'), {
      code: 'ERR_OPTION',
      message: `startLogging: unknown option '${given}'${suggestion ? `; did you mean '${suggestion}'?` : ''}`,
    })
  }
  const proto = JSON.parse('{"__proto__": 1}') as Record<string, unknown>
  assert.throws(() => resolveOptions(RUN_OPTIONS, proto, {}, 'startLogging'), { code: 'ERR_OPTION' })
})

test('undefined is not given', () => {
  assert.equal(resolveOptions(RUN_OPTIONS, { project: undefined }, {}, '').project, 'default')
})

test('secrets are left out of what may be written down', () => {
  const table = { key: { type: 'string', secret: true, doc: '' }, uri: { type: 'string', doc: '' } } as const
  assert.deepEqual(withoutSecrets(table, { key: 'hunter2', uri: 'http://h', gone: undefined }), {
    uri: 'http://h',
  })
  for (const { kind, options } of SINKS) {
    for (const [name, row] of Object.entries(options)) {
      if (/token|password|secret|key$/i.test(name) && row.type === 'string')
        assert.ok(row.secret, `${kind}: ${name} must be marked as a secret`)
    }
  }
})

test('the nearest word is at most a third of its length away', () => {
  assert.equal(nearest('mlfow', ['mlflow', 'wandb']), 'mlflow')
  assert.equal(nearest('WANDB', ['mlflow', 'wandb']), 'wandb')
  assert.equal(nearest('xyz', ['mlflow', 'wandb']), undefined)
  assert.equal(nearest('', ['mlflow']), undefined)
})
