/** Dead letters for what a sink rejected. */
import type { DestinationName, Rejection } from '../../core/types.ts'
import type { DeadLetter } from '../store/dead-letters.ts'
import type { Item } from './item.ts'
import type { UploadJob } from './upload-job.ts'

/** Points of an item that the rejections name; of a row all points. */
export function rejectedPoints(item: Item, rejected: readonly Rejection[]): [index: number, Rejection][] {
  const { rows } = item.points!.batch
  const points: [number, Rejection][] = []
  for (const rejection of rejected) {
    const from = rows === undefined ? rejection.index : rows[rejection.index]!
    const to = rows === undefined ? rejection.index + 1 : rows[rejection.index + 1]!
    for (let index = from; index < to; index++) points.push([index, rejection])
  }
  return points
}

/** One letter for each point; one for a record, however many of its parts were rejected; one for a removed range. */
export function deadLetters(
  destination: DestinationName,
  item: Item,
  rejected: readonly Rejection[],
  at: number,
): DeadLetter[] {
  if (item.record !== undefined) return [recordLetter(destination, item, rejected, at)]
  if (item.gone !== undefined) {
    const { code, reason } = rejected[0]!
    return [{ destination, seq: item.seq, kind: 'gone', ...item.gone, code, reason, at }]
  }
  const { batch, seqOf } = item.points!
  return rejectedPoints(item, rejected).map(([index, { code, reason }]) => {
    const { name, context } = batch.describe(batch.series[index]!)
    return {
      destination,
      seq: seqOf(index),
      kind: 'point',
      name,
      context,
      step: batch.step[index]!,
      time: batch.time[index]!,
      value: batch.value[index]!,
      code,
      reason,
      at,
    }
  })
}

function recordLetter(
  destination: DestinationName,
  item: Item,
  rejected: readonly Rejection[],
  at: number,
): DeadLetter {
  const record = item.record!
  const names =
    record.kind === 'params'
      ? Object.keys(record.params)
      : record.kind === 'tags'
        ? Object.keys(record.tags)
        : []
  const items = rejected.map(({ index }) => names[index]).filter((name) => name !== undefined)
  const reason = rejected
    .map(({ index, reason }) => (names[index] === undefined ? reason : `${names[index]}: ${reason}`))
    .join('; ')
  return {
    destination,
    seq: item.seq,
    kind: record.kind,
    ...(item.isMention && { mention: true as const }),
    items,
    code: rejected[0]?.code ?? 'ERR_REFUSED',
    reason,
    at,
  }
}

/**
 * One letter for a record that was to be uploaded, with the paths of the files that were rejected.
 * @param rejected why, besides those files
 */
export function uploadLetter(
  destination: DestinationName,
  { seq, record, refused: { count, first } }: Pick<UploadJob, 'seq' | 'record' | 'refused'>,
  rejected: readonly Rejection[],
  at: number,
): DeadLetter {
  const reasons = [
    ...rejected.map(({ reason }) => reason),
    ...(count > 1 ? [`${count} files were rejected`] : []),
    ...first.map(({ path, reason }) => `${path}: ${reason}`),
  ]
  return {
    destination,
    seq,
    kind: record.kind,
    items: first.map(({ path }) => path),
    code: (rejected[0] ?? first[0])?.code ?? 'ERR_REFUSED',
    reason: reasons.join('; '),
    at,
  }
}

/** The same rejection for everything in the item. */
export function rejectAll(item: Item, code: string, reason: string): Rejection[] {
  if (item.points === undefined) return [{ index: -1, code, reason }]
  const { batch } = item.points
  const count = batch.rows === undefined ? batch.length : batch.rows.length - 1
  return Array.from({ length: count }, (_, index) => ({ index, code, reason }))
}
