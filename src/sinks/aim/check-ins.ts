/**
 * Aim's check-ins (aim/sdk/reporter): empty files whose names say until when the next sign of life is promised. The server
 * makes those of the run's progress for as long as our session holds its `RunHeartbeat`; a run that ended well needs
 * `finished`, or a watcher takes it for one that failed.
 */
import type { WallMs } from '../../core/types.ts'
import type { Refusal } from '../http.ts'
import { MessageWriter } from './message.ts'
import type { AimSession } from './session.ts'

/**
 * 'finished': no further one is promised. 'new_logs': Aim's watcher looks for alerts. Again is harmless: it takes the place
 * of the one before.
 */
export async function checkIn(
  session: AimSession,
  flag: 'finished' | 'new_logs',
  time: WallMs,
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const { runHash, handlers } = session
  const last = await session.read(handlers.files, 'poll', [`${runHash}-*-*-*-*`], signal)
  if ('refusal' in last) return last.refusal
  // <hash>-<number>-<flag>-<unix time>-<seconds to the next>
  const number = typeof last.value === 'string' ? Number(last.value.split('-').at(-4)) : 0
  const place = String((Number.isSafeInteger(number) ? number : 0) + 1).padStart(16, '0')
  const seconds = (time / 1000).toFixed(2).padStart(11, '0')
  const writer = new MessageWriter()
  writer.call(handlers.files, 'touch', [
    `${runHash}-${place}-${flag}-${seconds}-00000`,
    `${runHash}-*-${flag}-*-*`,
  ])
  return session.send([writer.take()], signal)
}
