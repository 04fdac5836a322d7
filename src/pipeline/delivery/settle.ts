/** What an answer does to the sums of an item. */
import type { Rejection, SinkState } from '../../core/types.ts'
import type { Item } from './item.ts'
import { rejectedPoints } from './letters.ts'

/** @param answer absent when the pipeline itself rejects */
export function settle(
  item: Item,
  rejected: readonly Rejection[],
  answer?: { readonly superseded?: number; readonly state?: SinkState },
): void {
  const { sums } = item
  if (item.record !== undefined) {
    if (item.isMention) sums.elsewhere = 1
    else if (rejected.length > 0) sums.recordsRejected = 1
    else sums.recordsDelivered = 1
  } else if (item.gone !== undefined) {
    sums.rejected = item.gone.points
    sums.recordsRejected = item.gone.records
  } else {
    const { batch, losers } = item.points!
    const lost = losers?.reduce((sum, count) => sum + count, 0) ?? 0
    sums.filtered = item.filtered ?? 0
    sums.rejected = rejectedPoints(item, rejected).length
    sums.delivered = batch.length - sums.rejected + lost
    sums.superseded = lost + Math.min(answer?.superseded ?? 0, batch.length - sums.rejected)
  }
  if (answer !== undefined && answer.state !== undefined) {
    item.state = answer.state
    item.hasState = true
  }
  item.isSettled = true
}
