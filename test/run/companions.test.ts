/** What a run gets beside the destinations that were named. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DestinationSpec } from '../../src/pipeline/messages.ts'
import { companionsOf, type KeptCompanions } from '../../src/run/companions.ts'
import { defineSink, resolveDestinationOptions, type SinkDefinition } from '../../src/sinks/contract.ts'
import { findSink } from '../../src/sinks/index.ts'

const { limits, capabilities } = findSink('tensorboard')
const fileSink = { limits, capabilities, create: () => assert.fail('nothing is opened here') }
const remote = defineSink({
  ...fileSink,
  kind: 'remote',
  title: 'Remote',
  options: {
    project: { type: 'string', doc: '' },
    mode: { type: 'string', values: ['online', 'offline'], env: ['MODE'], isOfProcess: true, doc: '' },
  },
  capabilities: { ...capabilities, rewrite: 'offset' },
  address: () => 'there',
  account: () => 'ours',
  mode: ({ mode }) => mode ?? 'online',
  companion: ({ mode, project }) =>
    mode === 'offline' ? { kind: 'files', options: { project } } : undefined,
})
const files = defineSink({
  ...fileSink,
  kind: 'files',
  title: 'Files',
  options: {
    project: { type: 'string', default: 'none', doc: '' },
    dir: { type: 'string', default: '/here', env: ['FILES_DIR'], doc: '' },
  },
  address: ({ dir, project }) => `${dir} ${project}`,
  account: ({ dir, project }) => `${dir} ${project}`,
  exports: { format: 'remote', folderOption: 'dir', folderOf: ({ dir }) => dir, command: 'remote push' },
})
const definitionOf = (kind: string): SinkDefinition => (kind === 'remote' ? remote : files) as SinkDefinition

const RUN = { id: 'r', name: 'r', project: 'p', experiment: 'e', createdAt: 0, nonce: 'n', folder: '/r' }

type Environment = Record<string, string>

function specsOf(backend: Record<string, object>, environment: Environment): DestinationSpec[] {
  return Object.entries(backend).map(([name, given], index) => {
    const kind = name.split(':', 1)[0]!
    if ('module' in given) return { name, index, kind, module: String(given.module), options: {} }
    return {
      name,
      index,
      kind,
      options: resolveDestinationOptions(definitionOf(kind), { ...given }, environment, name),
    }
  })
}

function companions(backend: Record<string, object>, environment: Environment = {}, kept?: KeptCompanions) {
  return companionsOf(specsOf(backend, environment), RUN, environment, kept, definitionOf)
}

test('an offline destination has its companion beside it, which is called as it is and comes behind all', () => {
  const found = companions({ remote: { mode: 'offline' }, 'remote:team': { mode: 'offline', project: 'p' } })
  assert.deepEqual(
    found.map(({ spec: { name, index, kind, companionOf } }) => [name, index, kind, companionOf]),
    [
      ['files', 2, 'files', 'remote'],
      ['files:team', 3, 'files', 'remote:team'],
    ],
  )
  assert.deepEqual(
    found.map(({ spec, command }) => [spec.options.project, spec.options.dir, command]),
    [
      ['none', '/here', 'remote push'],
      ['p', '/here', 'remote push'],
    ],
  )
})

test('the environment makes a destination offline, and says of its companion what nobody else does', () => {
  const [one] = companions({ remote: { project: 'p' } }, { MODE: 'offline', FILES_DIR: '/there' })
  assert.deepEqual([one?.spec.options.project, one?.spec.options.dir], ['p', '/there'])
  assert.deepEqual(companions({ remote: { project: 'p' } }, { FILES_DIR: '/there' }), [])
})

test('what of a run goes to a destination goes to its companion', () => {
  const wide = { include: ['train/*'], exclude: ['x'], kinds: ['points'], everyN: 10, maxLagMs: 5000 }
  const [one] = companions({ remote: { mode: 'offline', ...wide } })
  for (const [name, value] of Object.entries(wide)) assert.deepEqual(one?.spec.options[name], value, name)
})

test('who names one of that kind himself gets no other', () => {
  assert.deepEqual(companions({ remote: { mode: 'offline' }, 'files:mine': { dir: '/mine' } }), [])
})

test('of two that would write the same files there is one', () => {
  const found = companions({ remote: { mode: 'offline' }, 'remote:b': { mode: 'offline' } })
  assert.deepEqual(
    found.map(({ spec }) => spec.name),
    ['files'],
  )
})

test('of a module nothing is known yet, so it has none', () => {
  assert.deepEqual(companions({ remote: { module: '/m.mjs' } }, { MODE: 'offline' }), [])
})

test('one that the run had before stays where it was, unless its destination says otherwise', () => {
  const kept = { files: { dir: '/before', project: 'old' } }
  const environment = { MODE: 'offline', FILES_DIR: '/there' }
  const [same] = companions({ remote: {} }, environment, kept)
  assert.deepEqual([same?.spec.options.dir, same?.spec.options.project], ['/before', 'old'])
  const [other] = companions({ remote: { project: 'new' } }, environment, kept)
  assert.deepEqual([other?.spec.options.dir, other?.spec.options.project], ['/before', 'new'])
})
