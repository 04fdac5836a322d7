/**
 * A backend without a server: what it is sent stands as lines of JSON in a file. By its options it asks that the run
 * be stopped, in every answer, and says in which mode it is.
 */
import { appendFileSync } from 'node:fs'
import { defineSink } from '../../src/sinks/contract.ts'

export default defineSink({
  kind: 'told',
  title: 'Told',
  options: {
    file: { type: 'string', default: '', doc: 'Where its lines stand.' },
    asksForStop: { type: 'boolean', default: false, doc: 'Whether it asks that the run be stopped.' },
    mode: {
      type: 'string',
      default: 'online',
      values: ['online', 'offline', 'disabled'],
      env: ['TOLD_MODE'],
      isOfProcess: true,
      doc: 'Whether anything is sent.',
    },
  },
  limits: { maxItems: 100, maxBytes: 1e6, pointBytes: () => 100, inFlight: 1, lingerMs: 0 },
  capabilities: {
    shape: 'points',
    rewrite: 'identity',
    records: ['params', 'state'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1_000,
  },
  address: ({ file }) => file,
  account: ({ file }) => file,
  mode: ({ mode }) => mode,
  create: ({ options, stopRequested }) => {
    const take = (line: object) => {
      appendFileSync(options.file, `${JSON.stringify(line)}\n`)
      if (options.asksForStop) stopRequested?.()
      return { status: 'accepted' } as const
    }
    return {
      open: async () => ({ status: 'ready' }),
      write: async (batch) => take({ points: [...batch.value] }),
      writeRecord: async (record) => take({ record: record.kind }),
      close: async () => {},
    }
  },
})
