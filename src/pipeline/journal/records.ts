/** Payloads of RECORD, SERIES and SEGMENT frames. A record keeps this form in the ring's lanes too. */
import { Builder, ByteBuffer } from 'flatbuffers'
import type { BlobRef, ParamValue, RunRecord, Series, UnknownRecord } from '../../core/types.ts'
import { isIntact, type Shape } from './check.ts'
import { fromParts, type ItemKind, type ItemParts, toParts } from './items.ts'
import {
  BlobRef as BlobTable,
  Item,
  LanePosition,
  Param,
  Params,
  Record as RecordTable,
  Seal,
  Segment,
  SeriesDefinition,
  SeriesDefinitions,
  State,
  Tag,
  Tags,
} from './journal.generated.ts'

const KIND = {
  params: 1,
  tags: 2,
  state: 3,
  notes: 4,
  metric: 5,
  dataset: 6,
  text: 7,
  histogram: 8,
  images: 9,
  table: 10,
  figure: 11,
  prCurve: 12,
  artifact: 13,
  model: 14,
  rewind: 15,
  console: 16,
  files: 17,
  input: 18,
  alert: 19,
} as const satisfies Readonly<Record<RunRecord['kind'], number>>
const ITEM_KINDS = new Map<number, ItemKind>(
  Object.entries(KIND)
    .filter(([kind]) => !['params', 'tags', 'state'].includes(kind))
    .map(([kind, number]) => [number, kind as ItemKind]),
)
const TYPE = { null: 0, false: 1, true: 2, number: 3, text: 4 } as const
const STATES: readonly string[] = ['running', 'finished', 'failed', 'killed']

const RECORD_SHAPE: Shape = [
  2,
  { table: [{ tables: ['text', 1, 8, 'text'] }] },
  { table: [{ tables: ['text', 'text'] }] },
  { table: ['text', 8] },
  { table: ['text', 8, 8, 'text', { vectorOf: 8, align: 8 }, { tables: ['text', 8, 'text'] }] },
]
const SERIES_SHAPE: Shape = [{ tables: [4, 'text', 'text'] }]
const SEGMENT_SHAPE: Shape = [
  'text',
  'text',
  4,
  8,
  { vectorOf: 16, align: 8 },
  { vectorOf: 16, align: 8 },
  8,
  8,
]

/** Texts that are not well-formed UTF-16 lose their lone surrogates to U+FFFD. */
export function encodeRecord(record: RunRecord): Uint8Array {
  const builder = newBuilder()
  let params = 0
  let tags = 0
  let state = 0
  let item = 0
  if (record.kind === 'params') {
    const offsets = Object.entries(record.params).map(([name, value]) => encodeParam(builder, name, value))
    params = Params.createParams(builder, Params.createParamsVector(builder, offsets))
  } else if (record.kind === 'tags') {
    const offsets = Object.entries(record.tags).map(([name, text]) =>
      Tag.createTag(builder, builder.createString(name), builder.createString(text)),
    )
    tags = Tags.createTags(builder, Tags.createTagsVector(builder, offsets))
  } else if (record.kind === 'state') {
    state = State.createState(builder, builder.createString(record.state), record.time)
  } else item = encodeItem(builder, toParts(record))
  RecordTable.startRecord(builder)
  RecordTable.addKind(builder, KIND[record.kind])
  if (params !== 0) RecordTable.addParams(builder, params)
  if (tags !== 0) RecordTable.addTags(builder, tags)
  if (state !== 0) RecordTable.addState(builder, state)
  if (item !== 0) RecordTable.addItem(builder, item)
  return finish(builder, RecordTable.endRecord(builder))
}

/** Undefined when the bytes are not a record at all. */
export function decodeRecord(bytes: Uint8Array): RunRecord | UnknownRecord | undefined {
  if (!isIntact(bytes, RECORD_SHAPE)) return undefined
  const record = RecordTable.getRootAsRecord(new ByteBuffer(bytes))
  const kind = record.kind()
  if (kind === KIND.params) {
    const params = record.params()
    if (!params) return undefined
    const entries: [string, ParamValue][] = []
    for (let i = 0; i < params.paramsLength(); i++) {
      const param = params.params(i)!
      const value = decodeParam(param)
      if (value === undefined) return { kind: 'unknown' }
      entries.push([param.name() ?? '', value])
    }
    return { kind: 'params', params: Object.fromEntries(entries) }
  }
  if (kind === KIND.tags) {
    const tags = record.tags()
    if (!tags) return undefined
    const entries: [string, string][] = []
    for (let i = 0; i < tags.tagsLength(); i++) {
      const tag = tags.tags(i)!
      entries.push([tag.name() ?? '', tag.text() ?? ''])
    }
    return { kind: 'tags', tags: Object.fromEntries(entries) }
  }
  if (kind === KIND.state) {
    const table = record.state()
    if (!table) return undefined
    const state = table.state() ?? ''
    if (!isState(state)) return { kind: 'unknown' }
    return { kind: 'state', state, time: table.time() }
  }
  const itemKind = ITEM_KINDS.get(kind)
  if (itemKind === undefined) return { kind: 'unknown' }
  const item = decodeItem(bytes)
  return item && fromParts(itemKind, item)
}

function encodeItem(builder: Builder, parts: ItemParts): number {
  const blobs = parts.blobs.map(({ digest, bytes, type }) =>
    BlobTable.createBlobRef(builder, builder.createString(digest), bytes, builder.createString(type)),
  )
  return Item.createItem(
    builder,
    builder.createString(parts.name),
    parts.step,
    parts.time,
    builder.createString(parts.json),
    Item.createNumbersVector(builder, parts.numbers),
    Item.createBlobsVector(builder, blobs),
  )
}

