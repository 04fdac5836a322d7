/**
 * The conformance suite: what every sink must do, whatever its backend. Decided by declared capabilities and by the
 * faults that a harness can plan, never by name.
 */
import assert from 'node:assert/strict'
import type { Bench } from './bench.ts'
import { BEAT_CHECKS } from './suite/beats.ts'
import type { Check } from './suite/check.ts'
import { FAULT_CHECKS } from './suite/faults.ts'
import { FILTERED_CHECKS } from './suite/filtered.ts'
import { KIND_CHECKS } from './suite/kinds.ts'
import { LIFE_CHECKS } from './suite/life.ts'
import { LIMIT_CHECKS } from './suite/limits.ts'
import { MENTION_CHECKS } from './suite/mentions.ts'
import { PREPARE_CHECKS } from './suite/prepare.ts'
import { REWIND_CHECKS } from './suite/rewind.ts'
import { STORM_CHECKS } from './suite/storm.ts'
import { UPLOAD_CHECKS } from './suite/uploads.ts'
import { VALUE_CHECKS } from './suite/values.ts'

export const CHECKS: readonly Check[] = [
  ...FAULT_CHECKS,
  ...VALUE_CHECKS,
  ...LIFE_CHECKS,
  ...STORM_CHECKS,
  ...REWIND_CHECKS,
  ...UPLOAD_CHECKS,
  ...FILTERED_CHECKS,
  ...MENTION_CHECKS,
  ...PREPARE_CHECKS,
  ...LIMIT_CHECKS,
  ...BEAT_CHECKS,
  ...KIND_CHECKS,
]

/** S13: nothing that a sink ever says may hold a secret; asked after each check. */
export function assertNoSecret(bench: Bench): void {
  for (const text of bench.said) {
    for (const secret of bench.harness.secrets) {
      assert.ok(!text.includes(secret), 'S13 a secret stands in an answer or notice')
    }
  }
}
