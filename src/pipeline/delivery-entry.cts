/**
 * What piscina loads in a delivery thread. piscina asks for its task by `require`, and Node 20 and 22 abort the whole
 * process when a thread is terminated while `require` links an ES module (v8::Module::IsGraphAsync); `import` bears it.
 */
import type { DeliveryStart } from './delivery-pool.ts' with { 'resolution-mode': 'import' }

module.exports = async (start: DeliveryStart): Promise<void> => {
  const { startDelivery } = await import('./delivery-thread.ts')
  startDelivery(start)
}
