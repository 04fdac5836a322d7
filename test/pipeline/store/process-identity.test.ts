import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  livenessOf,
  ownIdentity,
  type ProcessIdentity,
} from '../../../src/pipeline/store/process-identity.ts'

const self: ProcessIdentity = { ...ownIdentity(), host: 'id-1/node-7', boot: 'boot-1', pidSpace: 'pid:[1]' }

test('of another boot the processes of a machine are gone; where only the name is the same, nobody can say', () => {
  const other = { ...self, boot: 'boot-2' }
  assert.equal(livenessOf(other, self), 'gone')
  const [nameless, there] = [self, other].map((one) => ({ ...one, host: '/trainer' })) as [
    ProcessIdentity,
    ProcessIdentity,
  ]
  assert.equal(livenessOf(there, nameless), 'elsewhere')
  assert.equal(livenessOf({ ...other, host: 'id-2/node-7' }, self), 'elsewhere')
})

test('of the same boot the numbering of processes decides whether one can be seen', () => {
  assert.equal(livenessOf(self, self), 'alive')
  assert.equal(livenessOf({ ...self, pidSpace: 'pid:[2]' }, self), 'elsewhere')
  assert.equal(livenessOf({ ...self, pid: 2 ** 22 + 1 }, self), 'gone')
})
