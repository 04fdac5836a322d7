/** The options that every destination has beside its own: what of a run goes there, and how late. */
import type { OptionsOf, OptionTable } from './options.ts'
import type { RecordKind } from './records.ts'

/** What `kinds` may name. Not there are what tells a backend of the run's life, which it always gets. */
const KINDS: Readonly<Record<'points' | Exclude<RecordKind, 'state' | 'rewind'>, true>> = {
  points: true,
  params: true,
  tags: true,
  notes: true,
  metric: true,
  dataset: true,
  console: true,
  text: true,
  histogram: true,
  images: true,
  table: true,
  figure: true,
  prCurve: true,
  artifact: true,
  model: true,
  files: true,
  input: true,
  alert: true,
}

/** Whether it is up to the user that a destination gets records of this kind. */
export function isChosen(kind: string): boolean {
  return Object.hasOwn(KINDS, kind)
}

export const DESTINATION_OPTIONS = {
  include: {
    type: 'strings',
    doc: 'Only what has a name that fits one of these goes there; `*` stands for any characters. Names of metrics, and of artifacts, texts, images and all else that has one.',
  },
  exclude: {
    type: 'strings',
    doc: 'What has a name that fits one of these does not go there, included or not.',
  },
  kinds: {
    type: 'strings',
    values: Object.keys(KINDS),
    doc: "Only these go there: `points` (metrics' values) and kinds of records. The state of the run always does.",
  },
  excludeKinds: {
    type: 'strings',
    values: Object.keys(KINDS),
    doc: 'These do not go there.',
  },
  everyN: {
    type: 'number',
    min: 1,
    max: 1_000_000_000,
    isWhole: true,
    doc: 'Of the points only those go there whose step is a multiple of this: the same steps of all series.',
  },
  maxLagMs: {
    type: 'number',
    unit: 'ms',
    min: 1_000,
    max: 86_400_000,
    doc: 'When it is further behind, of the points that wait only the lowest and the highest of each series in each stretch go there; then all again.',
  },
} as const satisfies OptionTable

export type DestinationOptions = OptionsOf<typeof DESTINATION_OPTIONS>
