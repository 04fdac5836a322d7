/** The embedded default: the run's journal, which the command line reads. What is journaled has arrived. */
import { defineSink } from '../contract.ts'

export const local = defineSink({
  kind: 'local',
  title: 'Local journal',
  inJournal: true,
  options: {},
  limits: { maxItems: 65_536, maxBytes: 1 << 26, pointBytes: () => 32, inFlight: 1, lingerMs: 0 },
  capabilities: {
    shape: 'points',
    rewrite: 'append',
    rewind: 'purge',
    records: [
      ...(['params', 'tags', 'state', 'rewind', 'notes', 'metric', 'dataset', 'console'] as const),
      ...(['text', 'histogram', 'images', 'table', 'figure', 'prCurve', 'artifact', 'model'] as const),
      ...(['files', 'input', 'alert'] as const),
    ],
    values: { nan: 'kept', infinity: 'kept', negativeZero: 'kept', precision: 'double' },
    maxNameLength: 65_535,
  },
  address: () => 'journal',
  account: () => 'journal',
  create: () => ({
    open: async () => ({ status: 'ready' }),
    write: async () => ({ status: 'accepted' }),
    writeRecord: async () => ({ status: 'accepted' }),
    close: async () => {},
  }),
})
