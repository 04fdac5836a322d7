/** Parking and waking the drain thread (R5). */
import { BELL, CONTROL } from './layout.ts'

const FLUSH_POLL_MS = 1

/** Wakes the reader if it sleeps; costs a futex call then, a load otherwise. */
export function ring(control: Int32Array): void {
  if (Atomics.load(control, CONTROL.bell) !== BELL.awake) {
    Atomics.store(control, CONTROL.bell, BELL.awake)
    Atomics.notify(control, CONTROL.bell)
  }
}

/**
 * Asks for everything published so far to be journaled.
 * @returns the number to wait for in FLUSH_DONE
 */
export function requestFlush(control: Int32Array): number {
  const ticket = (Atomics.add(control, CONTROL.flushRequest, 1) + 1) | 0
  ring(control)
  return ticket
}

export function isFlushed(control: Int32Array, ticket: number): boolean {
  return ((Atomics.load(control, CONTROL.flushDone) - ticket) | 0) >= 0
}

/** Blocks the calling thread until the ticket is done; false when `timeoutMs` passed first. */
export function waitForFlush(
  control: Int32Array,
  ticket: number,
  timeoutMs: number,
  onWait?: () => void,
): boolean {
  const deadline = performance.now() + timeoutMs
  while (!isFlushed(control, ticket)) {
    const left = deadline - performance.now()
    if (left <= 0) return false
    const seen = Atomics.load(control, CONTROL.flushDone)
    if (((seen - ticket) | 0) < 0) Atomics.wait(control, CONTROL.flushDone, seen, Math.min(left, 20))
    onWait?.()
  }
  return true
}

/** The same without blocking the thread; its timer keeps the process alive meanwhile. */
export async function untilFlushed(
  control: Int32Array,
  ticket: number,
  timeoutMs: number,
  onWait?: () => void,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (!isFlushed(control, ticket)) {
    if (performance.now() > deadline) return false
    onWait?.()
    await new Promise((resolve) => setTimeout(resolve, FLUSH_POLL_MS))
  }
  return true
}
