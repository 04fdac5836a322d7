/** The frames that one writer has laid and not yet committed, and what they add up to. */
import { crc32 } from 'node:zlib'
import { TraceletError } from '../../core/errors.ts'
import type { StagedPoints } from '../coalesce.ts'
import {
  FRAME,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
  MAX_PAYLOAD_BYTES,
  NO_LANE,
  writeHeader,
} from './format.ts'
import { layPoints, type PointCounts, pointsBytes } from './points.ts'
import { Staging, type Stretch } from './staging.ts'

const processStaging = new Staging()

/** What a frame's header says beside what is seen from its payload. */
export type FramePlace = Omit<FrameHeader, 'type' | 'payloadBytes' | 'payloadCrc' | 'count'>

/** A block that only carries counts. */
export const NO_POINTS: StagedPoints = {
  length: 0,
  series: new Uint32Array(0),
  value: new Float64Array(0),
  fragments: {
    length: 0,
    step: new Float64Array(0),
    time: new Float64Array(0),
    row: new Uint32Array(0),
    count: new Uint32Array(0),
  },
  closed: new Uint32Array(0),
  closedLength: 0,
  coalesced: 0,
}

export class StagedFrames {
  readonly stretches: Stretch[] = []
  /** Lane → position. */
  readonly lanes = new Map<number, number>()
  points = 0
  records = 0
  /** What the staged POINTS frames carry. */
  coalesced = 0
  lost = 0
  lostRecords = 0

  get memory(): Uint8Array {
    return processStaging.memory.bytes
  }
  get bytes(): number {
    return this.stretches.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  addPoints(block: StagedPoints, counts: PointCounts, place: FramePlace): void {
    const payloadBytes = pointsBytes(block)
    const at = this.#take(payloadBytes)
    layPoints(processStaging.memory, at + FRAME_HEADER_BYTES, block, counts)
    this.#finish(at, FRAME.points, payloadBytes, block.length, place)
    this.points += block.length
    this.coalesced += counts.coalesced
    this.lost += counts.lost
    this.lostRecords += counts.lostRecords
  }

  addRecord(payload: Uint8Array, place: FramePlace): void {
    this.#add(FRAME.record, payload, 1, place)
    this.records++
  }

  /** A frame that uses no sequence number. */
  addMark(type: number, payload: Uint8Array, place: FramePlace): void {
    this.#add(type, payload, 0, place)
  }

  clear(): void {
    processStaging.giveBack(this.stretches)
    this.lanes.clear()
    this.points = 0
    this.records = 0
    this.coalesced = 0
    this.lost = 0
    this.lostRecords = 0
  }

  #add(type: number, payload: Uint8Array, count: number, place: FramePlace): void {
    const at = this.#take(payload.length)
    this.memory.set(payload, at + FRAME_HEADER_BYTES)
    this.#finish(at, type, payload.length, count, place)
  }

  #take(payloadBytes: number): number {
    if (payloadBytes > MAX_PAYLOAD_BYTES) {
      throw new TraceletError('ERR_VALUE_TOO_LONG', `${payloadBytes} bytes, at most ${MAX_PAYLOAD_BYTES}`)
    }
    return processStaging.take(frameBytes(payloadBytes), this.stretches)
  }

  #finish(at: number, type: number, payloadBytes: number, count: number, place: FramePlace): void {
    const { bytes, view } = processStaging.memory
    const from = at + FRAME_HEADER_BYTES
    bytes.fill(0, from + payloadBytes, at + frameBytes(payloadBytes))
    const payloadCrc = crc32(bytes.subarray(from, from + payloadBytes))
    writeHeader(bytes, view, at, { ...place, type, payloadBytes, payloadCrc, count })
    if (place.lane !== NO_LANE) this.lanes.set(place.lane, place.position)
  }
}
