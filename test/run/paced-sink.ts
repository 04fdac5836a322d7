/** A backend without a server that takes few calls a second: when each began stands in a file. */
import { appendFileSync } from 'node:fs'
import { monotonicNow } from '../../src/core/clock.ts'
import { defineSink } from '../../src/sinks/contract.ts'

export const CALLS_PER_SECOND = 100

export default defineSink({
  kind: 'paced',
  title: 'Paced',
  options: { file: { type: 'string', default: '', doc: 'Where its calls stand.' } },
  limits: {
    ...{ maxItems: 100, maxBytes: 1e6, pointBytes: () => 100, inFlight: 1, lingerMs: 0 },
    accountInFlight: 16,
    accountPerSecond: CALLS_PER_SECOND,
    beatMs: 500,
  },
  capabilities: {
    shape: 'rows',
    rewrite: 'identity',
    records: ['state'],
    uploads: ['text'],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 1_000,
  },
  address: ({ file }) => file,
  account: ({ file }) => file,
  create: ({ run, options }) => {
    const took = (what: string) => {
      appendFileSync(options.file, `${JSON.stringify([what, monotonicNow(), run.id])}\n`)
      return { status: 'accepted' } as const
    }
    return {
      open: async () => {
        took('open')
        return { status: 'ready' }
      },
      write: async () => took('write'),
      writeRecord: async () => took('record'),
      upload: async () => took('upload'),
      beat: async () => took('beat'),
      close: async () => {},
    }
  },
})