function decodeItem(bytes: Uint8Array): ItemParts | undefined {
  // copied, since numbers are read in place and the payload may lie anywhere
  const item = RecordTable.getRootAsRecord(new ByteBuffer(bytes.slice())).item()
  if (!item) return undefined
  const blobs: BlobRef[] = []
  for (let i = 0; i < item.blobsLength(); i++) {
    const blob = item.blobs(i)!
    blobs.push({ digest: blob.digest() ?? '', bytes: blob.bytes(), type: blob.type() ?? '' })
  }
  return {
    name: item.name() ?? '',
    step: item.step(),
    time: item.time(),
    json: item.json() ?? '{}',
    numbers: item.numbersArray() ?? new Float64Array(0),
    blobs,
  }
}

function encodeParam(builder: Builder, name: string, value: ParamValue): number {
  const nameOffset = builder.createString(name)
  const text = typeof value === 'string' ? builder.createString(value) : 0
  const type =
    typeof value === 'string'
      ? TYPE.text
      : typeof value === 'number'
        ? TYPE.number
        : TYPE[`${value}` as const]
  Param.startParam(builder)
  Param.addName(builder, nameOffset)
  Param.addType(builder, type)
  if (typeof value === 'number') Param.addNumber(builder, value)
  if (text !== 0) Param.addText(builder, text)
  return Param.endParam(builder)
}

function decodeParam(param: Param): ParamValue | undefined {
  const type = param.type()
  if (type === TYPE.text) return param.text() ?? ''
  if (type === TYPE.number) return param.number()
  if (type === TYPE.null) return null
  return type === TYPE.true ? true : type === TYPE.false ? false : undefined
}

function isState(text: string): text is Extract<RunRecord, { kind: 'state' }>['state'] {
  return STATES.includes(text)
}

export function encodeSeries(series: readonly Series[]): Uint8Array {
  const builder = newBuilder()
  const offsets = series.map(({ id, name, context }) =>
    SeriesDefinition.createSeriesDefinition(
      builder,
      id,
      builder.createString(name),
      builder.createString(context),
    ),
  )
  const vector = SeriesDefinitions.createSeriesVector(builder, offsets)
  return finish(builder, SeriesDefinitions.createSeriesDefinitions(builder, vector))
}

export function decodeSeries(bytes: Uint8Array): Series[] | undefined {
  if (!isIntact(bytes, SERIES_SHAPE)) return undefined
  const definitions = SeriesDefinitions.getRootAsSeriesDefinitions(new ByteBuffer(bytes))
  const series: Series[] = []
  for (let i = 0; i < definitions.seriesLength(); i++) {
    const definition = definitions.series(i)!
    series.push({ id: definition.id(), name: definition.name() ?? '', context: definition.context() ?? '' })
  }
  return series
}

/** What a SEGMENT frame says beside its header. */
export interface SegmentStart {
  readonly runId: string
  readonly nonce: string
  readonly number: number
  readonly createdAt: number
  /** Lane → position, of the writing process. */
  readonly lanes: ReadonlyMap<number, number>
  /** Segment number → bytes of it that count. */
  readonly seals: ReadonlyMap<number, number>
  readonly processSeq: number
  readonly processPoints: number
}

export function encodeSegment(segment: SegmentStart): Uint8Array {
  const builder = newBuilder()
  const runId = builder.createString(segment.runId)
  const nonce = builder.createString(segment.nonce)
  Segment.startLanesVector(builder, segment.lanes.size)
  for (const [lane, position] of segment.lanes)
    LanePosition.createLanePosition(builder, BigInt(position), lane)
  const lanes = builder.endVector()
  Segment.startSealsVector(builder, segment.seals.size)
  for (const [number, length] of segment.seals) Seal.createSeal(builder, BigInt(length), number)
  const seals = builder.endVector()
  return finish(
    builder,
    Segment.createSegment(
      builder,
      runId,
      nonce,
      segment.number,
      segment.createdAt,
      lanes,
      seals,
      BigInt(segment.processSeq),
      BigInt(segment.processPoints),
    ),
  )
}

export function decodeSegment(bytes: Uint8Array): SegmentStart | undefined {
  if (!isIntact(bytes, SEGMENT_SHAPE)) return undefined
  const segment = Segment.getRootAsSegment(new ByteBuffer(bytes))
  const lanes = new Map<number, number>()
  for (let i = 0; i < segment.lanesLength(); i++) {
    const entry = segment.lanes(i)!
    lanes.set(entry.lane(), Number(entry.position()))
  }
  const seals = new Map<number, number>()
  for (let i = 0; i < segment.sealsLength(); i++) {
    const entry = segment.seals(i)!
    seals.set(entry.segment(), Number(entry.length()))
  }
  return {
    runId: segment.runId() ?? '',
    nonce: segment.nonce() ?? '',
    number: segment.number(),
    createdAt: segment.createdAt(),
    lanes,
    seals,
    processSeq: Number(segment.processSeq()),
    processPoints: Number(segment.processPoints()),
  }
}

/** Defaults are written too: the library takes -0 for the default 0 and would drop it. So set no absent offset. */
function newBuilder(): Builder {
  const builder = new Builder(256)
  builder.forceDefaults(true)
  return builder
}

function finish(builder: Builder, root: number): Uint8Array {
  builder.finish(root)
  return builder.asUint8Array()
}
