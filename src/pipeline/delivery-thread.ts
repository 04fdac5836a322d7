/**
 * A delivery thread's task: starts the loop that serves runs, on the port that came with it, and returns. A task
 * that stayed would keep the process alive for ever.
 */
import { CONTROL } from '../ring/layout.ts'
import { Desk } from './delivery/desk.ts'
import type { DeliveryStart } from './delivery-pool.ts'
import type { FromDelivery, ToDelivery } from './messages.ts'

export function startDelivery(start: DeliveryStart): void {
  const { port, epoch } = start
  const control = new Int32Array(start.control)
  const desk = new Desk({
    tell: (message) => port.postMessage(message),
    idle: new Int32Array(start.idle),
    environment: process.env,
    isSuperseded: () => Atomics.load(control, CONTROL.epoch) !== epoch,
    isSuccessor: start.isSuccessor,
  })
  port.on('message', (message: ToDelivery) => {
    switch (message.type) {
      case 'open':
        void desk.open(message.order)
        return
      case 'wake':
        desk.scheduler.look()
        return
      case 'ask':
        port.postMessage({ type: 'ready' } satisfies FromDelivery)
        return
      case 'finish':
        desk.scheduler.finish(message.run, message.deadlineAt)
        return
      case 'stop':
        void desk.scheduler.stop().then(() => port.close())
    }
  })
  port.postMessage({ type: 'ready' } satisfies FromDelivery)
}
